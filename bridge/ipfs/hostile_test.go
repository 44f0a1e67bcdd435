package ipfs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/boxo/ipld/merkledag"
	ft "github.com/ipfs/boxo/ipld/unixfs"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	ipld "github.com/ipfs/go-ipld-format"

	"kith"
	"kith/bridge/ipfs/host"
	"kith/config"
	"kith/transfer"
)

// liar is a peer of IPFS that gives away whatever it was told to.
type liar struct {
	t     *testing.T
	store blockstore.Blockstore
	addr  string
}

func newLiar(t *testing.T) *liar {
	t.Helper()
	l := &liar{t: t, store: blockstore.NewBlockstore(dssync.MutexWrap(datastore.NewMapDatastore()))}
	h, err := host.Open(host.Options{Dir: t.TempDir(), Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Bootstrap: []string{}, Loopback: true, Blocks: l.store})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	l.addr = h.Addrs()[0].String() + "/p2p/" + h.ID().String()
	return l
}

func (l *liar) put(b blocks.Block) cid.Cid {
	l.t.Helper()
	if err := l.store.Put(context.Background(), b); err != nil {
		l.t.Fatal(err)
	}
	return b.Cid()
}

// node makes a dag-pb node of UnixFS data and links.
func (l *liar) node(data []byte, links ...*ipld.Link) cid.Cid {
	l.t.Helper()
	n := merkledag.NodeWithData(data)
	n.SetCidBuilder(merkledag.V1CidPrefix())
	for _, link := range links {
		if err := n.AddRawLink(link.Name, link); err != nil {
			l.t.Fatal(err)
		}
	}
	return l.put(n)
}

func (l *liar) raw(data []byte) cid.Cid {
	c, err := cid.Prefix{Version: 1, Codec: cid.Raw, MhType: 0x12, MhLength: -1}.Sum(data)
	if err != nil {
		l.t.Fatal(err)
	}
	b, _ := blocks.NewBlockWithCid(data, c)
	return l.put(b)
}

// file makes an inner node of a file whose parts are said to have some sizes.
func (l *liar) file(sizes []uint64, parts ...cid.Cid) cid.Cid {
	l.t.Helper()
	fs := ft.NewFSNode(ft.TFile)
	for _, s := range sizes {
		fs.AddBlockSize(s)
	}
	data, err := fs.GetBytes()
	if err != nil {
		l.t.Fatal(err)
	}
	var links []*ipld.Link
	for _, p := range parts {
		links = append(links, &ipld.Link{Cid: p})
	}
	return l.node(data, links...)
}

func (l *liar) folder(entries ...*ipld.Link) cid.Cid { return l.node(ft.FolderPBData(), entries...) }

func entry(name string, c cid.Cid, size uint64) *ipld.Link {
	return &ipld.Link{Name: name, Cid: c, Size: size}
}

