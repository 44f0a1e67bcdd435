//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"kith"
	"kith/lab/nat"
	"kith/rendezvous/rendezvoustest"
)

// meetTime is how long it may take until nodes that know nobody are connected.
const meetTime = time.Minute

// strangersDHT is a DHT of BitTorrent on the small internet, one node to an address, of which none is a Kith node.
func strangersDHT(t *testing.T, host *nat.Host, size int) *rendezvoustest.DHT {
	t.Helper()
	var sockets []net.PacketConn
	for i := range size {
		ip := fmt.Sprintf("11.0.9.%d", i+1)
		if out, err := host.Command(t.Context(), "ip", "addr", "add", ip+"/8", "dev", "wan0").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if err := host.Do(func() error {
			c, err := net.ListenPacket("udp4", ip+":6881")
			sockets = append(sockets, c)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	return rendezvoustest.New(t, sockets...)
}

// strange makes a small internet with a DHT of strangers.
func strange(t *testing.T, specs ...nat.Spec) (*nat.Net, *rendezvoustest.DHT) {
	t.Helper()
	n, err := nat.New(append([]nat.Spec{{Name: "dht", Kind: nat.Public}}, specs...)...)
	if errors.Is(err, kith.Unavailable) {
		t.Skip("joining the public network was not tested: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n, strangersDHT(t, n.Host("dht"), 12)
}

// fresh starts a node that knows nobody, only that DHT.
func fresh(t *testing.T, host *nat.Host, d *rendezvoustest.DHT, flags ...string) *computer {
	t.Helper()
	c := told(t, host, d)
	c.up(flags...)
	return c
}

// told is a computer whose configuration names the DHT.
func told(t *testing.T, host *nat.Host, d *rendezvoustest.DHT) *computer {
	t.Helper()
	c := &computer{t: t, dir: t.TempDir(), host: host, mainline: true}
	list, _ := json.Marshal(d.Hosts)
	if err := os.WriteFile(filepath.Join(c.dir, "config.toml"), fmt.Appendf(nil, "mainline_hosts = %s\n", list), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.end(os.Interrupt) })
	return c
}

type publicOut struct {
	Joined, Asking          bool
	Asked, Candidates       int
	Found, Nodes, Peers     int
	Off, Says, Error, Ended string
	Told                    *time.Time
}

func (c *computer) public() (out publicOut) {
	c.t.Helper()
	c.ask(&out, "network")
	return out
}

// Nodes that know nobody find each other by a DHT of others, also from behind a router; who has not joined says nothing to it.
func TestJoinPublicNetwork(t *testing.T) {
	n, d := strange(t, nat.Spec{Name: "a", Kind: nat.Public}, nat.Spec{Name: "b", Kind: nat.Public}, nat.Spec{Name: "c", Kind: nat.Cone})
	a := fresh(t, n.Host("a"), d, "--public")
	eventually(t, meetTime, "a announces itself", func() bool { return a.public().Told != nil })

	b := fresh(t, n.Host("b"), d)
	if s := b.public(); s.Joined || s.Asked > 0 || s.Peers > 0 {
		t.Errorf("before it joined: %+v", s)
	}
	before := d.Queries.Load()
	var joined publicOut
	b.ask(&joined, "network", "join")
	if _, ok := b.peer(a.identity().Peer_ID); !ok || !joined.Joined || joined.Found != 1 {
		t.Errorf("b joined, and found nobody: %+v", joined)
	}
	if d.Queries.Load() == before {
		t.Error("b found others without the DHT")
	}
	c := fresh(t, n.Host("c"), d, "--public")
	eventually(t, meetTime, "c, behind a router, finds both", func() bool { return c.public().Peers == 2 })
	if s := c.public(); s.Told != nil {
		t.Errorf("c cannot be reached, and announced itself: %+v", s)
	}

	var left publicOut
	b.ask(&left, "network", "leave")
	if left.Joined {
		t.Errorf("b left: %+v", left)
	}
}

// Whoever fetches what nobody known has finds the network by the DHT, and the content in the network; they do not announce themselves.
func TestGetFindsTheNetwork(t *testing.T) {
	n, d := strange(t, nat.Spec{Name: "a", Kind: nat.Public}, nat.Spec{Name: "b", Kind: nat.Public}, nat.Spec{Name: "c", Kind: nat.Cone})
	a := fresh(t, n.Host("a"), d, "--public")
	b := fresh(t, n.Host("b"), d, "--public")
	eventually(t, meetTime, "a and b are connected", func() bool { return a.public().Peers == 1 })
	path := filepath.Join(t.TempDir(), "film.mkv")
	want := file(t, path, 1<<20)
	var shared struct{ Link, Ref string }
	a.ask(&shared, "share", path, "--for", "link")

	c := fresh(t, n.Host("c"), d)
	link, err := kith.ParseLink(shared.Link)
	if err != nil {
		t.Fatal(err)
	}
	link.Peers = nil // it says nothing of who has it
	var got struct{ Path string }
	c.ask(&got, "get", link.String(), "-o", t.TempDir(), "--timeout", "2m")
	same(t, got.Path, want)
	if s := c.public(); s.Joined || s.Told != nil || s.Asked == 0 {
		t.Errorf("after it fetched: %+v", s)
	}
	if b.public().Peers < 1 {
		t.Error("b is alone")
	}
}

// A private network says nothing to the DHT, whatever is asked of it.
func TestPrivateNetworkShunsMainline(t *testing.T) {
	n, d := strange(t, nat.Spec{Name: "a", Kind: nat.Public})
	c := told(t, n.Host("a"), d)
	quiet := []string{"up", "--no-open", "--no-mdns", "--no-upnp", "--api", "127.0.0.1:0"}
	c.start(quiet...)
	var made struct{ Link string }
	c.ask(&made, "network", "new", "family")
	c.end(os.Interrupt)
	c.start(quiet...)
	if s := c.public(); s.Joined || s.Off == "" {
		t.Errorf("%+v", s)
	}
	link := kith.Link{Ref: kith.RawRef([32]byte{1}), Size: 1 << 20}
	if _, _, exit := c.run("get", link.String(), "-o", t.TempDir(), "--timeout", "15s"); exit == 0 {
		t.Error("it fetched what nobody has")
	}
	if q := d.Queries.Load(); q != 0 {
		t.Errorf("the DHT was asked %d times", q)
	}
}

// Who was away for long, and remembers nobody who is still there, finds the network again by itself.
func TestFoundAgainAfterLong(t *testing.T) {
	n, d := strange(t, nat.Spec{Name: "a", Kind: nat.Public}, nat.Spec{Name: "b", Kind: nat.Public}, nat.Spec{Name: "c", Kind: nat.Public})
	a, b := fresh(t, n.Host("a"), d, "--public"), fresh(t, n.Host("b"), d, "--public")
	eventually(t, meetTime, "they meet", func() bool { return a.public().Peers == 1 && b.public().Peers == 1 })
	b.end(os.Interrupt)
	a.end(os.Interrupt)
	c := fresh(t, n.Host("c"), d, "--public") // somebody else, whom b has never met
	eventually(t, meetTime, "c announces itself", func() bool { return c.public().Told != nil })
	b.up() // it had joined: that is kept
	eventually(t, meetTime, "b finds c", func() bool { _, ok := b.peer(c.identity().Peer_ID); return ok })
}
