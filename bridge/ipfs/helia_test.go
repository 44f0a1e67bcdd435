package ipfs

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"kith"
	"kith/config"
)

const (
	heliaModules = ".tools/helia/node_modules"
	heliaTime    = 2 * time.Minute // Node needs half a minute to begin where others work too
)

// helia runs Helia in Node until the test ends. Each call of next waits for a line of JSON that it says, false at the end.
func helia(t *testing.T, args ...string) (next func(into any) bool) {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	modules := filepath.Join(root, heliaModules)
	if _, err := os.Stat(filepath.Join(modules, "helia/package.json")); err != nil {
		t.Skip("not tested against Helia, which is not installed (.ci/install does)")
	}
	node := filepath.Join(root, ".tools/bin/node") // where the system's is too old
	if exec.Command(node, "--version").Run() != nil {
		node = "node"
	}
	cmd := exec.Command(node, append([]string{"testdata/helia.mjs", modules}, args...)...)
	var log bytes.Buffer
	cmd.Stderr = &log
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end := time.AfterFunc(heliaTime, func() { cmd.Process.Kill() })
	t.Cleanup(func() {
		in.Close()
		io.Copy(io.Discard, out)
		cmd.Wait()
		end.Stop()
		if t.Failed() {
			t.Logf("Helia said:\n%s", log.String())
		}
	})
	lines := bufio.NewScanner(out)
	return func(into any) bool {
		t.Helper()
		if !lines.Scan() {
			return false
		}
		if err := json.Unmarshal(lines.Bytes(), into); err != nil {
			t.Fatalf("%v: %s", err, lines.Bytes())
		}
		return true
	}
}

// TestHeliaFetchesFromKith: a file of several leaves, and a folder.
func TestHeliaFetchesFromKith(t *testing.T) {
	n := newNode(t, config.IPFS{})
	files := map[string][]byte{"film": pseudo(1, 5<<20+17), "site/index.html": []byte("<h1>hello</h1>"), "site/a/b/deep": pseudo(2, 300<<10), "site/empty": nil, "site/ą/ę.txt": []byte("ę")}
	dir := write(t, files)
	_, film := n.share(filepath.Join(dir, "film"))
	_, site := n.share(filepath.Join(dir, "site"))
	next := helia(t, "get", n.addr(), film.IPFS.String(), site.IPFS.String())
	got := map[string]string{}
	for {
		var f struct {
			Path, SHA256 string
			Size         int
		}
		if !next(&f) {
			break
		}
		name := "film"
		if f.Path != "" {
			name = "site/" + f.Path
		}
		got[name] = fmt.Sprint(f.Size, f.SHA256)
	}
	for name, data := range files {
		if want := fmt.Sprintf("%d%x", len(data), sha256.Sum256(data)); got[name] != want {
			t.Errorf("%s: %q, want %q", name, got[name], want)
		}
	}
}

// TestKithFetchesFromHelia: a file of several leaves, as Helia's own way of making CIDs has it.
func TestKithFetchesFromHelia(t *testing.T) {
	data := pseudo(3, 5<<20+17)
	var said struct{ CID, At string }
	if !helia(t, "seed", filepath.Join(write(t, map[string][]byte{"film": data}), "film"))(&said) {
		t.Fatal("Helia did not begin")
	}
	c, err := cid.Decode(said.CID)
	if err != nil {
		t.Fatal(err)
	}
	l, h, err := newNode(t, config.IPFS{Peers: []string{said.At}}).fetch(kith.Link{Size: -1, Names: kith.Names{IPFS: c}})
	if err != nil || l.Folder || len(l.Files) != 1 || !bytes.Equal(h.files[0], data) {
		t.Errorf("%+v, %v", l, err)
	}
}
