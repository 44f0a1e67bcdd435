package search_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multihash"

	"kith"
	"kith/app"
	"kith/apps/files"
	"kith/apps/search"
	"kith/apptest"
	"kith/identity"
	"kith/network"
	"kith/overlay"
	"kith/search/rare"
	"kith/search/shard"
	"kith/search/spread"
	"kith/transfer"
)

// apart makes applications that tell each other neither publications nor filters, as nodes of a network in which theirs are elsewhere: what one publishes no other can know of,
// but by the overlay.
func (w *tap) apart(t *testing.T, section string) func() ([]app.App, transfer.Guard) {
	build := w.with(t, section)
	return func() ([]app.App, transfer.Guard) {
		list, guard := build()
		for i := range list {
			if list[i].Name != "search" {
				continue
			}
			start := list[i].Start
			list[i].Start = func(ctx context.Context, env app.Env) error {
				env.Net = deaf{env.Net}
				return start(ctx, env)
			}
			for k := range list[i].Protocols {
				if p := &list[i].Protocols[k]; p.ID == shard.ProtocolID || p.ID == spread.ProtocolID {
					p.Serve = func(context.Context, network.Stream) error { return kith.Denied }
				}
			}
		}
		return list, guard
	}
}

// deaf talks of no publications and filters.
type deaf struct{ app.Dialer }

func (d deaf) Open(ctx context.Context, to peer.ID, p protocol.ID) (network.Stream, error) {
	if p == shard.ProtocolID || p == spread.ProtocolID {
		return nil, kith.Unavailable
	}
	return d.Dialer.Open(ctx, to, p)
}

// What one node has, of which no publication and no filter came, is found by its words with the overlay alone, and fetched; not by who looks only here, nor when it is taken back, nor what is
// not public.
func TestRare(t *testing.T) {
	for _, name := range []string{"", "chord", "pastry", "kademlia"} {
		t.Run("overlay "+name, func(t *testing.T) {
			t.Parallel()
			var w tap
			net := apptest.NewOn(t, name, 6, w.apart(t, `rare = "always"`)) // all know 0 alone
			share(t, net.Node(1), "Bootleg from Zanzibar.flac", "bootleg", files.ShareIn{For: "public"})
			share(t, net.Node(2), "Diary of Timbuktu.txt", "secret", files.ShareIn{})
			share(t, net.Node(3), "Maps of Samarkand.txt", "maps", files.ShareIn{For: "public", Private: true})
			asker := net.Node(5)
			out := until(t, asker, "zanzibar bootleg", "what only the overlay knows of is not found", one)
			if r := out.Results[0]; out.Asked != 1 || out.Answered != 1 || r.Here || len(r.Strangers) != 1 || r.Strangers[0] != net.Node(1).Network().ID() {
				t.Errorf("asked %d, %d answered: %+v", out.Asked, out.Answered, r)
			}
			for _, word := range []string{"timbuktu", "samarkand", "zanzibar timbuktu"} {
				if out := find(t, asker, word); !none(out) && len(out.Results[0].Missing) == 0 {
					t.Errorf("%s: %+v", word, out)
				}
			}
			for _, in := range []search.SearchIn{{Words: []string{"zanzibar"}, Local: true}, {Words: []string{"zanzibar"}, Typing: true}} {
				var out search.SearchOut
				if err := asker.Call(t.Context(), "search", "search", in, &out); err != nil || out.Asked > 0 || len(out.Results) > 0 {
					t.Errorf("%+v asks %d, %v", in, out.Asked, err)
				}
			}
			net.Restart(1)
			until(t, asker, "from zanzibar", "it is not found when its node has come back", one)
			if err := net.Node(1).Call(t.Context(), "files", "unpublish", files.UnpublishIn{Ref: "Bootleg from Zanzibar.flac", For: "link"}, new(any)); err != nil {
				t.Fatal(err)
			}
			until(t, asker, "zanzibar", "what was taken back is found", none)
			if err := net.Node(1).Call(t.Context(), "files", "publish", files.PublishIn{Ref: "Bootleg from Zanzibar.flac", For: "public"}, new(any)); err != nil {
				t.Fatal(err)
			}
			until(t, asker, "zanzibar", "what was made public again is not found", one)
			var got search.SearchOut
			for end := time.Now().Add(time.Minute); got.Fetching == ""; { // its node may be slow to answer
				if err := asker.Call(t.Context(), "search", "search", search.SearchIn{Words: []string{"zanzibar"}, Get: 1}, &got); err != nil && (!errors.Is(err, kith.NotFound) || time.Now().After(end)) {
					t.Fatal(err)
				}
			}
			until(t, asker, "zanzibar", "it was not fetched", func(out search.SearchOut) bool { return one(out) && out.Results[0].Here })
		})
	}
}

