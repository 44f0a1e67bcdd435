// Package rendezvoustest makes private DHTs of BitTorrent for tests: nodes of anacrolix/dht as they are, without anything of ours between them and the socket.
package rendezvoustest

import (
	"encoding/binary"
	"fmt"
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
	infos   []krpc.NodeInfo
}

// sample answers as BEP 51 has it, with all that a node keeps. It is written by hand: the library cannot.
func (d *DHT) sample(transaction string, kept *store) []byte {
	var nodes, all []byte
	for _, n := range d.infos {
		nodes = append(append(nodes, n.ID[:]...), n.Addr.IP.To4()...)
		nodes = binary.BigEndian.AppendUint16(nodes, uint16(n.Addr.Port))
	}
	kept.mu.Lock()
	for h := range kept.all {
		all = append(all, h[:]...)
	}
	kept.mu.Unlock()
	return fmt.Appendf(nil, "d1:rd2:id20:%s8:intervali0e5:nodes%d:%s3:numi%de7:samples%d:%se1:t%d:%s1:y1:re", d.infos[0].ID[:], len(nodes), nodes, len(all)/20, len(all), all, len(transaction), transaction)
}

// New makes a DHT with a node on each socket, all of which know each other. It ends with the test.
func New(t testing.TB, sockets ...net.PacketConn) *DHT {
	d := &DHT{}
	for _, c := range sockets {
		kept := &store{all: map[peer_store.InfoHash][]krpc.NodeAddr{}}
		conf := &dht.ServerConfig{
			Conn: c, NoSecurity: true, PeerStore: kept, StartingNodes: func() ([]dht.Addr, error) { return nil, nil },
			SendLimiter: rate.NewLimiter(1000, 1000), Logger: alog.Default.FilterLevel(alog.Disabled),
			OnQuery: func(q *krpc.Msg, from net.Addr) bool {
				d.Queries.Add(1)
				if q.Q == "sample_infohashes" { // which the library does not answer
					c.WriteTo(d.sample(q.T, kept), from)
				}
				return q.Q != "sample_infohashes"
			},
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
	for _, s := range d.Nodes {
		d.infos = append(d.infos, krpc.NodeInfo{ID: s.ID(), Addr: krpc.NodeAddr{IP: s.Addr().(*net.UDPAddr).IP.To4(), Port: s.Addr().(*net.UDPAddr).Port}})
	}
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
