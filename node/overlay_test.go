package node

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/network/member"
)

// openOn opens a node on an overlay.
func openOn(t *testing.T, overlay, network string) (*Node, error) {
	t.Helper()
	o := options(t.TempDir())
	o.Config.Overlay, o.Config.Network = overlay, network
	n, err := Open(t.Context(), o)
	if err == nil {
		t.Cleanup(func() { n.Close(context.Background()) })
	}
	return n, err
}

// Nodes of one network that run different overlays are told so, those that run the same are not.
func TestOtherOverlay(t *testing.T) {
	a, err := openOn(t, "chord", "test")
	if err != nil {
		t.Fatal(err)
	}
	b, err := openOn(t, "", "test")
	if err != nil {
		t.Fatal(err)
	}
	c, err := openOn(t, "chord", "test")
	if err != nil {
		t.Fatal(err)
	}
	said := func(n *Node) string {
		s, err := n.status(t.Context(), None{})
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(s.Notes, "\n")
	}
	connect := func(x, y *Node) {
		if err := x.net.Connect(t.Context(), peer.AddrInfo{ID: y.net.ID(), Addrs: y.net.Host().Addrs()}); err != nil {
			t.Fatal(err)
		}
	}
	connect(a, c)
	connect(a, b)
	for end := time.Now().Add(20 * time.Second); len(a.otherOverlays()) == 0 || len(b.otherOverlays()) == 0 || a.routes.Size() == 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("a sees %v, b sees %v, a has %d in its table", a.otherOverlays(), b.otherOverlays(), a.routes.Size())
		}
	}
	if text := said(a); !strings.Contains(text, "this node runs on the overlay chord") || !strings.Contains(text, "1 connected peer on kad-dht") {
		t.Errorf("status of the one says %q", text)
	}
	if text := said(b); !strings.Contains(text, "this node runs on the overlay kad-dht") || !strings.Contains(text, "on chord") {
		t.Errorf("status of the other says %q", text)
	}
	if text := said(c); strings.Contains(text, "overlay") {
		t.Errorf("status of who has met nobody else says %q", text)
	}
	d, err := a.doctor(t.Context(), None{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range d.Findings {
		if f.Check == "overlay" && (f.State != wrong || !strings.Contains(f.Do, "--overlay kad-dht")) {
			t.Errorf("the doctor says %+v", f)
		}
	}
	list, err := a.peers(t.Context(), None{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range list {
		if other := p.ID == b.net.ID().String(); other != strings.Contains(p.Why, "it runs on the overlay kad-dht") {
			t.Errorf("of %s it says %q", p.ID, p.Why)
		}
	}
}

// A wrong name, and another overlay than the members of a private network have agreed on, are refused in words.
func TestWrongOverlay(t *testing.T) {
	if _, err := openOn(t, "gnutella", "test"); !errors.Is(err, kith.Invalid) || !strings.Contains(kith.HintOf(err), "chord, kad-dht, kademlia, pastry") {
		t.Errorf("a name of none: %v, %s", err, kith.HintOf(err))
	}
	to, err := member.New("family", "chord")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openOn(t, "pastry", to.Link()); !errors.Is(err, kith.Invalid) || !strings.Contains(err.Error(), "runs on chord, and not on pastry") || kith.HintOf(err) == "" {
		t.Errorf("another than agreed: %v", err)
	}
	for _, same := range []string{"", "chord"} {
		n, err := openOn(t, same, to.Link())
		if err != nil {
			t.Fatal(err)
		}
		if n.overlay != "chord" {
			t.Errorf("it runs on %s", n.overlay)
		}
	}
}
