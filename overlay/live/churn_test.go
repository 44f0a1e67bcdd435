package live_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	libp2p "github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"

	"kith"
	"kith/network"
	"kith/overlay"
	"kith/overlay/live"
	"kith/overlay/overlaytest"
	"kith/wire"
)

// A member is a node under test.
type member struct {
	net *network.Network
	*live.Router
	overlaytest.Node
}

// crew starts nodes that all came through the first.
func crew(t *testing.T, kind string, n int, to ...member) []member {
	t.Helper()
	for range n {
		net, r, node := start(t, kind, "", "", nil)
		to = append(to, member{net, r, node})
		if len(to) > 1 {
			if err := node.Connect(t.Context(), to[0].Info); err != nil {
				t.Fatal(err)
			}
		}
	}
	return to
}

// crash ends a node as if somebody had pulled the plug: nobody is told.
func (m member) crash() {
	m.net.Close()
	m.Router.Close()
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// some are the overlays that a long test runs on: in short runs the first is enough.
func some(t *testing.T, f func(t *testing.T, kind string)) {
	each(t, func(t *testing.T, kind string) {
		if testing.Short() && kind != live.Names()[0] {
			t.Skip("one overlay is enough in a short run")
		}
		f(t, kind)
	})
}

// Values and announcements are still there when nodes crash, and are kept by as many as before when others have come.
func TestChurn(t *testing.T) {
	some(t, func(t *testing.T, kind string) {
		all := crew(t, kind, 12)
		key := func(i int) string { return fmt.Sprintf("/v/%s %d", kind, i) }
		const count = 8
		for i := range count {
			if err := all[i].Router.PutValue(t.Context(), key(i), fmt.Appendf(nil, "v%d", i)); err != nil {
				t.Fatal(err)
			}
		}
		what := overlaytest.Key(t, 0)
		if err := all[0].Router.Provide(t.Context(), what, true); err != nil {
			t.Fatal(err)
		}
		kept := func(of []member, i int) (n int) {
			for _, m := range of {
				if m.Keeps(key(i)) {
					n++
				}
			}
			return n
		}
		for i := range count {
			until(t, "copies are kept", func() bool { return kept(all, i) >= live.Copies })
		}
		for _, m := range all[8:] {
			m.crash()
		}
		all = all[:8]
		check := func(all []member) {
			t.Helper()
			for i := range count {
				until(t, "a value is found", func() bool {
					v, err := all[(i+1)%len(all)].Router.GetValue(t.Context(), key(i))
					return err == nil && string(v) == fmt.Sprintf("v%d", i)
				})
			}
			until(t, "an announcement is found", func() bool {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				for p := range all[len(all)-1].Router.FindProvidersAsync(ctx, what, 1) {
					if p.ID == all[0].Info.ID {
						return true
					}
				}
				return false
			})
		}
		check(all)
		all = crew(t, kind, 6, all...)
		for i := range count {
			until(t, "newcomers keep what belongs to them", func() bool { return kept(all[8:], i) >= 2 || kept(all, i) >= live.Copies })
		}
		for _, m := range all[4:8] {
			m.crash()
		}
		check(append(all[:4:4], all[8:]...))
	})
}

// Who cannot be reached is no part of the overlay, and finds and is found all the same.
func TestClient(t *testing.T) {
	some(t, func(t *testing.T, kind string) {
		all := crew(t, kind, 5)
		c := all[4]
		until(t, "they know each other", func() bool { return all[0].Size() == 4 && c.Size() == 4 })
		for _, m := range all[:4] { // a client asks those whom it is connected to, and a neighbour may be one that has only been named
			if err := c.Connect(t.Context(), m.Info); err != nil {
				t.Fatal(err)
			}
		}
		reach, err := c.net.Host().EventBus().Emitter(new(event.EvtLocalReachabilityChanged), eventbus.Stateful)
		if err != nil {
			t.Fatal(err)
		}
		defer reach.Close()
		if err := reach.Emit(event.EvtLocalReachabilityChanged{Reachability: libp2p.ReachabilityPrivate}); err != nil {
			t.Fatal(err)
		}
		until(t, "it is a client", func() bool { return c.Mode() == "client" })
		until(t, "the others have it no more", func() bool { return all[0].Size() == 3 && all[3].Size() == 3 })
		until(t, "it asks through all of them", func() bool {
			list, err := c.Router.Entries(t.Context())
			return err == nil && len(list) == 4 && !slices.ContainsFunc(list, func(e overlay.Entry) bool { return e.Part != overlay.Gate })
		})
		what := overlaytest.Key(t, 0)
		if err := c.Router.Provide(t.Context(), what, true); err != nil {
			t.Fatal(err)
		}
		if err := c.Router.PutValue(t.Context(), "/v/client", []byte("v1")); err != nil {
			t.Fatal(err)
		}
		if err := all[1].Router.PutValue(t.Context(), "/v/member", []byte("v2")); err != nil {
			t.Fatal(err)
		}
		until(t, "its value is found", func() bool {
			v, err := all[2].Router.GetValue(t.Context(), "/v/client")
			return err == nil && string(v) == "v1"
		})
		until(t, "it finds a value", func() bool {
			v, err := c.Router.GetValue(t.Context(), "/v/member")
			return err == nil && string(v) == "v2"
		})
		until(t, "it is found", func() bool {
			for p := range all[3].Router.FindProvidersAsync(t.Context(), what, 1) {
				return p.ID == c.Info.ID
			}
			return false
		})
		near, err := all[0].Router.Closest(t.Context(), []byte("key"), 4)
		for _, p := range near {
			if p.ID == c.Info.ID {
				t.Error("a client is said to be near a key")
			}
		}
		if err != nil {
			t.Error(err)
		}
		if err := reach.Emit(event.EvtLocalReachabilityChanged{Reachability: libp2p.ReachabilityPublic}); err != nil {
			t.Fatal(err)
		}
		until(t, "it is a member again", func() bool { return c.Mode() == "server" && c.Size() == 4 && all[0].Size() == 4 })
	})
}

// Who wants more of a peer than that one answers gets it all, somewhat later, and does not take it for gone.
func TestEager(t *testing.T) {
	some(t, func(t *testing.T, kind string) {
		all := crew(t, kind, 2)
		until(t, "they know each other", func() bool { return all[0].Size() == 1 && all[1].Size() == 1 })
		var work sync.WaitGroup
		for i := range 8 {
			work.Go(func() {
				for j := range live.Burst / 10 {
					if _, err := all[0].Router.GetValue(t.Context(), fmt.Sprintf("/v/%d/%d", i, j)); !errors.Is(err, kith.NotFound) {
						t.Error(err)
					}
					if all[0].Size() != 1 {
						t.Error("the other is taken for gone")
						return
					}
				}
			})
		}
		work.Wait()
	})
}

// Two parts of a network that were built apart are one when one node of each has met the other.
func TestPartsMeet(t *testing.T) {
	t.Run(live.Names()[0], func(t *testing.T) { // others take half a minute: until their next round
		kind := live.Names()[0]
		one, two := crew(t, kind, 4), crew(t, kind, 4)
		until(t, "each part is whole", func() bool { return one[3].Size() == 3 && two[3].Size() == 3 })
		if err := two[2].Router.PutValue(t.Context(), "/v/two", []byte("v2")); err != nil {
			t.Fatal(err)
		}
		if err := one[1].Connect(t.Context(), two[1].Info); err != nil {
			t.Fatal(err)
		}
		for _, m := range append(one, two...) {
			until(t, "all are in one", func() bool { return m.Size() == 7 })
		}
		for _, m := range one {
			until(t, "what the one part keeps the other finds", func() bool {
				v, err := m.Router.GetValue(t.Context(), "/v/two")
				return err == nil && string(v) == "v2"
			})
		}
	})
}

// What a stranger sends that is wrong is refused, and others are answered.
func TestStranger(t *testing.T) {
	kind := live.Names()[0]
	all := crew(t, kind, 3)
	until(t, "the two others are in its tables", func() bool { return all[0].Size() == 2 })
	net, err := network.New(t.Context(), network.Config{Key: newKey(t), Listen: []string{"/ip4/127.0.0.1/tcp/0"}, NoMDNS: true, NoUPnP: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { net.Close() })
	if err := net.Connect(t.Context(), all[0].Info); err != nil {
		t.Fatal(err)
	}
	send := func(b []byte) ([]byte, error) {
		s, err := net.Host().NewStream(t.Context(), all[0].Info.ID, live.Protocol(network.DefaultName, kind))
		if err != nil {
			return nil, err
		}
		defer s.Close()
		s.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := s.Write(b); err != nil {
			return nil, err
		}
		s.CloseWrite()
		return io.ReadAll(s)
	}
	frame := func(v any) []byte {
		b, err := wire.AppendMsg(nil, v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	junk := make([]byte, 1000)
	rand.Read(junk)
	for name, b := range map[string][]byte{
		"junk": junk, "nothing": nil, "too long": {0xff, 0xff, 0xff, 0x7f}, "a recursive search": frame(map[int]any{1: 0, 2: map[int]any{1: 1}}),
	} {
		if got, err := send(b); err == nil && len(got) > 0 {
			t.Errorf("%s has an answer: %x", name, got)
		}
	}
	var a struct {
		Codes []uint8 `cbor:"4,keyasint"`
	}
	got, err := send(frame(map[int]any{1: 3, 5: []any{
		map[int]any{1: 0, 2: []byte("/v/forged"), 3: []byte("forged")}, map[int]any{1: 1, 2: []byte("key"), 3: []byte("no announcement")}, map[int]any{1: 0, 2: []byte("/v/right"), 3: []byte("v1")},
	}}))
	if err == nil {
		err = wire.ReadMsg(bytes.NewReader(got), 1000, &a)
	}
	if err != nil || len(a.Codes) != 3 || a.Codes[0] != 2 || a.Codes[1] != 2 || a.Codes[2] != 0 {
		t.Errorf("%v, %v", a.Codes, err)
	}
	if _, err := all[1].Router.GetValue(t.Context(), "/v/nothing"); !errors.Is(err, kith.NotFound) {
		t.Errorf("another is answered with %v", err)
	}
	if n := all[0].Size(); n != 2 {
		t.Errorf("%d in its tables: who only asks is no part of the overlay", n)
	}
}
