package network

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	libp2p "github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// kept returns a change of configuration that keeps a node's key and folder, so that it can be started again.
func kept(t testing.TB) func(*Config) {
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	return func(c *Config) { c.Key, c.Dir = key, dir }
}

// Peers that a node was connected to are dialled again when it starts.
func TestRemembered(t *testing.T) {
	keep := kept(t)
	a, b := newNode(t, keep), newNode(t)
	if err := a.Connect(soon(t), info(b)); err != nil {
		t.Fatal(err)
	}
	until(t, "b is known", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.known[b.ID()] != nil
	})
	a.Close()
	a = newNode(t, keep)
	until(t, "b is connected again", func() bool { return len(a.Peers()) == 1 })
}

// What is remembered is bounded in number and in age, and rows that make no sense are dropped.
func TestRememberedBounds(t *testing.T) {
	keep := kept(t)
	a := newNode(t, keep)
	now := time.Now().Unix()
	ids := make([]peer.ID, maxKnown+50)
	a.mu.Lock()
	for i := range ids {
		key, _, _ := crypto.GenerateEd25519Key(rand.Reader)
		ids[i], _ = peer.IDFromPrivateKey(key)
		a.known[ids[i]] = &known{ID: ids[i], Seen: now - int64(i), dirty: true}
	}
	a.known[ids[0]].Seen = now - int64(knownAge.Seconds()) - 10
	a.mu.Unlock()
	a.store.Put(t.Context(), knownPrefix.ChildString("garbage"), []byte("garbage"))
	a.store.Put(t.Context(), knownPrefix.ChildString(ids[0].String()), []byte{0xff})
	a.Close()
	a = newNode(t, keep)
	a.mu.Lock()
	defer a.mu.Unlock()
	if n := len(a.known); n < maxKnown-1 || n > maxKnown {
		t.Errorf("%d peers are remembered, want about %d", n, maxKnown)
	}
	if a.known[ids[0]] != nil {
		t.Error("one that was not seen for long is remembered")
	}
	if a.known[ids[1]] == nil || a.known[ids[len(ids)-1]] == nil || a.known[ids[len(ids)/2]] != nil {
		t.Error("not those are remembered who were seen last, and who have been known longest")
	}
}

// Of many who are remembered, each is dialled in its turn, not the best again and again.
func TestRememberedInTurn(t *testing.T) {
	a := newNode(t)
	now := time.Now().Unix()
	a.mu.Lock()
	for i := range 50 {
		id := peer.ID(fmt.Sprint("somebody ", i))
		a.known[id] = &known{ID: id, Seen: now - int64(i)}
	}
	a.mu.Unlock()
	asked, rounds := map[peer.ID]int{}, 0
	turn := 0
	for more := true; more; rounds++ {
		var list []peer.AddrInfo
		list, more = a.missing(nil, &turn)
		for _, p := range list {
			asked[p.ID]++
		}
		turn += redialRound
	}
	if len(asked) != 50 || rounds != 4 {
		t.Errorf("in %d rounds %d of 50 were asked", rounds, len(asked))
	}
	if list, _ := a.missing(nil, &turn); len(list) != redialRound || asked[list[0].ID] != 1 {
		t.Errorf("the next pass begins with %d", len(list))
	}
}

// Wanted peers are dialled again after they were gone.
func TestWanted(t *testing.T) {
	keep := kept(t)
	b := newNode(t, keep, func(c *Config) { c.Listen = nil })
	a := newNode(t, func(c *Config) {
		for _, addr := range b.Addrs() {
			if strings.HasPrefix(addr.String(), "/ip4/127.0.0.1/tcp") && !strings.Contains(addr.String(), "/ws") {
				c.Peers = append(c.Peers, addr.String())
			}
		}
	})
	until(t, "b is connected", func() bool { return len(a.Peers()) == 1 })
	b.Close()
	until(t, "b is gone", func() bool { return len(a.Peers()) == 0 })
	newNode(t, keep, func(c *Config) { c.Listen = nil })
	until(t, "b is connected again", func() bool { return len(a.Peers()) == 1 })
}

