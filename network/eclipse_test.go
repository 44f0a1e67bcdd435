package network

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"kith/network/aim"
)

func someone(t testing.TB) peer.ID {
	t.Helper()
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// Who connects with many identities shortly before a node is stopped is not all that it knows when it starts again.
func TestEclipseAtRestart(t *testing.T) {
	now := time.Now()
	for name, group := range map[string]func(i int) string{
		"from three places":      func(i int) string { return fmt.Sprintf("11.%d.0.0/16", i%3) },
		"from all over":          func(i int) string { return fmt.Sprintf("%d.%d.0.0/16", 11+i/200, i%200) },
		"from the local network": func(int) string { return "" },
	} {
		t.Run(name, func(t *testing.T) {
			all, honest := map[peer.ID]*known{}, map[peer.ID]bool{}
			for i := range maxKnown {
				id := someone(t)
				honest[id] = true
				seen := now.Add(-time.Duration(i) * time.Hour).Unix()
				all[id] = &known{ID: id, First: seen - 24*3600, Seen: seen, Group: fmt.Sprintf("99.%d.0.0/16", i)}
			}
			for i := range 3 * maxKnown {
				id := someone(t)
				all[id] = &known{ID: id, First: now.Unix(), Seen: now.Unix(), Group: group(i)}
			}
			stay := worthKnowing(all, now)
			count := func(list []known) (n int) {
				for _, k := range list {
					if honest[k.ID] {
						n++
					}
				}
				return n
			}
			if n := count(stay[:maxKnown]); n < maxKnown/2 {
				t.Errorf("%d of %d peers that are remembered are honest", n, maxKnown)
			}
			if n := count(stay[:enoughPeers]); n < enoughPeers/2 {
				t.Errorf("%d of the first %d that are dialled are honest", n, enoughPeers)
			}
		})
	}
}

// Who is patient, and has connected with many identities for longer and later than anybody else, has few places all the same if they are in one part of the internet.
func TestPatientEclipse(t *testing.T) {
	now := time.Now()
	all, honest := map[peer.ID]*known{}, map[peer.ID]bool{}
	for i := range maxKnown {
		id := someone(t)
		honest[id] = true
		all[id] = &known{ID: id, First: now.Add(-24 * time.Hour).Unix(), Seen: now.Add(-time.Hour).Unix(), Group: fmt.Sprintf("99.%d.0.0/16", i)}
	}
	for i := range 3 * maxKnown {
		id := someone(t)
		all[id] = &known{ID: id, First: now.Add(-50 * 24 * time.Hour).Unix(), Seen: now.Unix(), Group: fmt.Sprintf("11.%d.0.0/16", i%3)}
	}
	hostile := 0
	for _, k := range worthKnowing(all, now)[:maxKnown] {
		if !honest[k.ID] {
			hostile++
		}
	}
	if hostile != 3*maxKnownGroup {
		t.Errorf("peers from three places have %d of %d places, want %d", hostile, maxKnown, 3*maxKnownGroup)
	}
}

// When a peer was seen first, and from where, outlives a restart.
func TestKnownSince(t *testing.T) {
	keep := kept(t)
	a := newNode(t, keep)
	id, now := someone(t), time.Now().Unix()
	a.mu.Lock()
	a.known[id] = &known{ID: id, First: now - 1000, Seen: now, Group: "11.1.0.0/16", dirty: true}
	a.mu.Unlock()
	a.Close()
	a = newNode(t, keep)
	a.mu.Lock()
	defer a.mu.Unlock()
	if k := a.known[id]; k == nil || k.First != now-1000 || k.Group != "11.1.0.0/16" {
		t.Errorf("remembered: %+v", k)
	}
}

// A thousand peers that are said to be at one address are not looked for there a thousand times.
func TestDialAmplification(t *testing.T) {
	tcp, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	udp, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	var knocks atomic.Int64
	go func() {
		for {
			c, err := tcp.Accept()
			if err != nil {
				return
			}
			knocks.Add(1)
			c.Close()
		}
	}()
	var mu sync.Mutex
	from := map[string]bool{} // QUIC connection ids that came: each is one attempt
	go func() {
		b := make([]byte, 2048)
		for {
			n, _, err := udp.ReadFrom(b)
			if err != nil {
				return
			}
			if n > 6 && n >= 6+int(b[5]) { // RFC 9000, 17.2: version, then the length of the destination's id, and the id
				mu.Lock()
				from[string(b[6:6+b[5]])] = true
				mu.Unlock()
			}
		}
	}()
	a := newNode(t)
	victim := []ma.Multiaddr{
		ma.StringCast(fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", tcp.Addr().(*net.TCPAddr).Port)),
		ma.StringCast(fmt.Sprintf("/ip4/127.0.0.1/udp/%d/quic-v1", udp.LocalAddr().(*net.UDPAddr).Port)),
	}
	var all sync.WaitGroup
	for range 100 {
		p := peer.AddrInfo{ID: someone(t), Addrs: victim}
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			if a.Connect(ctx, p) == nil {
				t.Error("connected to nobody")
			}
		})
	}
	all.Wait()
	mu.Lock()
	defer mu.Unlock()
	t.Logf("100 peers: %d TCP connections, %d QUIC connections", knocks.Load(), len(from))
	if n := knocks.Load(); n < 1 || n > aim.Peers {
		t.Errorf("%d TCP connections for 100 peers at one address, want 1 to %d", n, aim.Peers)
	}
	if n := len(from); n < 1 || n > aim.Peers {
		t.Errorf("%d QUIC connections for 100 peers at one address, want 1 to %d", n, aim.Peers)
	}
}
