package network_test

import (
	"context"
	"crypto/rand"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multihash"

	"kith/lab/nat"
	"kith/lab/sim"
	"kith/network"
	"kith/overlay/kaddht"
)

// A member is a node with its overlay, on a host of a pretended internet.
type member struct {
	*network.Network
	routes *kaddht.Router
	host   *sim.Host
}

func newHost(t *testing.T, net *sim.Net) *sim.Host {
	t.Helper()
	h, err := net.Add(sim.Spec{Name: "host", Kind: nat.Public, Delay: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func newKey(t *testing.T) crypto.PrivKey {
	t.Helper()
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// boot starts a node on a host. dir may be "".
func boot(t *testing.T, h *sim.Host, key crypto.PrivKey, dir string) *member {
	t.Helper()
	w, err := network.New(t.Context(), network.Config{Key: key, Version: "test", Listen: h.Listen(), Packets: h.ListenUDP, Dir: dir, NoMDNS: true, NoUPnP: true})
	if err != nil {
		t.Fatal(err)
	}
	r, err := kaddht.New(t.Context(), kaddht.Options{Host: w.Host(), Network: w.Name(), DS: w.Store()})
	if err != nil {
		t.Fatal(err)
	}
	return &member{w, r, h}
}

func (m *member) stop() {
	m.routes.Close()
	m.Close()
}

// join connects each with the one before, so that nobody is in the middle.
func join(t *testing.T, all []*member) {
	t.Helper()
	for i, m := range all[1:] {
		if err := m.Connect(t.Context(), peer.AddrInfo{ID: all[i].ID(), Addrs: all[i].Host().Addrs()}); err != nil {
			t.Fatal(err)
		}
	}
}

// sees returns with how many of the others m is connected.
func (m *member) sees(others []*member) (n int) {
	for _, o := range others {
		if m.Direct(o.ID()) {
			n++
		}
	}
	return n
}

// TestPartition cuts a network of twenty nodes in two for two minutes of a fake clock. Half a minute after the cable is mended each node is connected with the
// other half again, and finds what was announced there meanwhile.
func TestPartition(t *testing.T) {
	if testing.Short() {
		t.Skip("a partition was not tested: -short")
	}
	synctest.Test(t, func(t *testing.T) {
		net := sim.New(1)
		defer net.Close()
		defer time.Sleep(time.Minute) // libp2p's AutoNAT ends later than its host
		var all []*member
		for range 20 {
			m := boot(t, newHost(t, net), newKey(t), "")
			defer m.stop()
			all = append(all, m)
		}
		join(t, all)
		west, east := all[:10], all[10:]
		time.Sleep(2 * time.Minute)
		for i, m := range all {
			if n := m.sees(all); n < 5 {
				t.Fatalf("before the cut, node %d is connected with %d", i, n)
			}
		}
		side := map[*sim.Host]int{}
		for _, m := range east {
			side[m.host] = 1
		}
		net.Part(side)
		time.Sleep(time.Minute)
		sum, err := multihash.Sum([]byte("announced during the cut"), multihash.SHA2_256, -1)
		if err != nil {
			t.Fatal(err)
		}
		key := cid.NewCidV1(cid.Raw, sum)
		if err := west[3].routes.Provide(t.Context(), key, true); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		for i, m := range west {
			if n := m.sees(east); n > 0 {
				t.Fatalf("after two minutes node %d is still connected with %d beyond the cut", i, n)
			}
		}
		net.Part(nil)
		start := time.Now()
		healed := func() bool {
			for _, m := range west {
				if m.sees(east) == 0 {
					return false
				}
			}
			for _, m := range east {
				if m.sees(west) == 0 {
					return false
				}
			}
			return true
		}
		for !healed() {
			if time.Since(start) > 30*time.Second {
				t.Fatal("30 seconds after the cable was mended there are nodes without a connection to the other half")
			}
			time.Sleep(100 * time.Millisecond)
		}
		t.Logf("each node is connected with the other half after %v", time.Since(start))
		for i, m := range east {
			ctx, cancel := context.WithDeadline(t.Context(), start.Add(30*time.Second))
			found := false
			for p := range m.routes.FindProvidersAsync(ctx, key, 1) {
				found = found || p.ID == west[3].ID()
			}
			cancel()
			if !found {
				t.Errorf("node %d does not find what was announced on the other side", 10+i)
			}
		}
	})
}

// TestBackAfterAMonth: a node that was off for thirty days, and remembers sixteen peers of whom fifteen have moved, finds its network by the one who has not. They are all in
// one part of the internet, of which no more than sixteen are remembered.
func TestBackAfterAMonth(t *testing.T) {
	if testing.Short() {
		t.Skip("coming back after a month was not tested: -short")
	}
	synctest.Test(t, func(t *testing.T) {
		net := sim.New(2)
		defer net.Close()
		defer time.Sleep(time.Minute) // libp2p's AutoNAT ends later than its host
		var keys []crypto.PrivKey
		for range 17 {
			keys = append(keys, newKey(t))
		}
		dir := t.TempDir()
		away, stayed := newHost(t, net), newHost(t, net)
		run := func(host func(i int) *sim.Host) (all []*member) {
			for i, key := range keys[1:] {
				all = append(all, boot(t, host(i), key, ""))
			}
			join(t, all)
			return all
		}
		all := run(func(i int) *sim.Host {
			if i == 13 {
				return stayed
			}
			return newHost(t, net)
		})
		me := boot(t, away, keys[0], dir)
		join(t, append(all, me))
		time.Sleep(2 * time.Minute)
		join(t, []*member{all[13], me})
		if n := me.sees(all); n < 14 {
			t.Fatalf("before, it knows %d of the others", n)
		}
		me.stop()
		for _, m := range all {
			m.stop()
		}
		time.Sleep(30 * 24 * time.Hour)
		all = run(func(i int) *sim.Host {
			if i == 13 {
				return stayed
			}
			return newHost(t, net)
		})
		time.Sleep(time.Minute)
		me = boot(t, away, keys[0], dir)
		start := time.Now()
		for me.sees(all) < 10 {
			if time.Since(start) > 2*time.Minute {
				t.Fatalf("after two minutes it is connected with %d", me.sees(all))
			}
			time.Sleep(100 * time.Millisecond)
		}
		t.Logf("connected with ten of them after %v", time.Since(start))
		me.stop()
		for _, m := range all {
			m.stop()
		}
	})
}