// The port is chosen once; taken by another, it is the next one that is free, and a person is told.
func TestPorts(t *testing.T) {
	keep := kept(t)
	every := listen()
	start := func() (main, bulk string) {
		a := newNode(t, keep, every)
		defer a.Close()
		for _, l := range a.Listening() {
			switch {
			case l.For == "bulk":
				_, bulk, _ = net.SplitHostPort(a.bulk.listener.Addr().String())
			case strings.HasSuffix(l.Addr, "/quic-v1"):
				main, _ = ma.StringCast(l.Addr).ValueForProtocol(ma.P_UDP)
			}
		}
		if notes := a.Notes(); len(notes) > 0 {
			t.Log(notes)
			main = "noted: " + main
		}
		return main, bulk
	}
	main, bulk := start()
	if m, b := start(); m != main || b != bulk {
		t.Fatalf("ports %s %s, then %s %s", main, bulk, m, b)
	}
	taken, err := net.Listen("tcp", ":"+main)
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	m, b := start()
	if !strings.HasPrefix(m, "noted: ") || strings.HasSuffix(m, main) || b != bulk {
		t.Errorf("with port %s taken, it listens on %q and %s", main, m, b)
	}
	var dir string
	keepDir := func(c *Config) { dir = c.Dir }
	newNode(t, keep, keepDir).Close()
	if err := os.WriteFile(filepath.Join(dir, "ports"), []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if m, b := start(); m == "" || b == "" {
		t.Errorf("with a ports file that makes no sense, it listens on %q and %q", m, b)
	}
}

// Subscribers learn who comes and goes.
func TestEvents(t *testing.T) {
	a, b := newNode(t), newNode(t)
	events, stop := a.Subscribe()
	idle, stopIdle := a.Subscribe()
	defer stopIdle()
	if err := b.Connect(soon(t), info(a)); err != nil {
		t.Fatal(err)
	}
	if e := <-events; e.Peer != b.ID() || !e.Connected {
		t.Errorf("%+v", e)
	}
	b.Close()
	if e := <-events; e.Peer != b.ID() || e.Connected {
		t.Errorf("%+v", e)
	}
	stop()
	stop()
	if _, ok := <-events; ok {
		t.Error("an event after cancel")
	}
	a.Close()
	for range 2 {
		<-idle
	}
	if _, ok := <-idle; ok {
		t.Error("an event after Close")
	}
	if ch, _ := a.Subscribe(); ch != nil {
		if _, ok := <-ch; ok {
			t.Error("an event for who subscribed after Close")
		}
	}
}

// Close ends every goroutine that New and the streams began.
func TestCloseEndsAll(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 3 {
		a, b := newNode(t, kept(t)), newNode(t)
		b.Handle("/echo/1", echo)
		b.Handle("/wait/1", func(ctx context.Context, s Stream) error { <-ctx.Done(); return nil })
		if err := a.Connect(soon(t), info(b)); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			s, err := a.OpenBulk(soon(t), b.ID(), "/echo/1")
			if err != nil {
				t.Fatal(err)
			}
			exchange(t, s)
			if _, err := a.OpenBulk(soon(t), b.ID(), "/wait/1"); err != nil {
				t.Fatal(err)
			}
		}
		a.Peers()
		a.Close()
		b.Close()
	}
	var stacks bytes.Buffer
	defer func() {
		if t.Failed() {
			buf := make([]byte, 1<<20)
			stacks.Write(buf[:runtime.Stack(buf, true)])
			t.Log(stacks.String())
		}
	}()
	until(t, "as few goroutines as before", func() bool { return runtime.NumGoroutine() <= before })
}

