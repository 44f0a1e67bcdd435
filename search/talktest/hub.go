// Package talktest connects nodes in memory, so that tests hear what search/spread, search/shard and search/ask say to peers, and can say to them what no node would.
//
// It is for tests alone. Its one idea: a line is a pipe, and who is joined to whom is a set of pairs.
package talktest

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/network"
)

// A Hub connects nodes. Its methods may be called at once.
type Hub struct {
	mu    sync.Mutex
	serve map[peer.ID]Serve
	links map[[2]peer.ID]bool
	dials bool
	said  int
	lines sync.WaitGroup
}

// Serve has the other side of a line.
type Serve func(ctx context.Context, st network.Stream) error

// New returns a Hub of no nodes; what is added last ends first, and then all lines have ended.
func New(t testing.TB) *Hub {
	h := &Hub{serve: map[peer.ID]Serve{}, links: map[[2]peer.ID]bool{}}
	t.Cleanup(h.Wait)
	return h
}

// Wait returns when all lines have ended.
func (h *Hub) Wait() { h.lines.Wait() }

// Add says how a node serves, from now on.
func (h *Hub) Add(p peer.ID, serve Serve) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.serve[p] = serve
}

// Join connects two nodes.
func (h *Hub) Join(a, b peer.ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.links[[2]peer.ID{a, b}], h.links[[2]peer.ID{b, a}] = true, true
}

// Leave takes a node away without a word.
func (h *Hub) Leave(p peer.ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for l := range h.links {
		if l[0] == p || l[1] == p {
			delete(h.links, l)
		}
	}
}

// Dials says whether who opens a line to somebody is connected then.
func (h *Hub) Dials(yes bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.dials = yes
}

// Said returns how many bytes went over all lines.
func (h *Hub) Said() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.said
}

// Peers returns who is connected to a node, in no order.
func (h *Hub) Peers(of peer.ID) (list []peer.ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for l := range h.links {
		if l[0] == of {
			list = append(list, l[1])
		}
	}
	return list
}

// Open opens a line. Its error is Unavailable if the two are not joined.
func (h *Hub) Open(from, to peer.ID) (network.Stream, error) {
	h.mu.Lock()
	serve := h.serve[to]
	if h.dials {
		h.links[[2]peer.ID{from, to}], h.links[[2]peer.ID{to, from}] = true, true
	}
	linked := h.links[[2]peer.ID{from, to}]
	h.mu.Unlock()
	if serve == nil || !linked {
		return nil, kith.Unavailable
	}
	a, b := net.Pipe()
	h.lines.Go(func() {
		st := &stream{b, h, from}
		defer st.Close()
		serve(context.Background(), st)
	})
	return &stream{a, h, to}, nil
}

// A stream is one end of a line.
type stream struct {
	net.Conn
	h *Hub
	p peer.ID
}

func (s *stream) Write(p []byte) (int, error) {
	s.h.mu.Lock()
	s.h.said += len(p)
	s.h.mu.Unlock()
	return s.Conn.Write(p)
}

func (s *stream) CloseWrite() error { return errors.ErrUnsupported }
func (s *stream) Reset() error      { return s.Close() }
func (s *stream) Peer() peer.ID     { return s.p }
func (s *stream) Bulk() bool        { return false }
