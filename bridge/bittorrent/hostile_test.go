package bittorrent

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	pp "github.com/anacrolix/torrent/peer_protocol"

	"kith"
	"kith/bridge"
	"kith/bridge/bittorrent/metainfo"
)

// wrong reads what a share has, with one byte in each read turned around.
type wrong struct{ source }

func (w wrong) ReadAt(p []byte, file int, off int64) (int, error) {
	n, err := w.source.ReadAt(p, file, off)
	p[len(p)/2] ^= 1
	return n, err
}

// liar publishes on a node what change makes of it.
func liar(t *testing.T, n *node, share bridge.Share, change func(in *metainfo.Info, src source) (*metainfo.Info, source)) kith.Names {
	t.Helper()
	ctx := context.Background()
	names, err := n.Publish(ctx, share)
	if err != nil {
		t.Fatal(err)
	}
	s := n.swarmOf(names.V1)
	_, tor, err := n.store0(ctx, share.Root)
	if err != nil {
		t.Fatal(err)
	}
	src, err := n.sourceOf(share, tor.Info)
	if err != nil {
		t.Fatal(err)
	}
	in, bad := change(tor.Info, src)
	if err := s.got(in, nil, bad, true); err != nil {
		t.Fatal(err)
	}
	return names
}

func (n *node) store0(ctx context.Context, root kith.Ref) (bridge.Share, *metainfo.Torrent, error) {
	return n.Bridge.store.share(ctx, root)
}

// TestWrongPieces: one peer sends what is wrong, another what is right.
func TestWrongPieces(t *testing.T) {
	ctx := timed(t, time.Minute)
	files := map[string][]byte{"": sample(1, 4<<20)}
	bad, b := newNode(t, nil), newNode(t, nil)
	good := newNode(t, func(o *Options) { o.Bind = netip.MustParseAddr("127.0.0.2") }) // who sends what is wrong is banned by address
	liar(t, bad, bad.share("film.mkv", files), func(in *metainfo.Info, src source) (*metainfo.Info, source) { return in, wrong{src} })
	names, err := good.Publish(ctx, good.share("film.mkv", files))
	if err != nil {
		t.Fatal(err)
	}
	l := bad.link(names)
	open := b.Open(l)
	d := &download{t: t, m: &memory{}}
	if d.o, err = open(ctx, d.m); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.o.Close() })
	if d.layout, err = d.o.Layout(ctx); err != nil { // its metadata is right
		t.Fatal(err)
	}
	d.m.lay(d.layout)
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.all(ctx)
	}()
	until(t, 30*time.Second, "who sends what is wrong is banned", func() bool { return len(b.client.cl.BadPeerIPs()) > 0 })
	if n := d.m.bytes(); n > 0 { // and nothing more comes of it
		t.Fatalf("%d bytes were taken from somebody who sends what is wrong", n)
	}
	b.swarmOf(names.V1).hints(nil, nil, good.link(names).Swarm)
	<-done
	d.mustBe(ctx, files)
	banned, at := b.client.cl.BadPeerIPs(), bad.Listens()[0]
	all := len(banned)
	if only := slices.DeleteFunc(banned, func(s string) bool { return netip.MustParseAddr(s).Unmap() == at.Addr() }); all == 0 || len(only) > 0 {
		t.Errorf("%d addresses are banned, and %v of others; want %s alone", all, only, at.Addr())
	}
	for _, p := range d.o.Peers(10) {
		if strings.HasPrefix(p.Name, at.Addr().String()+":") {
			t.Errorf("who sends what is wrong is still there: %+v", p)
		}
	}
}

// TestHybridOfTwoContents: a hybrid whose digests of version 1 are of one content, and those of version 2 of another, is known for that when it has come, and the error names the version and the file.
func TestHybridOfTwoContents(t *testing.T) {
	ctx := timed(t, time.Minute)
	a, b := newNode(t, nil), newNode(t, nil)
	one, two := folder(), folder()
	two["z"] = bytes.Clone(two["z"])
	two["z"][len(two["z"])/2] ^= 1
	const piece = 16 << 10
	digest := func(data []byte) metainfo.Digest {
		h := metainfo.NewHasher(piece)
		h.Write(data)
		return h.Sum()
	}
	var entries []metainfo.Entry
	for name, data := range one {
		d, other := digest(data), digest(two[name])
		d.Root, d.Layer = other.Root, other.Layer
		entries = append(entries, metainfo.Entry{Path: name, Digest: d})
	}
	mixed, err := metainfo.Make("x", true, true, piece, entries)
	if err != nil {
		t.Fatal(err)
	}
	share := a.share("x", one)
	if _, err := a.Publish(ctx, share); err != nil { // the client is open then
		t.Fatal(err)
	}
	src, err := a.sourceOf(share, mixed.Info)
	if err != nil {
		t.Fatal(err)
	}
	s := &swarm{b: a.Bridge, c: a.client, key: mixed.V1, names: kith.Names{V1: mixed.V1, V2: mixed.V2}}
	a.enter(s)
	s.join()
	if err := s.got(mixed.Info, mixed.Layers, src, true); err != nil {
		t.Fatal(err)
	}
	d := b.get(ctx, a.link(kith.Names{V1: mixed.V1, V2: mixed.V2}))
	d.all(ctx)
	if err := d.o.Verify(ctx, nil); !errors.Is(err, kith.Corrupt) || !strings.Contains(err.Error(), `"z" is not what its digest of BitTorrent version 2 says`) {
		t.Errorf("%v", err)
	}
}

