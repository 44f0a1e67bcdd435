// Package rendezvoustest makes private DHTs of BitTorrent for tests: nodes of anacrolix/dht as they are, without anything of ours between them and the socket.
package rendezvoustest

import (
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/anacrolix/dht/v2"
	"github.com/anacrolix/dht/v2/krpc"
	peer_store "github.com/anacrolix/dht/v2/peer-store"
	alog "github.com/anacrolix/log"
	"golang.org/x/time/rate"
)

// A DHT is a running DHT.
type DHT struct {
	Nodes   []*dht.Server
	Hosts   []string     // HOST:PORT to begin with
	Queries atomic.Int64 // that its nodes got
}

// New makes a DHT with a node on each socket, all of which know each other. It ends with the test.
func New(t testing.TB, sockets ...net.PacketConn) *DHT {
	d := &DHT{}
	for _, c := range sockets {
		conf := &dht.ServerConfig{
			Conn: c, NoSecurity: true, PeerStore: &store{all: map[peer_store.InfoHash][]krpc.NodeAddr{}}, StartingNodes: func() ([]dht.Addr, error) { return nil, nil },
			SendLimiter: rate.NewLimiter(1000, 1000), Logger: alog.Default.FilterLevel(alog.Disabled),
			OnQuery: func(*krpc.Msg, net.Addr) bool { d.Queries.Add(1); return true },
		}
		if ip := c.LocalAddr().(*net.UDPAddr).IP; !ip.IsLoopback() {
			conf.PublicIP = ip // for an id that fits it (BEP 42)
		}
		s, err := dht.NewServer(conf)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		d.Nodes = append(d.Nodes, s)
	}
	d.acquaint()
	d.Queries.Store(0)
	d.Hosts = []string{d.Nodes[0].Addr().String()}
	return d
}

// Loopback makes a DHT of that many nodes on this computer's loopback.
func Loopback(t testing.TB, size int) *DHT {
	var sockets []net.PacketConn
	for range size {
		c, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		sockets = append(sockets, c)
	}
	return New(t, sockets...)
}

// acquaint has every node ping every other, so that all are in each other's tables.
func (d *DHT) acquaint() {
	var wg sync.WaitGroup
	for _, a := range d.Nodes {
		wg.Go(func() {
			for _, b := range d.Nodes {
				if a != b {
					a.Ping(b.Addr().(*net.UDPAddr))
				}
			}
		})
	}
	wg.Wait()
}

// A store keeps announcements. The library's own gives them back cut short: it keys them by an address without a port, and reads the port from there.
type store struct {
	mu  sync.Mutex
	all map[peer_store.InfoHash][]krpc.NodeAddr
}

// AddPeer implements peer_store.Interface.
func (s *store) AddPeer(at peer_store.InfoHash, who krpc.NodeAddr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.ContainsFunc(s.all[at], who.Equal) {
		s.all[at] = append(s.all[at], who)
	}
}

// GetPeers implements peer_store.Interface.
func (s *store) GetPeers(at peer_store.InfoHash) []krpc.NodeAddr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.all[at])
}
