package member

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/upgrader"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"

	"kith/identity"
)

var muxers = []upgrader.StreamMuxer{{ID: yamux.ID}}

func template(c *libp2ptls.IdentityConfig) {
	c.CertTemplate = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{SerialNumber: "1"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
}

func secured(t testing.TB, n Network, me *identity.Identity) sec.SecureTransport {
	t.Helper()
	s, err := door(t, n, me).Security(template)(libp2ptls.ID, me.Key(), muxers)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func plain(t testing.TB, key crypto.PrivKey) sec.SecureTransport {
	t.Helper()
	s, err := libp2ptls.New(libp2ptls.ID, key, muxers)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A line counts how often the direction changes, and bytes.
type line struct {
	mu      sync.Mutex
	last    string
	flights int
	bytes   int
}

type end struct {
	net.Conn
	w    *line
	name string
}

func (e end) Write(b []byte) (int, error) {
	e.w.mu.Lock()
	if e.w.last != e.name {
		e.w.last = e.name
		e.w.flights++
	}
	e.w.bytes += len(b)
	e.w.mu.Unlock()
	return e.Conn.Write(b)
}

// talk makes a connection, and lets the client ask and the server answer. What passed is counted until the answer is there.
func talk(t testing.TB, client, server sec.SecureTransport, to *identity.Identity) (flights, bytes int, failed error) {
	t.Helper()
	w := &line{}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	served := make(chan error, 1)
	go func() {
		raw, err := listener.Accept()
		if err == nil {
			var c sec.SecureConn
			if c, err = server.SecureInbound(ctx, end{raw, w, "server"}, ""); err == nil {
				io.ReadFull(c, make([]byte, 1))
				c.Write([]byte{1})
				c.Close()
			}
		}
		served <- err
	}()
	raw, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.SecureOutbound(ctx, end{raw, w, "client"}, to.PeerID())
	if err == nil {
		c.Write([]byte{1})
		if _, err = io.ReadFull(c, make([]byte, 1)); err == nil && string(c.ConnState().StreamMultiplexer) != yamux.ID {
			t.Errorf("agreed on the muxer %q", c.ConnState().StreamMultiplexer)
		}
	}
	w.mu.Lock()
	flights, bytes = w.flights, w.bytes
	w.mu.Unlock()
	if c != nil {
		c.Close()
	}
	if e := <-served; err == nil {
		err = e
	}
	return flights, bytes, err
}

// The proof costs no round trip: between members as many flights pass as between any two libp2p nodes, until the first answer.
func TestNoRoundTrip(t *testing.T) {
	n := newNetwork(t, "family")
	a, b := person(t), person(t)
	flights, bytes, err := talk(t, plain(t, a.Key()), plain(t, b.Key()), b)
	if err != nil {
		t.Fatal(err)
	}
	with, more, err := talk(t, secured(t, n, a), secured(t, n, b), b)
	if err != nil {
		t.Fatal(err)
	}
	if with != flights {
		t.Errorf("%d flights with the proof, %d without", with, flights)
	}
	if more -= bytes; more > 600 {
		t.Errorf("%d bytes more, both ways", more)
	}
}

// A client that meets a stranger has shown nothing of itself: it hangs up before its certificate would go out.
func TestClientHangsUpFirst(t *testing.T) {
	n := newNetwork(t, "family")
	a, b := person(t), person(t)
	d := door(t, newNetwork(t, "family"), b)
	other, err := d.Security(template)(libp2ptls.ID, b.Key(), muxers)
	if err != nil {
		t.Fatal(err)
	}
	for _, server := range []sec.SecureTransport{plain(t, b.Key()), other} {
		flights, _, err := talk(t, secured(t, n, a), server, b)
		if !IsRefusal(err) {
			t.Errorf("%v", err)
		}
		if flights > 3 {
			t.Errorf("%d flights: it was said more than hello and goodbye", flights)
		}
	}
	if r := d.Refused(); len(r) > 0 {
		t.Errorf("the stranger knows who it was: %v", r)
	}
}

func benchmarkHandshake(b *testing.B, start func(*identity.Identity) sec.SecureTransport) {
	x, y := person(b), person(b)
	client, server := start(x), start(y)
	for b.Loop() {
		if _, _, err := talk(b, client, server, y); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkHandshake is a handshake between members and one between any two, with one byte each way.
func BenchmarkHandshake(b *testing.B) {
	n := newNetwork(b, "family")
	b.Run("member", func(b *testing.B) {
		benchmarkHandshake(b, func(i *identity.Identity) sec.SecureTransport { return secured(b, n, i) })
	})
	b.Run("anybody", func(b *testing.B) {
		benchmarkHandshake(b, func(i *identity.Identity) sec.SecureTransport { return plain(b, i.Key()) })
	})
}

// BenchmarkProof is what a handshake between members takes beyond another: looking at the proof.
func BenchmarkProof(b *testing.B) {
	me := person(b)
	d := door(b, newNetwork(b, "family"), me)
	proof, err := d.prove(me.Key())
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := d.admit(proof, me.Key().GetPublic()); err != nil {
			b.Fatal(err)
		}
	}
}