// TestMetadataOf100MB: a peer that says that the metadata has 100 MB is not asked for it, and what it says is told to whoever waits.
func TestMetadataOf100MB(t *testing.T) {
	ctx := timed(t, time.Minute)
	n := newNode(t, nil)
	hash := kith.InfoHash{1, 2, 3}
	o, err := n.Open(kith.Link{Names: kith.Names{V1: hash}})(ctx, &memory{})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	c := handshake(t, n, hash)
	hello := pp.Message{Type: pp.Extended, ExtendedPayload: []byte("d1:md11:ut_metadatai3ee13:metadata_sizei104857600ee")}
	if _, err := c.Write(hello.MustMarshalBinary()); err != nil {
		t.Fatal(err)
	}
	asked := make(chan pp.Message, 100)
	go func() {
		defer close(asked)
		for d := (pp.Decoder{R: bufio.NewReader(c), MaxLength: 1 << 18}); ; {
			var m pp.Message
			if d.Decode(&m) != nil {
				return
			}
			if m.Type == pp.Extended && m.ExtendedID == 3 {
				asked <- m
			}
		}
	}()
	until(t, 10*time.Second, "what the peer says is known", func() bool {
		s := o.(*origin).s
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.tooLong > 0
	})
	short, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if _, err := o.Layout(short); !errors.Is(err, kith.TooLarge) || !strings.Contains(err.Error(), "the metadata has 104857600 bytes, at most 33554432") {
		t.Errorf("%v", err)
	}
	c.Close()
	for m := range asked {
		t.Errorf("it was asked: %q", m.ExtendedPayload)
	}
}

// TestWrongMetadata: one peer gives metadata of another torrent, which the library would take for an infohash of version 1.
func TestWrongMetadata(t *testing.T) {
	ctx := timed(t, time.Minute)
	files := folder()
	bad, good, b := newNode(t, nil), newNode(t, nil), newNode(t, nil)
	var other metainfo.Info
	names := liar(t, bad, bad.share("x", files), func(in *metainfo.Info, src source) (*metainfo.Info, source) {
		other = *in
		return &other, src
	})
	other.Raw = bytes.Clone(other.Raw)
	other.Raw[len(other.Raw)/2] ^= 1
	if _, err := good.Publish(ctx, good.share("x", files)); err != nil {
		t.Fatal(err)
	}
	l := bad.link(names)
	at, hungUp := listened(t, l.Swarm[0])
	l.Swarm = []string{at}
	d := &download{t: t, m: &memory{}}
	var err error
	if d.o, err = b.Open(l)(ctx, d.m); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.o.Close() })
	hungUp(other.Raw)
	if _, err := d.o.Layout(past(ctx)); !errors.Is(err, kith.Unavailable) {
		t.Fatalf("metadata of another torrent was taken: %v", err)
	}
	b.swarmOf(names.V1).hints(nil, nil, good.link(names).Swarm)
	if d.layout, err = d.o.Layout(ctx); err != nil {
		t.Fatal(err)
	}
	d.m.lay(d.layout)
	d.all(ctx)
	d.mustBe(ctx, files)
}

// TestVersionsThatDiffer: a link whose infohashes are of two torrents is never fetched.
func TestVersionsThatDiffer(t *testing.T) {
	ctx := timed(t, time.Minute)
	a := newNode(t, func(o *Options) { o.Config.Hybrid = true })
	b := newNode(t, nil)
	one, err := a.Publish(ctx, a.share("one", map[string][]byte{"": sample(1, 1<<20)}))
	if err != nil {
		t.Fatal(err)
	}
	two, err := a.Publish(ctx, a.share("two", map[string][]byte{"": sample(2, 1<<20)}))
	if err != nil {
		t.Fatal(err)
	}
	l := a.link(kith.Names{V1: one.V1, V2: two.V2})
	at, hungUp := listened(t, l.Swarm[0])
	l.Swarm = []string{at}
	o, err := b.Open(l)(ctx, &memory{})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	hungUp([]byte("4:name3:one"))
	if l, err := o.Layout(past(ctx)); err == nil {
		t.Errorf("%q was taken", l.Name)
	}
}

// past is a context that has ended: what waits with it says how things stand now.
func past(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	return ctx
}