// TestHostileDAGs: whatever somebody builds is refused with an error that says what it is, before the time of fetch is over.
func TestHostileDAGs(t *testing.T) {
	l := newLiar(t)
	n := newNode(t, config.IPFS{Peers: []string{l.addr}})
	n.online()
	leaf := l.raw([]byte("hello"))
	wide := make([]*ipld.Link, 30_000) // as many names as a block has room for, and each of them is such a folder
	inner := l.folder()
	for level := range 3 {
		for i := range wide {
			wide[i] = entry(fmt.Sprintf("%x-%x", level, i), inner, 0)
		}
		inner = l.folder(wide...)
	}
	doubles := l.folder(entry("x", leaf, 5)) // each has the next twice: 2 to the power of 60 files
	for range 60 {
		doubles = l.folder(entry("a", doubles, 0), entry("b", doubles, 0))
	}
	deep := leaf // a file with so many nodes above each other
	for range 100 {
		deep = l.file([]uint64{5}, deep)
	}
	same := l.folder(entry("same", leaf, 5)) // what looks as if it were in itself: a name within a name, without an end
	for range 2000 {
		same = l.folder(entry("same", same, 0))
	}
	shard := l.node(must(ft.HAMTShardData(nil, 256, 0x22)), entry("00name", leaf, 5))
	for range 200 {
		shard = l.node(must(ft.HAMTShardData([]byte{1}, 256, 0x22)), entry("00", shard, 0))
	}
	symlink := func(target string) cid.Cid { return l.node(must(ft.SymlinkData(target))) }
	cbor := l.put(must(blocks.NewBlockWithCid([]byte{0xa0}, must(cid.Prefix{Version: 1, Codec: cid.DagCBOR, MhType: 0x12, MhLength: -1}.Sum([]byte{0xa0})))))
	for name, tt := range map[string]struct {
		cid  cid.Cid
		want error
	}{
		"wide":                      {inner, kith.TooLarge},
		"bomb":                      {doubles, kith.TooLarge},
		"deep file":                 {deep, kith.TooLarge},
		"cyclic in name":            {same, kith.TooLarge},
		"deep shards":               {shard, kith.TooLarge},
		"shard without prefix":      {l.node(must(ft.HAMTShardData(nil, 256, 0x22)), entry("x", leaf, 5)), kith.Corrupt},
		"shard of an odd width":     {l.node(must(ft.HAMTShardData(nil, 7, 0x22)), entry("00x", leaf, 5)), kith.Invalid},
		"traversal":                 {l.folder(entry("..", leaf, 5)), kith.Corrupt},
		"traversal in a name":       {l.folder(entry("../../etc/passwd", leaf, 5)), kith.Corrupt},
		"no name":                   {l.folder(entry("", leaf, 5)), kith.Corrupt},
		"one name twice":            {l.folder(entry("a", leaf, 5), entry("a", l.raw([]byte("other")), 5)), kith.Corrupt},
		"names that differ in case": {l.folder(entry("a", leaf, 5), entry("A", l.raw([]byte("other")), 5)), kith.Corrupt},
		"link out":                  {l.folder(entry("l", symlink("../../x"), 0)), kith.Corrupt},
		"link to the root":          {l.folder(entry("l", symlink("/etc/passwd"), 0)), kith.Corrupt},
		"a link alone":              {symlink("x"), kith.Invalid},
		"more sizes than parts":     {l.file([]uint64{5, 5}, leaf), kith.Corrupt},
		"sizes that overflow":       {l.file([]uint64{1 << 63, 1 << 63}, leaf, leaf), kith.TooLarge},
		"a petabyte of promises":    {l.file([]uint64{1 << 50}, leaf), kith.TooLarge},
		"part of another size":      {l.file([]uint64{500}, leaf), kith.Corrupt},
		"raw leaf of another size than the folder says": {l.folder(entry("f", leaf, 500)), kith.Corrupt},
		"a folder as part of a file":                    {l.file([]uint64{5}, l.folder()), kith.Corrupt},
		"no UnixFS":                                     {l.node([]byte("nonsense")), kith.Invalid},
		"no dag-pb":                                     {cbor, kith.Invalid},
		"not there":                                     {l.folder(), nil},
	} {
		_, _, err := n.fetch(kith.Link{Size: -1, Names: kith.Names{IPFS: tt.cid}})
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	// A digest that proves nothing.
	weak, err := cid.Prefix{Version: 1, Codec: cid.Raw, MhType: 0xd5, MhLength: -1}.Sum([]byte("md5"))
	if err == nil {
		if _, _, err := n.fetch(kith.Link{Size: -1, Names: kith.Names{IPFS: weak}}); !errors.Is(err, kith.Invalid) {
			t.Errorf("md5: %v", err)
		}
	}
}

// TestMixedContent: bytes that others brought and that are not what the CID names are found out, though each was checked by somebody.
func TestMixedContent(t *testing.T) {
	l := newLiar(t)
	n := newNode(t, config.IPFS{Peers: []string{l.addr}})
	ctx := context.Background()
	data := pseudo(1, 3<<20)
	parts := []cid.Cid{l.raw(data[:1<<20]), l.raw(data[1<<20 : 2<<20]), l.raw(data[2<<20:])}
	h := &here{}
	o, err := n.Open(kith.Link{Size: -1, Names: kith.Names{IPFS: l.file([]uint64{1 << 20, 1 << 20, 1 << 20}, parts...)}})(ctx, h)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	layout, err := o.Layout(ctx)
	if err != nil {
		t.Fatal(err)
	}
	h.lay(layout)
	other := bytes.Clone(data)
	other[2<<20+5]++
	h.put(transfer.Span{N: 3 << 20}, other)
	if err := o.Verify(ctx, func(int64) {}); !errors.Is(err, kith.Corrupt) {
		t.Errorf("%v", err)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
