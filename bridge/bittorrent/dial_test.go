//go:build linux

package bittorrent

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"sync/atomic"

	"kith"
	"kith/transfer"
	"net/netip"
	"testing"
	"time"
)

// TestRedialAtOnce: peers are looked at while the library is being given the metadata, which it does not have yet.
func TestRedialAtOnce(t *testing.T) {
	ctx := timed(t, time.Minute)
	a, b := newNode(t, nil), newNode(t, nil)
	share := a.share("film", map[string][]byte{"": sample(1, 1<<20)})
	names, err := a.Publish(ctx, share)
	if err != nil {
		t.Fatal(err)
	}
	_, meta, err := a.Bridge.store.share(ctx, share.Root)
	if err != nil {
		t.Fatal(err)
	}
	d := &download{t: t, m: &memory{}}
	if d.o, err = b.Open(kith.Link{Names: names})(ctx, d.m); err != nil {
		t.Fatal(err)
	}
	defer d.o.Close()
	b.mu.Lock()
	s := b.swarms[names.V1]
	b.mu.Unlock()
	s.mu.Lock()
	s.info, s.pieces = meta.Info, newPieces(meta.Info, s.src, false, s.changed.Ring)
	s.mu.Unlock()
	s.redial(time.Now())
}

// TestHeardWhileJoining: a peer of the local network is heard of, metadata comes, and the swarm is left, before the library has been told of it.
func TestHeardWhileJoining(t *testing.T) {
	ctx := timed(t, time.Minute)
	a := newNode(t, nil)
	share := a.share("film", map[string][]byte{"": sample(1, 1<<20)})
	names, err := a.Publish(ctx, share)
	if err != nil {
		t.Fatal(err)
	}
	_, meta, err := a.Bridge.store.share(ctx, share.Root)
	if err != nil {
		t.Fatal(err)
	}
	b := newNode(t, nil)
	c, err := b.Bridge.open()
	if err != nil {
		t.Fatal(err)
	}
	s := &swarm{b: b.Bridge, c: c, key: names.V1, names: kith.Names{V1: names.V1}}
	s.src = contentSource{&memory{}}
	if !b.enter(s) {
		t.Fatal("it is known already")
	}
	heard := make(chan error, 2)
	go func() {
		s.hints([]string{"udp://127.0.0.1:1"}, nil, a.link(names).Swarm)
		heard <- nil
	}()
	go func() { heard <- s.got(meta.Info, meta.Layers, s.src, false) }()
	select {
	case err := <-heard:
		t.Errorf("it was not joined yet: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	s.join()
	for range 2 {
		if err := <-heard; err != nil {
			t.Error(err)
		}
	}
	until(t, 20*time.Second, "the peer is dialled", func() bool { return len(s.peers(1)) > 0 })
	left := &swarm{b: b.Bridge, c: c, key: kith.InfoHash{1}, names: kith.Names{V1: kith.InfoHash{1}}}
	if !b.enter(left) {
		t.Fatal("it is known already")
	}
	go func() {
		b.leave(left)
		heard <- nil
	}()
	until(t, time.Second, "it is not known any more", func() bool { return b.swarmOf(left.key) == nil })
	left.join()
	<-heard
	for _, known := range c.cl.Torrents() {
		if kith.InfoHash(known.InfoHash()) == left.key {
			t.Error("the library still has what was left")
		}
	}
}

// TestDialledAgain: whom a link names is not there at first, and goes away half way. What the torrent consists of is asked of him once only, also when the node is started anew.
func TestDialledAgain(t *testing.T) {
	ctx := timed(t, time.Minute)
	at := vacant(t)
	files := map[string][]byte{"": sample(1, 8<<20)}
	a := newNode(t, func(o *Options) { o.Bind, o.Config.Port = at.Addr(), int(at.Port()) })
	share := a.share("film", files)
	names, err := a.Publish(ctx, share)
	if err != nil {
		t.Fatal(err)
	}
	link := a.link(names)
	a.close()
	b := newNode(t, nil)
	d := &download{t: t, m: &memory{}}
	if d.o, err = b.Open(link)(ctx, d.m); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if _, err := d.o.Layout(short); !errors.Is(err, kith.Unavailable) {
		t.Fatalf("nobody is there: %v", err)
	}
	a.open()
	if d.layout, err = d.o.Layout(ctx); err != nil {
		t.Fatal(err)
	}
	d.m.lay(d.layout)
	half := int64(4 << 20)
	if err := d.some(ctx, func(s transfer.Span) bool { return s.Off < half }); err != nil {
		t.Fatal(err)
	}
	a.close()
	rest := make(chan error, 1)
	go func() { rest <- d.some(ctx, func(s transfer.Span) bool { return s.Off >= half }) }()
	until(t, 20*time.Second, "he is gone", func() bool { return len(d.o.Peers(10)) == 0 })
	a.open()
	if err := <-rest; err != nil {
		t.Fatal(err)
	}
	d.mustBe(ctx, files)

	a.close()
	d.o.Close()
	b.close()
	b.open()
	o, err := b.Open(kith.Link{Names: kith.Names{V1: names.V1}})(ctx, &memory{})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	now, done := context.WithCancel(ctx)
	done() // it is known without waiting
	if l, err := o.Layout(now); err != nil || len(l.Files) != 1 {
		t.Errorf("what the torrent consists of was not kept: %v", err)
	}
}

// TestPeersWithoutMetadata: peers who say that they have the metadata, and then do not give it, do not keep others from being asked.
func TestPeersWithoutMetadata(t *testing.T) {
	ctx := timed(t, time.Minute)
	files := map[string][]byte{"": sample(1, 1<<20)}
	a, b := newNode(t, func(o *Options) { o.Bind = netip.MustParseAddr("127.0.0.2") }), newNode(t, nil)
	names, err := a.Publish(ctx, a.share("film", files))
	if err != nil {
		t.Fatal(err)
	}
	d := &download{t: t, m: &memory{}}
	if d.o, err = b.Open(kith.Link{Names: names})(ctx, d.m); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.o.Close() })
	message := func(id byte, payload string) []byte {
		m := binary.BigEndian.AppendUint32(nil, uint32(2+len(payload)))
		return append(append(m, 20, id), payload...)
	}
	var asked atomic.Int32
	for i := range 2 * maxAskedFrom {
		c := handshake(t, b, names.V1)
		c.SetDeadline(time.Time{})
		c.Write(message(0, "d1:md11:ut_metadatai3ee13:metadata_sizei20000ee"))
		go func() {
			r := bufio.NewReader(c)
			for {
				var head [4]byte
				if _, err := io.ReadFull(r, head[:]); err != nil {
					return
				}
				body := make([]byte, binary.BigEndian.Uint32(head[:]))
				if _, err := io.ReadFull(r, body); err != nil {
					return
				}
				if len(body) < 2 || body[0] != 20 || body[1] != 3 {
					continue
				}
				asked.Add(1)
				if i < maxAskedFrom { // the others say nothing
					c.Write(message(3, "d8:msg_typei2e5:piecei0ee"))
				}
			}
		}()
	}
	until(t, 20*time.Second, "so many are asked for both parts", func() bool { return asked.Load() >= 2*maxAskedFrom })
	b.swarmOf(names.V1).hints(nil, nil, a.link(names).Swarm)
	if d.layout, err = d.o.Layout(ctx); err != nil {
		t.Fatal(err)
	}
	d.m.lay(d.layout)
	d.all(ctx)
	d.mustBe(ctx, files)
}
