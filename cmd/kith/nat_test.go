//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"kith"
	"kith/lab/nat"
)

// reachTime is how long it may take until a node behind a router is reachable through relays.
const reachTime = 60 * time.Second

// directTime is how long it may take until there is a direct connection where there can be one.
const directTime = 30 * time.Second

// An internet has two public nodes, which relay for the others, and homes.
type internet struct {
	t      *testing.T
	net    *nat.Net
	public [2]*computer
	peers  []string // flags that name the public nodes
}

// homes makes an internet with a host of each of the names, which begin with their kind: cone, cone-2.
func homes(t *testing.T, specs ...nat.Spec) *internet {
	t.Helper()
	specs = append([]nat.Spec{{Name: "relay-1", Kind: nat.Public}, {Name: "relay-2", Kind: nat.Public}}, specs...)
	n, err := nat.New(specs...)
	if errors.Is(err, kith.Unavailable) {
		t.Skip("nodes behind real NATs were not tested: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	i := &internet{t: t, net: n}
	for k, name := range []string{"relay-1", "relay-2"} {
		i.public[k] = i.boot(name, i.peers...)
		for _, a := range i.public[k].identity().Addrs {
			if strings.Contains(a, "/ip4/11.") && strings.Contains(a, "/quic-v1/p2p/") || strings.Contains(a, "/tcp/") && !strings.Contains(a, "/ws") && !strings.Contains(a, "/ip4/127.") {
				i.peers = append(i.peers, "--peer", a)
			}
		}
	}
	return i
}

// boot starts a node on a host.
func (i *internet) boot(host string, flags ...string) *computer {
	i.t.Helper()
	c := &computer{t: i.t, dir: i.t.TempDir(), host: i.net.Host(host)}
	c.up(flags...)
	i.t.Cleanup(func() { c.end(os.Interrupt) })
	return c
}

type identityOut struct {
	Peer_ID string
	Addrs   []string
}

func (c *computer) identity() (out identityOut) {
	c.t.Helper()
	c.ask(&out, "id")
	return out
}

type peerOut struct {
	ID, Why, Transport, Agent string
	Direct                    bool
	Down                      int64
}

// peer returns how the computer is connected to a peer.
func (c *computer) peer(id string) (peerOut, bool) {
	c.t.Helper()
	var list []peerOut
	c.ask(&list, "peers")
	k := slices.IndexFunc(list, func(p peerOut) bool { return p.ID == id })
	if k < 0 {
		return peerOut{}, false
	}
	return list[k], true
}

// relayed waits until the computer can be reached through a relay.
func (c *computer) relayed() {
	c.t.Helper()
	for deadline := time.Now().Add(reachTime); ; time.Sleep(100 * time.Millisecond) {
		id := c.identity()
		if slices.ContainsFunc(id.Addrs, func(a string) bool { return strings.Contains(a, "/p2p-circuit/") }) {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("%s is reachable at %v, and through no relay", c.host.Name, id.Addrs)
		}
	}
}

// befriend makes the public nodes and the computer contacts: they carry whole files for it then.
func (i *internet) befriend(c *computer) {
	i.t.Helper()
	var none any
	for k, p := range i.public {
		p.ask(&none, "people", "add", "friend-"+c.host.Name, c.identity().Peer_ID)
		c.ask(&none, "people", "add", fmt.Sprint("relay-", k+1), p.identity().Peer_ID)
	}
}

// A cell is how one node fetched from another.
type cell struct {
	pairing
	first     time.Duration // until the first bytes of the file
	whole     time.Duration
	direct    time.Duration // until there was a direct connection; 0: there was none
	transport string
	why       string
}

// fetch lets a fresh node on a host get what the seed shares, and watches how.
func (i *internet) fetch(host string, seed *computer, link string, want []byte, direct bool) (cell, error) {
	return i.fetchAs(nil, host, seed, link, want, direct)
}

// fetchAs is fetch by a node that is started with flags.
func (i *internet) fetchAs(flags []string, host string, seed *computer, link string, want []byte, direct bool) (cell, error) {
	c := i.boot(host, flags...)
	defer c.end(os.Interrupt)
	id := seed.identity().Peer_ID
	var r cell
	start := time.Now()
	done := make(chan error, 1)
	to := i.t.TempDir()
	go func() {
		_, errs, exit := c.run("get", link, "-o", to, "--timeout", "20s")
		r.whole = time.Since(start)
		if exit != 0 {
			done <- fmt.Errorf("kith get: %s", errs)
		}
		close(done)
	}()
	var err error
	for ended := false; !ended || direct && err == nil && r.direct == 0 && time.Since(start) < directTime; time.Sleep(100 * time.Millisecond) {
		select {
		case e, ok := <-done:
			if err = errors.Join(err, e); !ok {
				ended, done = true, nil
			}
		default:
		}
		p, ok := c.peer(id)
		if !ok {
			continue
		}
		if p.Down > 0 && r.first == 0 {
			r.first = time.Since(start)
		}
		if p.Direct && r.direct == 0 {
			r.direct = time.Since(start)
		}
		r.transport, r.why = p.Transport, p.Why
	}
	if err == nil {
		got, e := os.ReadFile(filepath.Join(to, "film"))
		if e != nil || string(got) != string(want) {
			err = fmt.Errorf("what came is not what was shared: %d bytes, %v", len(got), e)
		}
	}
	return r, err
}

// TestBehindRouters fetches between all pairs of homes, by the short link alone: the fetcher is fresh and knows nobody.
func TestBehindRouters(t *testing.T) {
	if testing.Short() {
		t.Skip("nodes behind real NATs were not tested: -short")
	}
	matrix(t, pairings(func(pairing) bool { return true }), 1<<20, true)
}

// TestOneHome: two public nodes relay for a home that shares one address family with them, though nobody else is there to tell them that they can be reached.
func TestOneHome(t *testing.T) {
	if testing.Short() {
		t.Skip("a network of three was not tested: -short")
	}
	for _, kind := range []nat.Kind{nat.IPv6Only, nat.TCPOnly} {
		i := homes(t, nat.Spec{Name: "home", Kind: kind})
		i.boot("home", i.peers...).relayed()
	}
}

// TestGivenPorts: a node behind a router that gives ports is reached from behind another, at once, bulk streams included, and the doctor says why.
func TestGivenPorts(t *testing.T) {
	if testing.Short() {
		t.Skip("a router that gives ports was not tested: -short")
	}
	i := homes(t, nat.Spec{Name: "upnp", Kind: nat.UPnP}, nat.Spec{Name: "cone", Kind: nat.Cone})
	seed := i.boot("upnp", i.peers...)
	seed.finding("reachable", "others reach it at /ip4/"+seed.host.Outside().String())
	var router string
	var tcp []string // ports that the router has given, which it does one after the other
	for deadline := time.Now().Add(reachTime); len(tcp) < 2 && time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		router, tcp = seed.finding("router", "it gave ports"), nil
		for _, word := range strings.Fields(strings.ReplaceAll(router, ",", " ")) {
			a, err := ma.NewMultiaddr(word)
			if err != nil {
				continue
			}
			if at, err := manet.ToNetAddr(a); err == nil && at.Network() == "tcp" {
				tcp = append(tcp, at.String())
			}
		}
	}
	if len(tcp) != 2 {
		t.Errorf("the router gave %d TCP ports, want one for peers and one for bulk streams: %s", len(tcp), router)
	}
	for _, at := range tcp {
		err := i.net.Host("relay-1").Do(func() error {
			c, err := net.DialTimeout("tcp", at, 5*time.Second)
			if err == nil {
				c.Close()
			}
			return err
		})
		if err != nil {
			t.Errorf("the router gave %s, but: %v", at, err)
		}
	}
	var shared struct{ Link string }
	path := filepath.Join(t.TempDir(), "film")
	want := file(t, path, 4<<20)
	seed.ask(&shared, "share", path)
	c, err := i.fetch("cone", seed, shared.Link, want, true)
	if err != nil || c.direct == 0 || !strings.Contains(c.why, "this node reached it") {
		t.Errorf("%+v, %v", c, err)
	}
}

// finding waits until the doctor says something about a thing, and returns all that it says.
func (c *computer) finding(check, says string) string {
	c.t.Helper()
	for deadline := time.Now().Add(reachTime); ; time.Sleep(200 * time.Millisecond) {
		var out struct {
			Findings []struct{ Check, State, Says string }
		}
		c.ask(&out, "doctor")
		for _, f := range out.Findings {
			if f.Check != check {
				continue
			}
			if strings.Contains(f.Says, says) && f.State == "ok" {
				return f.Says
			}
			if time.Now().After(deadline) {
				c.t.Fatalf("doctor: %s is %s: %s", check, f.State, f.Says)
			}
		}
	}
}

// pairings returns all pairs of kinds that are wanted.
func pairings(wanted func(pairing) bool) (all []pairing) {
	for _, seed := range nat.Kinds {
		for _, fetcher := range nat.Kinds {
			if p := (pairing{fetcher, seed}); wanted(p) {
				all = append(all, p)
			}
		}
	}
	return all
}

// TestMatrix measures every pair, one after the other; make bench-net runs it and prints the table.
func TestMatrix(t *testing.T) {
	which := os.Getenv("KITH_NAT_MATRIX")
	if which == "" {
		t.Skip("how fast the pairs of NATs are was not measured: that is make bench-net")
	}
	cells := matrix(t, pairings(func(p pairing) bool {
		return which == "all" || slices.Contains(strings.Split(which, ","), string(p.fetcher)+":"+string(p.seed))
	}), 4<<20, false)
	fmt.Println("| fetcher | seed | in theory | how | first bytes | direct after | 4 MiB |\n|---|---|---|---|---:|---:|---:|")
	if to := os.Getenv("KITH_NAT_JSON"); to != "" {
		if err := os.WriteFile(to, asJSON(t, cells), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range cells {
		how, direct := "relayed", ""
		if c.direct > 0 {
			how, direct = "direct, "+c.transport, fmt.Sprintf("%.1f s", c.direct.Seconds())
		}
		theory := map[bool]string{true: "direct", false: "relayed"}[c.pairing.direct()]
		fmt.Printf("| %s | %s | %s | %s | %.1f s | %s | %.1f s |\n", c.fetcher, c.seed, theory, how, c.first.Seconds(), direct, c.whole.Seconds())
	}
}

// asJSON returns cells for programs to read; times are in seconds.
func asJSON(t *testing.T, cells []cell) []byte {
	type out struct {
		Fetcher   string  `json:"fetcher"`
		Seed      string  `json:"seed"`
		Transport string  `json:"transport"`
		Why       string  `json:"why"`
		Theory    bool    `json:"theory"` // a direct connection is possible
		First     float64 `json:"first"`
		Direct    float64 `json:"direct"` // 0: there was none
		Whole     float64 `json:"whole"`
	}
	var list []out
	for _, c := range cells {
		list = append(list, out{string(c.fetcher), string(c.seed), c.transport, c.why, c.pairing.direct(), c.first.Seconds(), c.direct.Seconds(), c.whole.Seconds()})
	}
	b, err := json.MarshalIndent(list, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A pairing is who fetches from whom.
type pairing struct{ fetcher, seed nat.Kind }

// direct reports whether a direct connection must come about: both have an address family in common, and what one sees of the other's port, over UDP
// or TCP, is what the other's router uses for everybody; or nothing stands before one of them.
func (p pairing) direct() bool {
	punches := func(k nat.Kind) bool { return k == nat.Cone || k == nat.Double || k == nat.UDPBlocked }
	switch {
	case p.fetcher == nat.Public || p.seed == nat.Public, p.fetcher == nat.IPv6Only && p.seed == nat.IPv6Only:
		return true
	}
	return punches(p.fetcher) && punches(p.seed)
}

// matrix fetches a file of so many bytes for each pairing, some together if told so; all must arrive, and directly exactly where that can be.
func matrix(t *testing.T, pairings []pairing, size int, together bool) (cells []cell) {
	var specs []nat.Spec
	seeds := map[nat.Kind]*computer{}
	for _, k := range nat.Kinds {
		specs = append(specs, nat.Spec{Name: string(k), Kind: k}, nat.Spec{Name: "seed-" + string(k), Kind: k})
	}
	i := homes(t, specs...)
	links, want := map[nat.Kind]string{}, map[nat.Kind][]byte{}
	for _, p := range pairings {
		if seeds[p.seed] == nil {
			seeds[p.seed] = i.boot("seed-"+string(p.seed), i.peers...)
			i.befriend(seeds[p.seed])
		}
	}
	for kind, seed := range seeds {
		if kind != nat.Public {
			seed.relayed()
		}
		var shared struct{ Short string }
		path := filepath.Join(t.TempDir(), "film") // each its own: nobody else has it
		want[kind] = file(t, path, size)
		seed.ask(&shared, "share", path)
		links[kind] = shared.Short // the long one holds more
	}
	t.Run("cells", func(t *testing.T) {
		var mu sync.Mutex
		for _, p := range pairings {
			t.Run(string(p.fetcher)+" from "+string(p.seed), func(t *testing.T) {
				if together {
					t.Parallel()
				}
				here := *i
				here.t = t
				c, err := here.fetch(string(p.fetcher), seeds[p.seed], links[p.seed], want[p.seed], p.direct())
				c.pairing = p
				t.Logf("first bytes %.1f s, all %.1f s, direct %.1f s; %s", c.first.Seconds(), c.whole.Seconds(), c.direct.Seconds(), c.why)
				if err != nil {
					t.Error(err)
				}
				if p.direct() != (c.direct > 0) {
					t.Errorf("direct: %v, want %v: %s", c.direct > 0, p.direct(), c.why)
				}
				mu.Lock()
				defer mu.Unlock()
				cells = append(cells, c)
			})
		}
	})
	return cells
}