// listened is a way to a peer. hungUp waits until who dialled has closed a connection by which the peer had sent something.
func listened(t *testing.T, peer string) (at string, hungUp func(sent []byte)) {
	ended := make(chan []byte, 100)
	at = answered(t, func(c net.Conn) {
		p, err := net.Dial("tcp4", peer)
		if err != nil {
			return
		}
		var sent bytes.Buffer
		done := make(chan struct{})
		go func() { io.Copy(io.MultiWriter(&sent, c), p); close(done) }()
		io.Copy(p, c)
		p.Close()
		<-done
		ended <- sent.Bytes()
	})
	return at, func(want []byte) {
		t.Helper()
		for limit := time.After(30 * time.Second); ; {
			select {
			case sent := <-ended:
				if bytes.Contains(sent, want) {
					return
				}
			case <-limit:
				t.Fatalf("who was sent %.40q has not hung up", want)
			}
		}
	}
}

var handshakes atomic.Int64

// handshake connects to a node as a peer would.
func handshake(t *testing.T, n *node, hash kith.InfoHash) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", n.Listens()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	hello := append([]byte("\x13BitTorrent protocol\x00\x00\x00\x00\x00\x10\x00\x05"), hash[:]...)
	id := fmt.Appendf(nil, "-XX0000-%012d", handshakes.Add(1)) // of two with the same, one is not talked to
	if _, err := c.Write(append(hello, id...)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 68)); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestMessagesThatKill sends what ends the library's process: to a node that has no metadata yet, and to one that serves.
func TestMessagesThatKill(t *testing.T) {
	ctx := timed(t, time.Minute)
	files := folder()
	a := newNode(t, func(o *Options) { o.Config.Hybrid = true })
	names, err := a.Publish(ctx, a.share("x", files))
	if err != nil {
		t.Fatal(err)
	}
	single, err := a.Publish(ctx, a.share("film", map[string][]byte{"": sample(8, 1<<20)}))
	if err != nil {
		t.Fatal(err)
	}
	b := newNode(t, nil)
	o, err := b.Open(kith.Link{Names: kith.Names{V1: kith.InfoHash{1, 2, 3}}})(ctx, &memory{})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	root := [32]byte{7}
	messages := []pp.Message{
		{Type: pp.HashRequest, PiecesRoot: root, Length: 2}, {Type: pp.HashRequest, PiecesRoot: root, Index: 1<<32 - 1, Length: 1 << 20, BaseLayer: 99, ProofLayers: 99},
		{Type: pp.Hashes, PiecesRoot: root, ProofLayers: 1, Length: 2, Hashes: make([][32]byte, 3)}, {Type: pp.Hashes, PiecesRoot: root, Index: 1<<32 - 1, Length: 2, Hashes: make([][32]byte, 2)},
		{Type: pp.HashReject, PiecesRoot: root}, {Type: pp.Have, Index: 1<<32 - 1}, {Type: pp.Have, Index: 1 << 31}, {Type: pp.Request, Index: 1<<32 - 1, Begin: 1<<32 - 1, Length: 1<<32 - 1},
		{Type: pp.Request, Length: 1 << 31}, {Type: pp.Piece, Index: 1<<32 - 1, Begin: 5, Piece: []byte("x")}, {Type: pp.Cancel, Index: 1<<32 - 1}, {Type: pp.Reject, Index: 1<<32 - 1},
		{Type: pp.AllowedFast, Index: 1<<32 - 1}, {Type: pp.Suggest, Index: 1<<32 - 1}, {Type: pp.Bitfield, Bitfield: make([]bool, 1<<16)}, {Type: pp.Extended, ExtendedID: 200, ExtendedPayload: []byte("d")},
		{Type: pp.Extended, ExtendedID: 0, ExtendedPayload: []byte("d1:md11:ut_metadatai3ee13:metadata_sizei2147483647ee")},
		{Type: pp.Extended, ExtendedID: 0, ExtendedPayload: []byte("d1:md11:ut_metadatai3ee13:metadata_sizei-1ee")},
		{Type: pp.Extended, ExtendedID: 3, ExtendedPayload: []byte("d8:msg_typei1e5:piecei0e10:total_sizei20eexxxx")},
		{Type: pp.Extended, ExtendedID: 3, ExtendedPayload: []byte("d8:msg_typei0e5:piecei999999999ee")}, {Type: pp.Extended, ExtendedID: 2, ExtendedPayload: []byte("d5:added3:abce")},
		{Type: pp.Extended, ExtendedID: 1, ExtendedPayload: []byte{0, 0}}, {Type: 99},
	}
	for _, at := range []struct {
		n    *node
		hash kith.InfoHash
	}{{a, names.V1}, {a, single.V1}, {a, kith.InfoHash(single.V2[:20])}, {b, kith.InfoHash{1, 2, 3}}} {
		for _, m := range messages {
			c := handshake(t, at.n, at.hash)
			var raw []byte
			if m.Type == 99 {
				raw = binary.BigEndian.AppendUint32(nil, 1<<31)
			} else if raw, err = m.MarshalBinary(); err != nil {
				t.Fatal(err)
			}
			c.Write(raw)
			c.Write([]byte{0, 0, 0, 1, 2, 0, 0, 0, 0}) // interested, and a keep-alive
			c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
			io.Copy(io.Discard, c)
			c.Close()
		}
	}
	d := b.get(ctx, a.link(names)) // both are well
	d.all(ctx)
	d.mustBe(ctx, files)
}
