//go:build linux

package bittorrent

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kith"
)

// newBrowser runs WebTorrent in Chromium until the test ends. It returns a function that waits for the line of JSON that the peer says.
func newBrowser(t *testing.T, args ...string) func(limit time.Duration, into any) {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(nodeOf(root), append([]string{
		"testdata/browser.mjs", filepath.Join(root, webtorrentPage), filepath.Join(root, playwrightCore),
	}, args...)...)
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
	lines := make(chan []byte, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for s := bufio.NewScanner(out); s.Scan(); {
			lines <- slices.Clone(s.Bytes())
		}
	}()
	t.Cleanup(func() {
		in.Close()
		end := time.AfterFunc(10*time.Second, func() { cmd.Process.Kill() })
		<-done
		cmd.Wait()
		end.Stop()
		if t.Failed() {
			t.Logf("the browser said:\n%s", log.String())
		}
	})
	return func(limit time.Duration, into any) {
		t.Helper()
		select {
		case line := <-lines:
			if err := json.Unmarshal(line, into); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
		case <-done:
			t.Fatal("the browser ended")
		case <-time.After(limit):
			t.Fatalf("the browser said nothing within %s", limit)
		}
	}
}

const (
	webtorrentPage = ".tools/node_modules/webtorrent/dist/webtorrent.min.js"
	playwrightCore = "web/ui/node_modules/playwright-core"
	chromium       = "/usr/bin/chromium"
)

// nodeOf returns the node that runs: the one below .tools, where the system's is too old.
func nodeOf(root string) string {
	if own := filepath.Join(root, ".tools/bin/node"); exec.Command(own, "--version").Run() == nil {
		return own
	}
	return "node"
}

// insideBrowsers is inside, with a network in which Chromium makes offers: it finds no way out of one that has only lo.
func insideBrowsers(t *testing.T, limit time.Duration) bool {
	t.Helper()
	for _, file := range []string{"../../" + webtorrentPage, "../../" + playwrightCore, chromium} {
		if _, err := os.Stat(file); err != nil {
			t.Skipf("not tested against WebTorrent in a browser: make test installs %s", filepath.Base(file))
		}
	}
	if !inside(t, limit) {
		return false
	}
	for _, args := range []string{
		"link add v0 type veth peer name v1", "addr add 10.88.0.1/24 dev v0", "link set v0 up", "link set v1 up", "route add default via 10.88.0.2 dev v0",
	} {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", args, err, out)
		}
	}
	return true
}

// webSocket is the URL of the tracker at which browsers find it.
func webSocket(url string) string {
	return strings.TrimSuffix("ws"+strings.TrimPrefix(url, "http"), "/announce")
}

// TestBrowserFetches has a browser fetch by the link as it is printed: the tracker passes on offers, and all else is between the browser and Kith.
func TestBrowserFetches(t *testing.T) {
	if !insideBrowsers(t, 3*time.Minute) {
		return
	}
	ctx := timed(t, 2*time.Minute)
	n := atKith(t, webSocket(newTracker(t)))
	for name, files := range shares() {
		share := n.share(name, files)
		names, err := n.Publish(ctx, share)
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Name  string
			Kinds []string
			Files []struct {
				Path, SHA256 string
				Size         int64
			}
		}
		newBrowser(t, "get", magnet(share, names))(programTime, &got)
		want := below(name, files)
		for _, f := range got.Files {
			data, ok := want[f.Path]
			if strings.HasPrefix(f.Path, name+"/.pad/") { // WebTorrent does not know BEP 47: to it padding is files of zeros
				data, ok = make([]byte, f.Size), true
			}
			if !ok || f.SHA256 != fmt.Sprintf("%x", sha256.Sum256(data)) {
				t.Errorf("%q of %d bytes is not what was shared", f.Path, f.Size)
			}
			delete(want, f.Path)
		}
		if len(want) > 0 || got.Name != name || !slices.Equal(got.Kinds, []string{"webrtc"}) {
			t.Errorf("got %+v; %d files are missing", got, len(want))
		}
	}
}

// TestFetchFromBrowser fetches what a browser has.
func TestFetchFromBrowser(t *testing.T) {
	if !insideBrowsers(t, 3*time.Minute) {
		return
	}
	ctx := timed(t, 2*time.Minute)
	n := newNode(t, func(o *Options) { o.Bind = kithAt })
	data := sample(9, 4<<20+4321)
	var said struct{ Magnet string }
	newBrowser(t, "seed", webSocket(newTracker(t)), file(t, "film.mkv", data))(programTime, &said)
	l, err := kith.ParseLink(said.Magnet)
	if err != nil {
		t.Fatal(err)
	}
	d := n.get(ctx, l)
	if peers := d.o.Peers(10); len(peers) != 1 || peers[0].Via != "webrtc" { // now: WebTorrent leaves who has all
		t.Errorf("peers %+v", peers)
	}
	d.all(ctx)
	d.mustBe(ctx, map[string][]byte{"": data})
}
