package bittorrent

import (
	"bufio"
	"cmp"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	pp "github.com/anacrolix/torrent/peer_protocol"

	"kith"
	"kith/bridge/bittorrent/metainfo"
)

// hybrids are a file and a folder, which the library is told of in different ways.
func hybrids() map[string]map[string][]byte {
	return map[string]map[string][]byte{"film.mkv": {"": sample(9, 1<<20+4321)}, "Ordner": folder()}
}

// TestByVersion2: who knows the infohash of version 2 alone of what has both finds it, from the first peer on; and so does who knows that of version 1 alone, where it is being fetched by the
// other. All are told trackers of under both.
func TestByVersion2(t *testing.T) {
	for name, files := range hybrids() {
		t.Run(name, func(t *testing.T) {
			ctx := timed(t, time.Minute)
			told := &names{}
			srv := httptest.NewServer(told)
			defer srv.Close()
			a := newNode(t, func(o *Options) { o.Config.Hybrid, o.Config.Trackers = true, []string{srv.URL + "/announce"} })
			share := a.share(name, files)
			both, err := a.Publish(ctx, share)
			if err != nil {
				t.Fatal(err)
			}
			list := hashesOf(both)
			until(t, 10*time.Second, "the tracker is told of both by who publishes", func() bool { return told.has(list...) })

			b := newNode(t, func(o *Options) { o.Config.Trackers = []string{srv.URL + "/of-b/announce"} })
			l := a.link(kith.Names{V2: both.V2})
			d := b.get(ctx, l)
			until(t, 10*time.Second, "the tracker is told of both by who fetches", func() bool { return told.has(list...) })
			d.all(ctx)
			d.mustBe(ctx, files)

			c := newNode(t, nil)
			e := c.get(ctx, b.link(kith.Names{V1: both.V1})) // which was found by that of version 2
			e.all(ctx)
			e.mustBe(ctx, files)
			f := newNode(t, nil).get(ctx, c.link(kith.Names{V2: both.V2})) // which was found by that of version 1
			f.all(ctx)
			f.mustBe(ctx, files)

			if err := a.Withdraw(ctx, share.Root); err != nil {
				t.Fatal(err)
			}
			d.o.Close()
			for _, n := range []*node{a, b} {
				for _, h := range list {
					if _, ok := n.client.cl.Torrent([20]byte(h)); ok {
						t.Errorf("%s is still there", h)
					}
				}
			}
		})
	}
}

// TestDigestsOfFolder: a peer is given the digests of version 2 of a file in a folder of both versions, and their proof; and is refused what there is not, and what it has had.
func TestDigestsOfFolder(t *testing.T) {
	ctx := timed(t, time.Minute)
	a := newNode(t, func(o *Options) { o.Config.Hybrid = true })
	share := a.share("Ordner", folder())
	both, err := a.Publish(ctx, share)
	if err != nil {
		t.Fatal(err)
	}
	_, tor, err := a.store0(ctx, share.Root)
	if err != nil {
		t.Fatal(err)
	}
	big := slices.MaxFunc(tor.Files, func(a, b metainfo.File) int { return cmp.Compare(a.Size, b.Size) })
	tree, first := metainfo.NewTree(tor.Layers[big.Root], tor.PieceLength), pp.Integer(baseLayer(tor.PieceLength))
	c := handshake(t, a, kith.InfoHash(both.V2[:20]))
	from := pp.Decoder{R: bufio.NewReader(c), MaxLength: 1 << 20}
	ask := func(m pp.Message) (answer pp.Message) {
		t.Helper()
		m.Type = pp.HashRequest
		raw, err := m.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(10 * time.Second))
		c.Write(raw)
		for answer.Type != pp.Hashes && answer.Type != pp.HashReject {
			answer = pp.Message{}
			if err := from.Decode(&answer); err != nil {
				t.Fatal(err)
			}
		}
		return answer
	}
	m := pp.Message{PiecesRoot: big.Root, BaseLayer: first, Index: 4, Length: 4, ProofLayers: 3}
	want, err := tree.Hashes(4, 4, 3)
	if got := ask(m); err != nil || got.Type != pp.Hashes || !slices.Equal(got.Hashes, want) {
		t.Errorf("%v of %d, want %d, %v", got.Type, len(got.Hashes), len(want), err)
	}
	for _, m := range []pp.Message{
		{PiecesRoot: [32]byte{1}, BaseLayer: first, Length: 2}, {PiecesRoot: big.Root, BaseLayer: first + 1, Length: 2}, {PiecesRoot: big.Root, BaseLayer: first, Length: 1 << 31},
	} {
		if got := ask(m); got.Type != pp.HashReject {
			t.Errorf("%+v is answered with %d digests", m, len(got.Hashes))
		}
	}
	given := 0
	for ; ask(m).Type == pp.Hashes; given++ {
		if given > 2*servedTimes*tor.NumPieces() {
			t.Fatal("they are given for ever")
		}
	}
	if given < servedTimes {
		t.Errorf("they are given %d times", given)
	}
}

// names is a tracker that notes what it is told of.
type names struct {
	mu   sync.Mutex
	list []string
}

// ServeHTTP implements http.Handler.
func (n *names) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	n.list = append(n.list, r.URL.Path+r.URL.Query().Get("info_hash"))
	n.mu.Unlock()
	io.WriteString(w, "d8:intervali900e5:peers0:e")
}

// has reports whether it was told of all of them since it was asked last.
func (n *names) has(list ...kith.InfoHash) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, path := range []string{"/announce", "/of-b/announce"} {
		all := true
		for _, h := range list {
			all = all && slices.Contains(n.list, path+string(h[:]))
		}
		if all {
			n.list = slices.DeleteFunc(n.list, func(s string) bool { return s[:len(s)-len(kith.InfoHash{})] == path })
			return true
		}
	}
	return false
}
