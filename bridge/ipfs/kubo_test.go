package ipfs

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"

	"kith"
	"kith/bridge/ipfs/unixfs"
	"kith/config"
)

// TestKuboFetchesFromKith: a file of several leaves, an empty one, a folder, and a folder so big that it is sharded; in both profiles.
func TestKuboFetchesFromKith(t *testing.T) {
	k := newKubo(t, "none")
	for _, p := range unixfs.Profiles {
		t.Run(p.Name, func(t *testing.T) {
			n := newNode(t, config.IPFS{Profile: p.Name})
			files := map[string][]byte{"film": pseudo(1, 5<<20+17), "empty": nil, "site/index.html": []byte("<h1>hello</h1>"), "site/a/b/deep": pseudo(2, 300<<10)}
			for i := range 1150 { // of such names that it takes shards
				files[fmt.Sprintf("many/%s %06d", strings.Repeat("long", 50), i)] = []byte(fmt.Sprint(i))
			}
			dir := write(t, files)
			k.run("swarm", "connect", n.addr())
			for _, name := range []string{"film", "empty"} {
				_, names := n.share(filepath.Join(dir, name))
				got, err := k.try("cat", names.IPFS.String())
				if err != nil || !bytes.Equal(got, files[name]) {
					t.Errorf("%s: %d bytes, %v", name, len(got), err)
				}
			}
			for _, name := range []string{"site", "many"} {
				_, names := n.share(filepath.Join(dir, name))
				out := filepath.Join(t.TempDir(), "out")
				k.run("get", "-o", out, names.IPFS.String())
				for path, want := range files {
					rel, err := filepath.Rel(name, path)
					if err != nil || !filepath.IsLocal(rel) {
						continue
					}
					if got, err := os.ReadFile(filepath.Join(out, rel)); err != nil || !bytes.Equal(got, want) {
						t.Errorf("%s: %d bytes, %v", path, len(got), err)
					}
				}
			}
		})
	}
}

// TestKithFetchesFromKubo: the same the other way round, and a file of another chunker.
func TestKithFetchesFromKubo(t *testing.T) {
	k := newKubo(t, "none")
	n := newNode(t, config.IPFS{Peers: []string{k.addr}})
	files := map[string][]byte{"film": pseudo(3, 5<<20+17), "small": []byte("small"), "empty": nil, "many/sub/x": []byte("x")}
	for i := range 1150 {
		files[fmt.Sprintf("many/%s %06d", strings.Repeat("long", 50), i)] = []byte(fmt.Sprint(i))
	}
	dir := write(t, files)
	if err := os.Symlink("sub/x", filepath.Join(dir, "many", "link")); err != nil {
		t.Fatal(err)
	}
	for _, options := range [][]string{
		{"--cid-version=1", "--raw-leaves", "--chunker=size-1048576"}, {"--cid-version=0", "--raw-leaves=false", "--chunker=size-262144"},
		{"--chunker=rabin-16384-65536-131072"}, {"--trickle"},
	} {
		for _, name := range []string{"film", "small", "empty"} {
			c, err := cid.Decode(k.run(append(append([]string{"add", "-Q"}, options...), filepath.Join(dir, name))...))
			if err != nil {
				t.Fatal(err)
			}
			l, h, err := n.fetch(kith.Link{Size: -1, Names: kith.Names{IPFS: c}})
			if err != nil || l.Folder || len(l.Files) != 1 || !bytes.Equal(h.files[0], files[name]) {
				t.Errorf("%v, %s: %+v, %v", options, name, l, err)
			}
		}
	}
	for _, options := range [][]string{{"--cid-version=1"}, {"--cid-version=0", "--raw-leaves=false"}} {
		c, err := cid.Decode(k.run(append(append([]string{"add", "-Q", "-r"}, options...), filepath.Join(dir, "many"))...))
		if err != nil {
			t.Fatal(err)
		}
		l, h, err := n.fetch(kith.Link{Size: -1, Names: kith.Names{IPFS: c}})
		if err != nil || !l.Folder || len(l.Files) != 1152 {
			t.Fatalf("%v: %d files, %v", options, len(l.Files), err)
		}
		for i, f := range l.Files {
			if f.Link != "" {
				if f.Path != "link" || f.Link != "sub/x" {
					t.Errorf("%+v", f)
				}
				continue
			}
			if !bytes.Equal(h.files[i], files["many/"+f.Path]) {
				t.Errorf("%s is another file", f.Path)
			}
		}
		l, h, err = n.fetch(kith.Link{Size: -1, Names: kith.Names{IPFS: c, Path: "sub/x"}})
		if err != nil || l.Folder || string(h.files[0]) != "x" {
			t.Errorf("%+v, %v", l, err)
		}
	}
}
