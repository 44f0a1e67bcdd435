package overlaytest

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/transport"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"

	"kith/lab/nat"
	"kith/lab/sim"
	"kith/network/packet"
)

// LeastDelay is the least that Delay returns.
const LeastDelay = 10 * time.Millisecond

// Delay returns how long a packet is on its way between the i-th host of an Internet and its middle, 10 to 40 ms, so that two packets hardly ever arrive at once. It
// takes as long from there to the other host; a round trip takes 100 ms on average.
func Delay(i int) time.Duration {
	d := sha256.Sum256(fmt.Appendf(nil, "delay %d", i))
	return LeastDelay + time.Duration(binary.BigEndian.Uint32(d[:])%30_000)*time.Microsecond
}

// An Internet has libp2p hosts that speak QUIC over packets which never leave the process. It is for testing/synctest: its time is that of the bubble.
type Internet struct{ net *sim.Net }

// NewInternet starts one, which ends with the test.
func NewInternet(t *testing.T) Internet {
	t.Helper()
	n := sim.New(1)
	t.Cleanup(n.Close)
	return Internet{n}
}

// HostKey returns the key of the i-th host: always the same.
func HostKey(i int) crypto.PrivKey {
	seed := sha256.Sum256(fmt.Appendf(nil, "host %d", i))
	key, err := crypto.UnmarshalEd25519PrivateKey(ed25519.NewKeyFromSeed(seed[:]))
	if err != nil {
		panic(err)
	}
	return key
}

// Host adds a host, which is closed when the test ends; crash pulls its plug, so that it hears and says nothing any more.
func (i Internet) Host(t *testing.T, number int) (h host.Host, crash func()) {
	t.Helper()
	at, err := i.net.Add(sim.Spec{Name: fmt.Sprint(number), Kind: nat.Public, Delay: Delay(number)})
	if err != nil {
		t.Fatal(err)
	}
	sockets := packet.Sockets{Open: at.ListenUDP, Listen: at.Listen()[:1]}
	h, err = libp2p.New(
		libp2p.Identity(HostKey(number)),
		sockets.Option(func(key crypto.PrivKey, m *quicreuse.ConnManager, gater connmgr.ConnectionGater, rm network.ResourceManager) (transport.Transport, error) {
			return quic.NewTransport(key, m, nil, gater, rm)
		}),
		libp2p.ListenAddrStrings(sockets.Listen...),
		libp2p.ResourceManager(&network.NullResourceManager{}),
		libp2p.DisableIdentifyAddressDiscovery(),
		libp2p.DisableMetrics(),
		libp2p.DisableRelay(),
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		h.Close()
		sockets.Close()
	})
	return h, func() { at.Plug(false) }
}

// Tap returns the host, and tells of each frame that its overlay writes, in a question or in an answer. A frame is what is written at once.
func Tap(h host.Host, wrote func(asks bool, frame []byte)) host.Host { return tap{h, wrote} }

type tap struct {
	host.Host
	wrote func(asks bool, frame []byte)
}

// NewStream implements host.Host.
func (h tap) NewStream(ctx context.Context, p peer.ID, ids ...protocol.ID) (network.Stream, error) {
	s, err := h.Host.NewStream(ctx, p, ids...)
	if err != nil {
		return nil, err
	}
	return tapped{s, h.wrote, true}, nil
}

// SetStreamHandler implements host.Host.
func (h tap) SetStreamHandler(id protocol.ID, f network.StreamHandler) {
	h.Host.SetStreamHandler(id, func(s network.Stream) { f(tapped{s, h.wrote, false}) })
}

type tapped struct {
	network.Stream
	wrote func(asks bool, frame []byte)
	asks  bool
}

// Write implements io.Writer.
func (s tapped) Write(b []byte) (int, error) {
	s.wrote(s.asks, b)
	return s.Stream.Write(b)
}
