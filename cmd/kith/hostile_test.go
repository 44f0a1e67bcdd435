package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"kith"
	"kith/apps/files"
	"kith/blob/bao"
	"kith/network"
	"kith/transfer"
	"kith/transfer/proto"
	"kith/wire"
)

// The tests in this file are peers of real nodes, and speak /kith/blob/1 as transfer/README.md has it: the messages are written down here once more, so that
// a node that no longer speaks what is documented is found too.

// A said is a message of an asker.
type said struct {
	Hello *struct {
		Root []byte `cbor:"1,keyasint"`
	} `cbor:"1,keyasint,omitempty"`
	Request *request `cbor:"2,keyasint,omitempty"`
	Follow  *int     `cbor:"4,keyasint,omitempty"`
}

type request struct {
	ID    uint64  `cbor:"1,keyasint"`
	Items []asked `cbor:"2,keyasint"`
}

type asked struct {
	_     struct{} `cbor:",toarray"`
	Sum   []byte
	First int64
	N     int64
	Proof bool
}

// msg is a map with integers as keys.
type msg = map[int]any

func welcome(size int) msg { return msg{1: msg{1: 0, 2: size}} }

// join is a peer of the nodes that boot starts, which serves what h says.
func join(t *testing.T, h func(context.Context, network.Stream) error) *network.Network {
	t.Helper()
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	n, err := network.New(t.Context(), network.Config{Key: key, Name: "test", Listen: []string{"/ip4/127.0.0.1/tcp/0"}, NoMDNS: true, NoUPnP: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	if h != nil {
		n.Handle(transfer.Protocol, h)
	}
	return n
}

// A liar has a file, and serves it as the protocol says but for what its hooks do.
type liar struct {
	data    []byte
	tree    *bao.Tree
	greet   func(s network.Stream) error           // instead of a welcome
	have    msg                                    // instead of a have-map that says all
	send    func(s network.Stream, p []byte) error // sends an answer
	nothing bool                                   // it answers that it does not have what it said it has
}

const firstRequest = 1 << 62 // the number of the request that proves the size

func newLiar(t *testing.T, data []byte) (*liar, kith.Ref) {
	t.Helper()
	out := make(bao.Memory, bao.OutboardSize(int64(len(data))))
	sum, err := bao.Build(t.Context(), bytes.NewReader(data), int64(len(data)), out, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &liar{data: bytes.Clone(data), tree: bao.NewTree(sum, int64(len(data)), out)}, kith.RawRef(sum)
}

func (l *liar) serve(s network.Stream, br *bufio.Reader) error {
	if l.greet != nil {
		return l.greet(s)
	}
	if err := wire.WriteMsg(s, welcome(len(l.data))); err != nil {
		return err
	}
	for {
		var m said
		if err := wire.ReadMsg(br, proto.MaxAsk, &m); err != nil {
			return err
		}
		var err error
		switch {
		case m.Follow != nil && l.have != nil:
			err = wire.WriteMsg(s, msg{3: l.have})
		case m.Follow != nil:
			err = wire.WriteMsg(s, msg{3: msg{1: *m.Follow, 2: true}})
		case m.Request != nil:
			err = l.answer(s, *m.Request)
		}
		if err != nil {
			return err
		}
	}
}

func (l *liar) answer(s network.Stream, r request) error {
	var parts []any
	var payload []byte
	for _, it := range r.Items {
		if l.nothing && r.ID != firstRequest {
			parts = append(parts, []any{kith.NotFound, 0, 0})
			continue
		}
		at := len(payload)
		payload, _ = l.tree.Proof(payload, bao.Range{First: it.First, N: it.N})
		from := min(it.First*bao.GroupSize, int64(len(l.data)))
		to := min(from+it.N*bao.GroupSize, int64(len(l.data)))
		parts = append(parts, []any{0, len(payload) - at, to - from})
		payload = append(payload, l.data[from:to]...)
	}
	frame, err := wire.AppendMsg(nil, msg{2: msg{1: r.ID, 2: parts}})
	if err != nil {
		return err
	}
	frame = append(frame, payload...)
	if l.send != nil && r.ID != firstRequest {
		return l.send(s, frame)
	}
	_, err = s.Write(frame)
	return err
}

func noise(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// silence reads until the other side has enough.
func silence(s network.Stream) error {
	_, err := io.Copy(io.Discard, s)
	return err
}

// endless writes until the other side has enough.
func endless(s network.Stream) error {
	for junk := noise(64 << 10); ; {
		if _, err := s.Write(junk); err != nil {
			return err
		}
	}
}

// TestSourcesThatLie fetches from peers that are hostile, each in another way. Alone, none of them can do worse than to keep the download waiting, which ends
// with --timeout; when an honest node has the same, the download ends well, and what is said of the hostile one is true.
func TestSourcesThatLie(t *testing.T) {
	honest, getter := boot(t), boot(t)
	client := getter.client()
	folder, to := t.TempDir(), t.TempDir()
	cases := []struct {
		name  string
		turn  func(l *liar)
		state string // that the source comes to be in, "" if it may be several
		why   string // in why it is in that state
		says  string // in why the download is waiting, at some time
	}{
		{"garbage for a welcome", func(l *liar) { l.greet = func(s network.Stream) error { _, err := s.Write(noise(9999)); return err } }, "dropped", "", "the one known source did not answer"},
		{"nothing at all", func(l *liar) { l.greet = silence }, "connecting", "", "the one known source did not answer"},
		{"a welcome without end", func(l *liar) { l.greet = endless }, "dropped", "", "the one known source did not answer"},
		{"a size that is not so", func(l *liar) { l.data = append(l.data, 0) }, "cut off", "size", "1 sent wrong data"},
		{"a have-map beyond the end", func(l *liar) { l.have = msg{1: 0, 3: []uint64{1 << 40, 1}} }, "dropped", "have-map", "the one known source did not answer"},
		{"garbage for an answer", func(l *liar) {
			l.send = func(s network.Stream, p []byte) error { _, err := s.Write(noise(len(p))); return err }
		}, "dropped", "", "the one known source did not answer"},
		{"more than an answer", func(l *liar) { l.send = func(s network.Stream, p []byte) error { s.Write(p); return endless(s) } }, "dropped", "", ""},
		{"nothing for an answer", func(l *liar) { l.send = func(s network.Stream, p []byte) error { return silence(s) } }, "active", "", ""},
		{"a byte now and then", func(l *liar) {
			l.send = func(s network.Stream, p []byte) error {
				for i := range p {
					if _, err := s.Write(p[i : i+1]); err != nil {
						return err
					}
					if n, err := s.Read(make([]byte, 1<<10)); err != nil { // until the next sign of life
						return errors.Join(err, io.ErrNoProgress)
					} else if n == 0 {
						return nil
					}
				}
				return nil
			}
		}, "active", "", ""},
		{"has nothing of what it says", func(l *liar) { l.nothing = true }, "", "", "the only source does not have what is missing"},
		{"a wrong byte in one group", func(l *liar) { l.data[37*bao.GroupSize+5] ^= 1 }, "cut off", "wrong data in group 37", "1 sent wrong data"},
	}
	var mu sync.Mutex
	liars := map[kith.Ref]*liar{}
	enemy := join(t, func(_ context.Context, s network.Stream) error {
		br := bufio.NewReader(s)
		var m said
		if err := wire.ReadMsg(br, proto.MaxAsk, &m); err != nil || m.Hello == nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		for ref, l := range liars {
			if bytes.Equal(ref.CID().Bytes(), m.Hello.Root) {
				mu.Unlock()
				err := l.serve(s, br)
				mu.Lock()
				return err
			}
		}
		return kith.NotFound
	})
	enemies := fullAddrs(t, enemy)
	var wg sync.WaitGroup
	for _, tt := range cases {
		path := filepath.Join(folder, strings.ReplaceAll(tt.name, " ", "-"))
		want := file(t, path, 1<<20+4321)
		l, ref := newLiar(t, want)
		tt.turn(l)
		mu.Lock()
		liars[ref] = l
		mu.Unlock()
		wg.Go(func() {
			link := kith.Link{Ref: ref, Size: -1, Name: filepath.Base(path), Peers: enemies, Network: "test"}
			do[files.GetOut](t, client, "get", files.GetIn{Link: link.String(), Output: to, Detach: true})
			var show files.ShowOut
			known, said := false, false
			for deadline := time.Now().Add(time.Minute); !(known && said) && time.Now().Before(deadline); {
				show = do[files.ShowOut](t, client, "show", files.RefIn{Ref: ref.String()})
				said = said || strings.Contains(show.Reason, tt.says)
				for _, s := range show.From {
					known = known || s.Peer == enemy.ID().String() && (tt.state == "" || s.State == tt.state) && strings.Contains(s.Why, tt.why)
				}
			}
			if !known || !said {
				t.Errorf("%s: %q, because %q, sources %+v; want %q because %q, and %q", tt.name, show.State, show.Reason, show.From, tt.state, tt.why, tt.says)
			}
			_, errs, exit := getter.run("get", link.String(), "--timeout", "300ms")
			if exit != kith.Timeout.ExitCode() || !strings.Contains(errs, "gave up after") || !strings.Contains(errs, "kith resume") {
				t.Errorf("%s: kith get ended with %d: %s", tt.name, exit, errs)
			}
			var shared struct{ Link string }
			honest.ask(&shared, "share", path)
			var got struct{ Path string }
			getter.ask(&got, "get", shared.Link, "--timeout", "1m")
			same(t, got.Path, want)
		})
	}
	wg.Wait()
}

func fullAddrs(t *testing.T, n *network.Network) (list []multiaddr.Multiaddr) {
	t.Helper()
	list, err := peer.AddrInfoToP2pAddrs(&peer.AddrInfo{ID: n.ID(), Addrs: n.Host().Addrs()})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestAskersThatDoNotBehave sets three hostile peers on a node, each with as many streams as it can get, while an honest one fetches from it: that one is served,
// and when the others are gone, so is what they cost.
func TestAskersThatDoNotBehave(t *testing.T) {
	holder, getter := boot(t), boot(t)
	path := filepath.Join(t.TempDir(), "wanted")
	want := file(t, path, 16<<20)
	var shared struct {
		Link string
		Ref  kith.Ref
	}
	holder.ask(&shared, "share", path)
	var got struct{ Path string }
	getter.ask(&got, "get", shared.Link) // so that all is warm, and its peers are connected
	var none any
	getter.ask(&none, "rm", shared.Ref.String(), "--delete")
	before := holder.metrics()

	l, err := kith.ParseLink(shared.Link)
	if err != nil {
		t.Fatal(err)
	}
	at, err := peer.AddrInfosFromP2pAddrs(l.Peers...)
	if err != nil {
		t.Fatal(err)
	}
	hello := msg{1: msg{1: shared.Ref.CID().Bytes()}}
	everything := func(id int) msg { return msg{2: msg{1: id, 2: []any{[]any{[]byte{}, 0, 64, false}}}} }
	ways := []func(s network.Stream, w *bufio.Writer){
		func(s network.Stream, w *bufio.Writer) { io.Copy(w, io.LimitReader(rand.Reader, 1<<20)) },
		func(s network.Stream, w *bufio.Writer) { w.Write([]byte{0xff, 0xff, 0x01, 0xa1}) },
		func(s network.Stream, w *bufio.Writer) { wire.WriteMsg(w, hello); w.Write([]byte{99, 0xa1}) },
		func(s network.Stream, w *bufio.Writer) { // never reads
			wire.WriteMsg(w, hello)
			for id := range proto.MaxOutstanding {
				wire.WriteMsg(w, everything(id+1))
			}
		},
		func(s network.Stream, w *bufio.Writer) { // asks on and on, and reads a little
			wire.WriteMsg(w, hello)
			for id := range 5000 {
				if wire.WriteMsg(w, everything(id+1)) != nil {
					return
				}
				if w.Flush(); id%60 == 59 {
					io.CopyN(io.Discard, s, 1<<20)
				}
			}
		},
		func(s network.Stream, w *bufio.Writer) { // wants to know all there is to know
			wire.WriteMsg(w, hello)
			for range 5000 {
				if wire.WriteMsg(w, msg{4: 0}) != nil || wire.WriteMsg(w, msg{4: 1}) != nil || wire.WriteMsg(w, msg{5: true}) != nil || wire.WriteMsg(w, msg{}) != nil {
					return
				}
			}
		},
	}
	ctx, over := context.WithCancel(t.Context())
	defer over()
	var streams sync.WaitGroup
	var opened atomic.Int32
	var enemies []*network.Network
	for range 3 {
		enemy := join(t, nil)
		enemies = append(enemies, enemy)
		if err := enemy.Connect(ctx, at[0]); err != nil {
			t.Fatal(err)
		}
		for i := range 8 * len(ways) {
			open := enemy.Open
			if i%2 == 0 {
				open = enemy.OpenBulk
			}
			streams.Go(func() {
				s, err := open(ctx, at[0].ID, transfer.Protocol)
				if err != nil {
					return
				}
				opened.Add(1)
				defer s.Reset()
				defer context.AfterFunc(ctx, func() { s.Reset() })()
				w := bufio.NewWriter(s)
				ways[i%len(ways)](s, w)
				w.Flush()
				<-ctx.Done()
			})
		}
	}
	for opened.Load() < 24 { // most of them ask by now
		runtime.Gosched()
	}
	getter.ask(&got, "get", shared.Link, "--timeout", "1m")
	same(t, got.Path, want)
	// An answer is at most 1 MiB, 16 are sent at once, and each that was made is held once more below it; the garbage collector lets memory double.
	if grown := holder.metrics().memory - before.memory; grown > 64<<20 {
		t.Errorf("%.0f bytes of memory more while it was asked", grown)
	}
	over()
	streams.Wait()
	for _, enemy := range enemies {
		enemy.Close()
	}
	holder.settles(before)
}
