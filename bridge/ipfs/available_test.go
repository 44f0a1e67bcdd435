package ipfs

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"kith"
	"kith/config"
	"kith/transfer"
)

// leavesOf returns the blocks below the root of what a Kubo has added, in their order.
func (k *kubo) leavesOf(root string) (all []string) {
	k.t.Helper()
	for _, line := range bytes.Fields([]byte(k.run("refs", root))) {
		all = append(all, string(line))
	}
	return all
}

// opened opens a link, and returns what is to be closed.
func (n *node) opened(c cid.Cid, h *here) *origin {
	n.t.Helper()
	o, err := n.Open(kith.Link{Size: -1, Names: kith.Names{IPFS: c}})(context.Background(), h)
	if err != nil {
		n.t.Fatal(err)
	}
	return o.(*origin)
}

// says waits until what Available says passes.
func says(t *testing.T, o *origin, what string, ok func([]transfer.Span, bool) bool) {
	t.Helper()
	var last []transfer.Span
	for began := time.Now(); time.Since(began) < 30*time.Second; time.Sleep(50 * time.Millisecond) {
		spans, sure := o.Available()
		if ok(spans, sure) {
			return
		}
		last = spans
	}
	t.Fatalf("it never said that %s; last: %+v", what, last)
}

// TestKuboHasAPart: of a Kubo that has the root and the middle of a file, the middle is known to be there before anything is asked for, and what it gets later is known too.
func TestKuboHasAPart(t *testing.T) {
	k := newKubo(t, "none")
	n := newNode(t, config.IPFS{Peers: []string{k.addr}})
	const leaf = 256 << 10
	path := filepath.Join(write(t, map[string][]byte{"film": pseudo(11, 12*leaf)}), "film")
	root := k.run("add", "-Q", "--pin=false", "--cid-version=1", "--raw-leaves", "--chunker=size-262144", path)
	leaves := k.leavesOf(root)
	if len(leaves) != 12 {
		t.Fatalf("%d leaves", len(leaves))
	}
	k.run(append([]string{"block", "rm"}, append(leaves[:4:4], leaves[8:]...)...)...)
	o := n.opened(cid.MustParse(root), &here{})
	defer o.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := o.Layout(ctx); err != nil {
		t.Fatal(err)
	}
	says(t, o, "the middle is there", func(s []transfer.Span, sure bool) bool {
		return sure && len(s) == 1 && s[0] == transfer.Span{Off: 4 * leaf, N: 4 * leaf}
	})
	k.run("add", "-Q", "--pin=false", "--cid-version=1", "--raw-leaves", "--chunker=size-262144", path)
	says(t, o, "the whole is there", func(s []transfer.Span, sure bool) bool {
		return sure && len(s) == 1 && s[0] == transfer.Span{N: 12 * leaf}
	})
	k.stop()
	says(t, o, "anything may be there when nobody is connected", func(_ []transfer.Span, sure bool) bool { return !sure })
}

// TestBothHalfDone: Kubo and Kith have another half of a file each, and fetch from each other what they lack, at the same time; Kubo is killed in the middle and goes on.
func TestBothHalfDone(t *testing.T) {
	k := newKubo(t, "none")
	n := newNode(t, config.IPFS{Peers: []string{k.addr}})
	const leaf, half = 256 << 10, 8 * 256 << 10
	data := pseudo(12, 2*half)
	dir := write(t, map[string][]byte{"film": data})
	root := k.run("add", "-Q", "--pin=false", "--cid-version=1", "--raw-leaves", "--chunker=size-262144", filepath.Join(dir, "film"))
	leaves := k.leavesOf(root)
	if len(leaves) != 16 {
		t.Fatalf("%d leaves", len(leaves))
	}
	k.run(append([]string{"block", "rm"}, leaves[8:]...)...)

	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	h := &here{}
	o := n.opened(cid.MustParse(root), h)
	defer o.Close()
	l, err := o.Layout(ctx)
	if err != nil {
		t.Fatal(err)
	}
	h.lay(l)
	has := func(from, to int64) { // others have brought it
		s := transfer.Span{Off: from * leaf, N: (to - from) * leaf}
		h.put(s, data[s.Off:s.Off+s.N])
		o.Here(s)
	}
	fetch := func(from, to int64) {
		t.Helper()
		s := transfer.Span{Off: from * leaf, N: (to - from) * leaf}
		got, err := o.Fetch(ctx, s, func() {})
		if err != nil || !bytes.Equal(got, data[s.Off:s.Off+s.N]) {
			t.Fatalf("leaves %d to %d: %v", from, to, err)
		}
		h.put(s, got)
		o.Here(s)
	}
	get := func() <-chan error {
		ended := make(chan error, 1)
		out := filepath.Join(t.TempDir(), "out")
		go func() {
			_, err := k.try("get", "-o", out, root)
			if err == nil {
				var got []byte
				if got, err = os.ReadFile(out); err == nil && !bytes.Equal(got, data) {
					err = kith.Corrupt
				}
			}
			ended <- err
		}()
		return ended
	}
	ended := get()
	fetch(0, 4)
	has(8, 12)
	until(t, "given a part of what it fetches", func() bool {
		for _, c := range leaves[8:12] {
			if _, err := k.try("block", "stat", "--offline", c); err != nil {
				return false
			}
		}
		return true
	})
	k.kill()
	if err := <-ended; err == nil {
		t.Fatal("all of it was there before Kubo was killed")
	}
	k.start()
	for _, c := range leaves[8:12] {
		if _, err := k.try("block", "stat", "--offline", c); err != nil {
			t.Errorf("what came before Kubo was killed is gone: %v", err)
		}
	}
	k.run("swarm", "connect", n.addr())
	ended = get()
	fetch(4, 8)
	has(12, 16)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := o.Verify(ctx, func(int64) {}); err != nil {
		t.Error(err)
	}
}