// Defect 5: dials beyond the local network begin one after another, those within are not held up, and nobody waits for ever.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := Limits{Dials: 10, Burst: 5}.orDefault()
		rm := l.pace(t.Context(), &libp2p.NullResourceManager{})
		far, near := ma.StringCast("/ip4/8.8.8.8/tcp/1"), ma.StringCast("/ip4/192.168.1.2/tcp/1")
		began := time.Now()
		for range 15 {
			if _, err := rm.OpenConnection(libp2p.DirOutbound, true, far); err != nil {
				t.Fatal(err)
			}
		}
		if d := time.Since(began); d < time.Second-time.Millisecond || d > 1100*time.Millisecond {
			t.Errorf("15 dials took %v, want 1 s", d)
		}
		began = time.Now()
		for range 100 {
			rm.OpenConnection(libp2p.DirOutbound, true, near)
			rm.OpenConnection(libp2p.DirInbound, true, far)
		}
		if d := time.Since(began); d != 0 {
			t.Errorf("local and inbound connections waited %v", d)
		}
		refused := make(chan error, 200)
		for range cap(refused) {
			go func() {
				_, err := rm.OpenConnection(libp2p.DirOutbound, true, far)
				refused <- err
			}()
		}
		no := 0
		for range cap(refused) {
			if err := <-refused; errors.Is(err, libp2p.ErrResourceLimitExceeded) {
				no++
			}
		}
		if want := cap(refused) - int(l.Dials*maxPace.Seconds()); no < want-2 || no > want+2 {
			t.Errorf("%d of %d dials were refused, want %d", no, cap(refused), want)
		}
	})
}

// inNetns is set in the process that TestNeighbours starts.
const inNetns = "KITH_TEST_IN_NETNS"

// Two nodes on one local network find each other without being told anything, nodes of another network or with NoMDNS do not take part.
func TestNeighbours(t *testing.T) {
	if os.Getenv(inNetns) == "" {
		script := `ip link set lo up && ip link add kith0 type veth peer name kith1 && ip link set kith0 up && ip link set kith1 up &&
			ip addr add 192.168.77.2/24 dev kith0 && ip route add default dev kith0 && exec "$0" -test.run '^TestNeighbours$' -test.v`
		cmd := exec.Command("unshare", "-n", "sh", "-c", script, os.Args[0])
		cmd.Env = append(os.Environ(), inNetns+"=1")
		out, err := cmd.CombinedOutput()
		if err != nil && !bytes.Contains(out, []byte("=== RUN")) {
			t.Skipf("neighbours finding each other was not tested: a network namespace is needed: %v %s", err, out)
		}
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	every := listen()
	on := func(c *Config) { c.NoMDNS = false }
	a, b := newNode(t, every, on), newNode(t, every, on)
	other := newNode(t, every, on, func(c *Config) { c.Name = "other" })
	silent := newNode(t, every)
	until(t, "a and b are connected", func() bool { return len(a.Peers()) == 1 && len(b.Peers()) == 1 })
	if p := a.Peers()[0]; p.ID != b.ID() || !strings.HasSuffix(p.Why, "same network") && !strings.HasSuffix(p.Why, "same computer") {
		t.Errorf("%+v", p)
	}
	if len(other.Peers()) != 0 || len(silent.Peers()) != 0 {
		t.Error("somebody else was found too")
	}
	mdns := 0
	for _, l := range append(a.Listening(), silent.Listening()...) {
		if l.For == "mdns" {
			mdns++
		}
	}
	if mdns != 2 {
		t.Errorf("%d lines of Listening say mdns, want those of a alone", mdns)
	}
}

func FuzzReadProtocol(f *testing.F) {
	f.Add([]byte("\x07/echo/1rest"))
	f.Add([]byte{255})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		id, err := readProtocol(bytes.NewReader(b))
		if err == nil && (len(b) == 0 || len(id) != int(b[0]) || !bytes.HasPrefix(b[1:], []byte(id))) {
			t.Errorf("%q read as %q", b, id)
		}
	})
}

func FuzzKnown(f *testing.F) {
	f.Add([]byte{0xa2, 1, 0x81, 0x48, 4, 127, 0, 0, 1, 6, 0x0f, 0xa1, 2, 1})
	f.Add([]byte{0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		var k known
		if knownDecoder.Unmarshal(b, &k) == nil && len(k.info().Addrs) > maxKnownAddrs {
			t.Error("too many addresses")
		}
	})
}

func FuzzPlain(f *testing.F) {
	f.Add("kith/1.0")
	f.Add("\x1b[31mred\u202e\x00\n")
	f.Fuzz(func(t *testing.T, s string) {
		got := plain(s)
		if strings.ContainsAny(got, "\x1b\x00\n\r\t\u202e") || len([]rune(got)) > maxAgent || plain(got) != got {
			t.Errorf("%q became %q", s, got)
		}
	})
}
