package torrents

import (
	"bytes"
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/anacrolix/torrent/bencode"

	"kith"
	"kith/apps/torrents/resume"
	"kith/lab/space"
)

// What the real programs leave behind is taken over: complete, half, paused, a folder, and what only a magnet link names.
func TestImportOfRealPrograms(t *testing.T) {
	if testing.Short() {
		t.Skip("the state of other programs was not imported: -short")
	}
	sp, err := space.New(func() error { return nil })
	if errors.Is(err, kith.Unavailable) {
		t.Skipf("the state of other programs was not imported: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sp.Kill(); sp.Close() })
	do(t, sp, "ip", "link", "set", "lo", "up")
	for name, run := range map[string]func(*testing.T, *space.Space, *content) []resume.Torrent{
		"transmission": transmission, "qbittorrent": func(t *testing.T, sp *space.Space, c *content) []resume.Torrent {
			return qbittorrent(t, sp, c, "Legacy")
		},
		"qbittorrent with SQLite": func(t *testing.T, sp *space.Space, c *content) []resume.Torrent {
			return qbittorrent(t, sp, c, "SQLite")
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newContent(t)
			found := run(t, sp, c)
			k := newKit(t)
			imports := func(dry bool) (all []Imported) {
				for out, err := range k.imports(t.Context(), ImportIn{Path: "/", DryRun: dry}, nil, func(string) ([]resume.Torrent, error) { return found, nil }) {
					if err != nil {
						t.Fatal(err)
					}
					all = out.All
				}
				return all
			}
			var got []string
			for _, i := range imports(true) {
				got = append(got, fmt.Sprintf("%s: %s, %d of %d", i.Name, i.State, i.Right, i.Size))
				if i.Why != "" {
					t.Errorf("%s: %s", i.Name, i.Why)
				}
				if i.Added.Before(time.Now().Add(-time.Hour)) {
					t.Errorf("%s: added %s", i.Name, i.Added)
				}
			}
			slices.Sort(got)
			if want := []string{
				"folder: shared, 150000 of 150000", "half.bin: goes on, 98304 of 200000", "nameless: goes on, 0 of -1", "still.bin: paused, 200000 of 200000", "whole.bin: shared, 200000 of 200000",
			}; !slices.Equal(got, want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			if len(k.files.adopted) > 0 {
				t.Errorf("a dry run took over %q", k.files.adopted)
			}
			imports(false)
			slices.Sort(k.files.adopted)
			if want := []string{"98304 bytes of half.bin false", "link nameless false", "whole folder false", "whole still.bin true", "whole whole.bin false"}; !slices.Equal(k.files.adopted, want) {
				t.Errorf("got %q, want %q", k.files.adopted, want)
			}
		})
	}
}

func do(t *testing.T, sp *space.Space, name string, args ...string) string {
	t.Helper()
	out, err := sp.Command(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v: %s", name, args, err, out)
	}
	return string(out)
}

// content is what the other program is given: files, and torrents of them.
type content struct {
	data     string
	torrents []string
	magnet   string
}

func newContent(t *testing.T) *content {
	c := &content{data: t.TempDir(), magnet: fmt.Sprintf("magnet:?xt=urn:btih:%040x&dn=nameless", 99)}
	dir := t.TempDir()
	add := func(name string, torrent []byte) {
		put(t, filepath.Join(dir, name+".torrent"), torrent)
		c.torrents = append(c.torrents, filepath.Join(dir, name+".torrent"))
	}
	for i, name := range []string{"whole.bin", "half.bin", "still.bin"} {
		data := make([]byte, 200_000)
		rand.NewChaCha8([32]byte{byte(i + 1)}).Read(data)
		add(name, torrentOf(t, name, data, ""))
		if name == "half.bin" {
			clear(data[100_000:])
		}
		put(t, filepath.Join(c.data, name), data)
	}
	data := make([]byte, 150_000)
	rand.NewChaCha8([32]byte{9}).Read(data)
	if err := os.MkdirAll(filepath.Join(c.data, "folder/sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(c.data, "folder/a.bin"), data[:50_001])
	put(t, filepath.Join(c.data, "folder/sub/b.bin"), data[50_001:])
	const piece = 1 << 15
	var pieces []byte
	for at := 0; at < len(data); at += piece {
		h := sha1.Sum(data[at:min(at+piece, len(data))])
		pieces = append(pieces, h[:]...)
	}
	b, err := bencode.Marshal(map[string]any{"info": map[string]any{"name": "folder", "piece length": piece, "pieces": string(pieces), "files": []any{
		map[string]any{"length": 50_001, "path": []string{"a.bin"}}, map[string]any{"length": 99_999, "path": []string{"sub", "b.bin"}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	add("folder", b)
	return c
}

// until waits until f returns true.
func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !f(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it takes too long: %s", what)
		}
	}
}

func begin(t *testing.T, sp *space.Space, home, name string, args ...string) (stop func()) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("the state of %s was not imported: make test installs it", name)
	}
	var log bytes.Buffer
	cmd := sp.Command(context.Background(), name, args...)
	cmd.Env = append(os.Environ(), "HOME="+home)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	return func() { // as a person stops it: it writes down what it has
		t.Helper()
		for _, pid := range sp.Processes() {
			syscall.Kill(pid, syscall.SIGTERM)
		}
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		select {
		case <-done:
		case <-time.After(2 * time.Minute):
			t.Fatalf("%s does not stop: %s", name, log.String())
		}
	}
}

func transmission(t *testing.T, sp *space.Space, c *content) []resume.Torrent {
	home := t.TempDir()
	put(t, home+"/settings.json", []byte(`{"dht-enabled": false, "lpd-enabled": false, "pex-enabled": false, "port-forwarding-enabled": false, "rpc-port": 29091, "rpc-whitelist-enabled": false}`))
	stop := begin(t, sp, home, "transmission-daemon", "-f", "-g", home, "-w", c.data)
	remote := func(args ...string) string {
		out, _ := sp.Command(t.Context(), "transmission-remote", append([]string{"29091"}, args...)...).CombinedOutput()
		return string(out)
	}
	until(t, "transmission answers", func() bool { return strings.Contains(remote("-l"), "Sum:") })
	for _, f := range append(slices.Clone(c.torrents), c.magnet) {
		remote("-a", f)
	}
	until(t, "transmission has looked at all", func() bool {
		l := remote("-l")
		return strings.Count(l, "100%") == 3 && strings.Contains(l, "half.bin") && !strings.Contains(l, "Verifying") && strings.Contains(l, " 49%")
	})
	for line := range strings.Lines(remote("-l")) {
		if strings.Contains(line, "still.bin") {
			remote("-t", strings.Fields(line)[0], "-S")
		}
	}
	until(t, "transmission has paused", func() bool { return strings.Contains(remote("-l"), "Stopped") })
	stop()
	found, err := resume.Transmission(home)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func qbittorrent(t *testing.T, sp *space.Space, c *content, storage string) []resume.Torrent {
	home := t.TempDir()
	if err := os.MkdirAll(home+"/qBittorrent/config", 0o755); err != nil {
		t.Fatal(err)
	}
	put(t, home+"/qBittorrent/config/qBittorrent.conf", []byte(`[LegalNotice]
Accepted=true
[BitTorrent]
Session\DHTEnabled=false
Session\LSDEnabled=false
Session\PeXEnabled=false
Session\ResumeDataStorageType=`+storage+`
[Network]
PortForwardingEnabled=false
[Preferences]
WebUI\Port=29092
WebUI\Address=127.0.0.1
WebUI\LocalHostAuth=false
`))
	stop := begin(t, sp, home, "qbittorrent-nox", "--profile="+home)
	const api = "http://127.0.0.1:29092/api/v2/torrents/"
	curl := func(args ...string) string {
		out, _ := sp.Command(t.Context(), "curl", append([]string{"-s"}, args...)...).Output()
		return string(out)
	}
	until(t, "qBittorrent answers", func() bool { return strings.HasPrefix(curl(api+"info"), "[") })
	for _, f := range c.torrents {
		curl("-F", "torrents=@"+f, "-F", "savepath="+c.data, api+"add")
	}
	curl("--data-urlencode", "urls="+c.magnet, "--data-urlencode", "savepath="+c.data, api+"add")
	until(t, "qBittorrent has looked at all", func() bool {
		l := curl(api + "info")
		return strings.Count(l, `"progress":1,`) == 3 && strings.Contains(l, "nameless") && !strings.Contains(l, `"state":"checking`)
	})
	for part := range strings.SplitSeq(curl(api+"info"), "}") {
		if _, hash, ok := strings.Cut(part, `"hash":"`); ok && strings.Contains(part, "still.bin") {
			curl("-d", "hashes="+hash[:40], api+"pause")
		}
	}
	until(t, "qBittorrent has paused", func() bool { return strings.Contains(curl(api+"info"), `"state":"pausedUP"`) })
	stop()
	found, err := resume.QBittorrent(t.Context(), home)
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		t.Fatalf("nothing is found")
	}
	return found
}
