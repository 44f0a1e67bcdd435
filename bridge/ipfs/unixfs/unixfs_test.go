package unixfs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"

	"kith"
)

// store keeps what a DAG is made of.
type store struct {
	p      Profile
	leaves [][32]byte
	nodes  map[cid.Cid][]byte
}

func (s *store) Leaf(i int64, sum [32]byte) error {
	if i != int64(len(s.leaves)) {
		return fmt.Errorf("leaf %d comes after %d", i, len(s.leaves))
	}
	s.leaves = append(s.leaves, sum)
	return nil
}

func (s *store) Node(c cid.Cid, data []byte) error {
	got, err := c.Prefix().Sum(data)
	if err != nil || !got.Equals(c) {
		return fmt.Errorf("a node is called %v and is %v: %v", c, got, err)
	}
	s.nodes[c] = data
	return nil
}

// pseudo returns bytes that nobody can tell from random ones, always the same.
func pseudo(seed uint64, size int64) []byte {
	b := make([]byte, size)
	rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(b)
	return b
}

// cut writes data to w in pieces of odd sizes.
func cut(t *testing.T, w io.Writer, data []byte) {
	t.Helper()
	for n := 1; len(data) > 0; n = min(n*3+1, 1<<20+17) {
		m := min(n, len(data))
		if _, err := w.Write(data[:m]); err != nil {
			t.Fatal(err)
		}
		data = data[m:]
	}
}

func linkOf(t *testing.T, p Profile, data []byte) (Link, *store) {
	t.Helper()
	s := &store{p: p, nodes: map[cid.Cid][]byte{}}
	f := NewFile(p, int64(len(data)), s)
	cut(t, f, data)
	l, err := f.Close()
	if err != nil {
		t.Fatal(err)
	}
	return l, s
}

// kubo runs ipfs in a repository of its own that is never online.
func kubo(t *testing.T) func(args ...string) string {
	t.Helper()
	if _, err := exec.LookPath("ipfs"); err != nil {
		t.Skip("CIDs were not compared with those of Kubo: no ipfs in PATH; .ci/install builds it")
	}
	dir := t.TempDir()
	run := func(args ...string) string {
		cmd := exec.Command("ipfs", args...)
		cmd.Env = append(os.Environ(), "IPFS_PATH="+dir, "IPFS_TELEMETRY=off")
		var errs bytes.Buffer
		cmd.Stderr = &errs
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("ipfs %v: %v: %s", args, err, errs.String())
		}
		return strings.TrimSpace(string(out))
	}
	run("init", "--empty-repo")
	return run
}

// add returns the options of ipfs add that make a DAG as p does.
func add(ipfs func(...string) string, p Profile) func(args ...string) string {
	ipfs("config", "profile", "apply", map[string]string{"2025": "unixfs-v1-2025", "classic": "unixfs-v0-2015"}[p.Name])
	return func(args ...string) string { return ipfs(append([]string{"add", "-Q", "--only-hash"}, args...)...) }
}

func TestFilesAsKuboCallsThem(t *testing.T) {
	ipfs := kubo(t)
	for _, p := range Profiles {
		kubo := add(ipfs, p)
		sizes := []int64{0, 1, 100, 16 << 10, p.Chunk() - 1, p.Chunk(), p.Chunk() + 1, 3*p.Chunk() + 7}
		if p == Classic { // as many leaves as make one node, one more, and a tree of three floors
			sizes = append(sizes, 174*p.Chunk(), 174*p.Chunk()+1, 175*p.Chunk(), 2*174*p.Chunk()+5)
		}
		for _, size := range sizes {
			data := pseudo(uint64(size), size)
			path := filepath.Join(t.TempDir(), "file")
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			l, s := linkOf(t, p, data)
			if want := kubo(path); l.Cid.String() != want {
				t.Errorf("%s, %d bytes: %v, Kubo says %s", p.Name, size, l.Cid, want)
			}
			if l.Size != size || int64(len(s.leaves)) != p.Leaves(size) {
				t.Errorf("%s, %d bytes: %+v with %d leaves", p.Name, size, l, len(s.leaves))
			}
		}
	}
	for _, p := range Profiles { // high trees of small leaves
		kubo := add(ipfs, p)
		p.made.ChunkSize, p.made.FileDAGWidth = 1024, 4
		for _, leaves := range []int64{3, 4, 5, 16, 17, 64, 65, 257, 1023, 1025} {
			data := pseudo(uint64(leaves), leaves*1024-3)
			path := filepath.Join(t.TempDir(), "file")
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			l, _ := linkOf(t, p, data)
			if want := kubo("--chunker=size-1024", "--max-file-links=4", path); l.Cid.String() != want {
				t.Errorf("%s, %d leaves of 1024 bytes: %v, Kubo says %s", p.Name, leaves, l.Cid, want)
			}
		}
	}
}