// In a network that is no larger than a shard the overlay is no index, nor is it where the settings say so; what an earlier run has announced is announced no more.
func TestRareQuiet(t *testing.T) {
	for _, setting := range []string{"", `rare = "auto"`, `rare = "never"`} {
		var w tap
		net := apptest.New(t, 3, w.apart(t, setting))
		share(t, net.Node(1), "Bootleg from Zanzibar.flac", "bootleg", files.ShareIn{For: "public"})
		until(t, net.Node(1), "zanzibar", "its owner does not find it", one)
		for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			if out := find(t, net.Node(2), "zanzibar"); !none(out) || out.Asked > 0 {
				t.Fatalf("%s: %+v", setting, out)
			}
		}
	}
	var w tap
	me, err := identity.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	list, _ := w.with(t, `rare = "sometimes"`)()
	for _, a := range list {
		if a.Name == "search" {
			if err := a.Start(t.Context(), app.Env{Me: me, Dir: t.TempDir()}); !errors.Is(err, kith.Invalid) || !strings.Contains(kith.HintOf(err), "never") {
				t.Errorf("%v", err)
			}
		}
	}
}

// A ledger is an overlay that notes what search announces and withdraws.
type ledger struct {
	overlay.Router
	mu   sync.Mutex
	keys map[cid.Cid]bool // that are announced
	ever map[cid.Cid]bool
}

func (l *ledger) Provide(ctx context.Context, key cid.Cid, announce bool) error {
	l.mu.Lock()
	l.keys[key], l.ever[key] = true, true
	l.mu.Unlock()
	return l.Router.Provide(ctx, key, announce)
}

func (l *ledger) Withdraw(ctx context.Context, keys ...cid.Cid) error {
	l.mu.Lock()
	for _, k := range keys {
		delete(l.keys, k)
	}
	l.mu.Unlock()
	return l.Router.Withdraw(ctx, keys...)
}

// key is that of a word.
func (l *ledger) key(word string) cid.Cid {
	key := rare.Word(word)
	mh, _ := multihash.Encode(key[:], multihash.SHA2_256)
	return cid.NewCidV1(cid.Raw, mh)
}

// until waits until a word is announced, or is so no longer; "" is any.
func (l *ledger) until(t *testing.T, word string, wanted bool) {
	t.Helper()
	key := l.key(word)
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		l.mu.Lock()
		is, have := l.keys[key], len(l.keys)
		l.mu.Unlock()
		if word == "" {
			is = have > 0
		}
		if is == wanted {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%q is announced: %v, of %d keys", word, is, have)
		}
	}
}

// What is public is announced by its words, and by no words of what is not; what is so no longer is withdrawn, also after a restart with which that ends.
func TestRareWithdraw(t *testing.T) {
	var w tap
	section := `rare = "always"`
	l := &ledger{keys: map[cid.Cid]bool{}, ever: map[cid.Cid]bool{}}
	net := apptest.New(t, 1, func() ([]app.App, transfer.Guard) {
		list, guard := w.with(t, section)()
		for i := range list {
			if start := list[i].Start; list[i].Name == "search" {
				list[i].Start = func(ctx context.Context, env app.Env) error {
					l.Router = env.Routes
					env.Routes = l
					return start(ctx, env)
				}
			}
		}
		return list, guard
	})
	n := net.Node(0)
	share(t, n, "Timbuktu.txt", "2", files.ShareIn{})
	share(t, n, "Kashgar.pdf", "4", files.ShareIn{For: "contacts"})
	share(t, n, "Bukhara.mp3", "5", files.ShareIn{For: "public", Private: true})
	share(t, n, "Zanzibar.flac", "1", files.ShareIn{For: "public"})
	l.until(t, "zanzibar", true)
	share(t, n, "Samarkand.flac", "3", files.ShareIn{For: "public"})
	l.until(t, "samarkand", true)
	l.until(t, "zanzibar", true)
	l.until(t, "flac", true)
	l.until(t, "text", true) // as which both are known, by what is in them
	l.mu.Lock()
	if len(l.ever) != 4 {
		t.Errorf("%d keys were announced, want those of zanzibar, samarkand, flac and text", len(l.ever))
	}
	l.mu.Unlock()
	if err := n.Call(t.Context(), "files", "unpublish", files.UnpublishIn{Ref: "Zanzibar.flac", For: "link"}, new(any)); err != nil {
		t.Fatal(err)
	}
	l.until(t, "zanzibar", false)
	l.until(t, "samarkand", true)
	section = `rare = "never"`
	net.Restart(0)
	l.until(t, "", false)
}
