package node

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/overlay"
)

// known returns the peers in a node's tables, and how many entries of each part there are.
func known(t *testing.T, n *Node) (OverlayOut, map[string]bool, map[overlay.Part]int) {
	t.Helper()
	out, err := n.showOverlay(t.Context(), None{})
	if err != nil {
		t.Fatal(err)
	}
	peers, parts := map[string]bool{}, map[overlay.Part]int{}
	for _, e := range out.Entries {
		peers[e.Peer] = true
		parts[e.Part]++
	}
	return out, peers, parts
}

// lookUp returns the steps of a lookup; none if it fails.
func lookUp(t *testing.T, n *Node, key string) (steps []FindOut) {
	t.Helper()
	for s, err := range n.find(t.Context(), FindIn{Key: key}) {
		if err != nil {
			t.Logf("look up %s: %v", key, err)
			return nil
		}
		steps = append(steps, s)
	}
	return steps
}

// Each overlay shows whom a node knows, and a lookup of where another node is ends there, with each step told.
func TestOverlayView(t *testing.T) {
	parts := map[string][]overlay.Part{
		"chord": {overlay.Successor, overlay.Predecessor}, "pastry": {overlay.Leaf, overlay.Row}, "kademlia": {overlay.Bucket}, usualOverlay: {overlay.Bucket},
	}
	for kind, want := range parts {
		t.Run(kind, func(t *testing.T) {
			var nodes []*Node
			for range 4 {
				n, err := openOn(t, kind, "test")
				if err != nil {
					t.Fatal(err)
				}
				if len(nodes) > 0 {
					if err := n.net.Connect(t.Context(), peer.AddrInfo{ID: nodes[0].net.ID(), Addrs: nodes[0].net.Host().Addrs()}); err != nil {
						t.Fatal(err)
					}
				}
				nodes = append(nodes, n)
			}
			a, b := nodes[1], nodes[3] // which only the overlay brings together
			there := a.overlayPeer(b.net.ID())
			var steps []FindOut
			for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) { // until they know of each other
				out, peers, has := known(t, a)
				whole := peers[nodes[0].net.ID().String()]
				for _, p := range want {
					whole = whole && has[p] > 0
				}
				if whole {
					steps = lookUp(t, a, there.Peer)
				}
				if len(steps) > 0 && len(steps[0].Names) > 0 && slices.Index(steps[len(steps)-1].Names, there) == 0 {
					break
				}
				if time.Now().After(end) {
					t.Fatalf("%+v and %+v", out, steps)
				}
			}
			first, last := steps[0], steps[len(steps)-1]
			if first.What != overlay.Begins || first.Key != there.ID || first.KeyIs != "peer" || len(first.Names) == 0 {
				t.Errorf("it begins with %+v", first)
			}
			if last.What != overlay.Ends || len(last.Steps) != len(steps) || last.Asked == 0 || last.Answered == 0 {
				t.Errorf("it ends with %+v", last)
			}
			asked := map[string]bool{}
			for _, s := range steps[1 : len(steps)-1] {
				switch {
				case s.What == overlay.Begins: // once more
				case s.Peer == nil:
					t.Errorf("nobody in %+v", s)
				case s.What == overlay.Asks:
					asked[s.Peer.ID] = true
				case !asked[s.Peer.ID] || s.What == overlay.Answers && s.Took <= 0:
					t.Errorf("not asked, or no time: %+v", s)
				}
			}
			if text := lookUp(t, a, "hello"); len(text) == 0 || text[0].KeyIs != "text" || text[0].Key == "" {
				t.Errorf("the steps for text are %+v", text)
			}
		})
	}
}

// What cannot be looked up is said in words.
func TestFindWrong(t *testing.T) {
	n, err := openOn(t, "", "test")
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]error{
		"": kith.Invalid, strings.Repeat("a", kith.MaxLinkLen+1): kith.TooLarge, "@nobody": kith.NotFound,
		strings.Repeat("ab", 20): kith.Invalid, // of the wrong length here
		strings.Repeat("ab", 32): kith.Invalid, // a place where nobody is
		"hello":                  kith.Unavailable,
	} {
		for s, err := range n.find(t.Context(), FindIn{Key: key}) {
			if !errors.Is(err, want) {
				t.Errorf("%.20q: %+v, %v, want %v", key, s, err, want)
			}
		}
	}
}