// TestLeavesAreRanges: the block of each leaf is what Wrap and Leaf say.
func TestLeavesAreRanges(t *testing.T) {
	for _, p := range Profiles {
		for _, size := range []int64{0, 5, 3*p.Chunk() + 7} {
			data := pseudo(9, size)
			_, s := linkOf(t, p, data)
			for i, sum := range s.leaves {
				off, n := p.Leaf(size, int64(i))
				before, behind := p.Wrap(n)
				block := append(append(append([]byte{}, before...), data[off:off+n]...), behind...)
				if sha256.Sum256(block) != sum {
					t.Fatalf("%s, %d bytes: leaf %d is not its range", p.Name, size, i)
				}
				c := p.LeafCid(sum)
				node, err := Decode(c, block)
				if err != nil || node.Size != n || !bytes.Equal(node.Data, data[off:off+n]) {
					t.Fatalf("%s: leaf %d of %d bytes is decoded as %d, %v", p.Name, i, n, node.Size, err)
				}
			}
		}
	}
}

// tree makes the same folder on disk and in f.
func tree(t *testing.T, p Profile, dir string, f *Folder, files int) {
	t.Helper()
	put := func(name string, data []byte) {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		l, _ := linkOf(t, p, data)
		if err := f.Add(name, l); err != nil {
			t.Fatal(err)
		}
	}
	for i := range files {
		put(fmt.Sprintf("many/a file with quite a long name, number %07d.txt", i), []byte(fmt.Sprint(i)))
	}
	put("index.html", []byte("<h1>hello</h1>"))
	put("a/b/c/deep", pseudo(1, 3<<20))
	put("ünïcödé/日本語", []byte("x"))
	put("empty file", nil)
	for _, d := range []string{"nothing", "a/nothing/at/all"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := f.Dir(d); err != nil {
			t.Fatal(err)
		}
	}
	for at, to := range map[string]string{"link": "a/b", "a/up": "../index.html"} {
		if err := os.Symlink(to, filepath.Join(dir, at)); err != nil {
			t.Fatal(err)
		}
		if err := f.Symlink(at, to); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFoldersAsKuboCallsThem(t *testing.T) {
	ipfs := kubo(t)
	for _, p := range Profiles {
		kubo := add(ipfs, p)
		for _, files := range []int{0, 100, 12000} { // the last is sharded
			dir := t.TempDir()
			nodes := map[cid.Cid][]byte{}
			f := NewFolder(p, func(c cid.Cid, data []byte) error { nodes[c] = data; return nil })
			tree(t, p, dir, f, files)
			l, err := f.Close(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			if want := kubo("-r", "-H", dir); l.Cid.String() != want {
				t.Errorf("%s, %d files: %v, Kubo says %s", p.Name, files, l.Cid, want)
			}
			shards := 0
			for c, data := range nodes {
				n, err := Decode(c, data)
				if err != nil {
					t.Fatal(err)
				}
				if n.Kind == IsShard {
					shards++
				}
			}
			if (shards > 0) != (files > 100) {
				t.Errorf("%s, %d files: %d shards", p.Name, files, shards)
			}
		}
	}
}

func TestProfiles(t *testing.T) {
	for _, p := range Profiles {
		if got, err := Named(p.Name); err != nil || got != p {
			t.Errorf("%s: %+v, %v", p.Name, got, err)
		}
		if got, ok := ByID(p.ID); !ok || got != p {
			t.Errorf("%d: %+v", p.ID, got)
		}
	}
	if p, err := Named(""); err != nil || p != Modern {
		t.Errorf("the default is %+v, %v", p, err)
	}
	if _, err := Named("2030"); kith.KindOf(err) != kith.Invalid {
		t.Error(err)
	}
}

// FuzzDecode: no block of somebody else ends the program, and what is decoded adds up.
func FuzzDecode(f *testing.F) {
	for _, p := range Profiles {
		s := &store{p: p, nodes: map[cid.Cid][]byte{}}
		file := NewFile(p, 3*p.Chunk(), s)
		file.Write(make([]byte, 3*p.Chunk()))
		if _, err := file.Close(); err != nil {
			f.Fatal(err)
		}
		folder := NewFolder(p, s.Node)
		folder.Symlink("a/b", "../c")
		folder.Dir("d")
		if _, err := folder.Close(context.Background()); err != nil {
			f.Fatal(err)
		}
		for _, data := range s.nodes {
			f.Add(data)
		}
		before, behind := p.Wrap(3)
		f.Add(append(append(before, "abc"...), behind...))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		b := blocks.NewBlock(data)
		n, err := Decode(b.Cid(), data)
		if err != nil {
			return
		}
		sum := int64(len(n.Data))
		for _, p := range n.Parts {
			if p.Size < 0 || !p.Cid.Defined() {
				t.Fatalf("part %+v", p)
			}
			sum += p.Size
		}
		if sum != n.Size && n.Kind == IsFile {
			t.Fatalf("%d bytes in parts, %d in all", sum, n.Size)
		}
	})
}
