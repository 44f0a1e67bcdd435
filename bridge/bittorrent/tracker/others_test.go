package tracker

import (
	"bytes"
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/anacrolix/torrent/bencode"

	"kith"
	"kith/lab/space"
)

// Programs of others find each other by this tracker and by nothing else, over HTTP and UDP: each fetches what another has.
func TestPrograms(t *testing.T) {
	if testing.Short() {
		t.Skip("programs of others were not tried: -short")
	}
	sp := newSpace(t)
	for _, tt := range []struct {
		scheme      string
		seed, leech program
	}{
		{"http", aria2, transmission}, {"udp", transmission, aria2}, {"udp", qbittorrent, transmission}, {"http", aria2, qbittorrent}, {"udp", qbittorrent, qbittorrent},
	} {
		t.Run(fmt.Sprintf("%s/%s/%s", tt.scheme, tt.seed.name, tt.leech.name), func(t *testing.T) {
			t.Parallel()
			for _, p := range []program{tt.seed, tt.leech} {
				if _, err := exec.LookPath(p.command); err != nil {
					t.Skipf("%s was not tried: make test installs it", p.name)
				}
			}
			tr := inSpace(t, sp, netip.MustParseAddr("10.77.0.1"))
			data := make([]byte, 1<<20+12345)
			rand.NewChaCha8([32]byte{byte(len(t.Name()))}).Read(data)
			torrent := filepath.Join(t.TempDir(), "x.torrent")
			name, meta := "file "+tt.scheme+".bin", map[string]any{}
			meta["announce"] = fmt.Sprintf("%s://%s/announce", tt.scheme, tr.Addrs()[0])
			meta["info"] = info(name, data)
			b, err := bencode.Marshal(meta)
			if err == nil {
				err = os.WriteFile(torrent, b, 0o644)
			}
			seedDir, leechDir := t.TempDir(), t.TempDir()
			if err == nil {
				err = os.WriteFile(filepath.Join(seedDir, name), data, 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
			tt.seed.start(t, sp, "10.77.0.2", seedDir, torrent)
			tt.leech.start(t, sp, "10.77.0.3", leechDir, torrent)
			for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(200 * time.Millisecond) {
				if got, err := os.ReadFile(filepath.Join(leechDir, name)); err == nil && bytes.Equal(got, data) {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("it has not come within two minutes; the tracker: %+v", tr.Stats())
				}
			}
			s := tr.Stats()
			t.Logf("%+v", s)
			if tt.scheme == "http" && s.HTTP < 2 || tt.scheme == "udp" && s.UDP < 2 || s.Mistaken > 0 || s.Refused > 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// Two browsers with WebTorrent find each other by this tracker and connect by WebRTC: the offers and answers that it passes on are real ones.
func TestBrowsers(t *testing.T) {
	if testing.Short() {
		t.Skip("WebTorrent in browsers was not tried: -short")
	}
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	library, playwright := filepath.Join(root, ".tools/node_modules/webtorrent/dist/webtorrent.min.js"), filepath.Join(root, "web/ui/node_modules/playwright-core")
	for _, file := range []string{library, playwright, "/usr/bin/chromium"} {
		if _, err := os.Stat(file); err != nil {
			t.Skipf("WebTorrent in browsers was not tried: make test installs %s", filepath.Base(file))
		}
	}
	sp := newSpace(t)
	for _, args := range []string{ // Chromium finds no way out of a network that has only lo, and makes no offer
		"link add v0 type veth peer name v1", "addr add 10.88.0.1/24 dev v0", "link set v0 up", "link set v1 up", "route add default via 10.88.0.2 dev v0",
	} {
		if out, err := sp.Command(t.Context(), "ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", args, err, out)
		}
	}
	tr := inSpace(t, sp, netip.MustParseAddr("10.77.0.1"))
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	node := "node"
	if own := filepath.Join(root, ".tools/bin/node"); exec.Command(own, "--version").Run() == nil {
		node = own
	}
	cmd := sp.Command(ctx, node, "testdata/browsers.mjs", library, playwright, "ws://"+tr.Addrs()[0].String())
	var log bytes.Buffer
	cmd.Stderr = &log
	out, err := cmd.Output()
	if want := `{"name":"squares.bin","size":300000,"right":true,"peers":1}`; err != nil || strings.TrimSpace(string(out)) != want {
		t.Errorf("%v: got %s, want %s; the tracker: %+v\n%s", err, out, want, tr.Stats(), log.String())
	}
	if s := tr.Stats(); s.Web < 3 || s.Mistaken > 0 {
		t.Errorf("%+v", s)
	}
}

func info(name string, data []byte) map[string]any {
	const piece = 1 << 18
	var pieces []byte
	for at := 0; at < len(data); at += piece {
		h := sha1.Sum(data[at:min(at+piece, len(data))])
		pieces = append(pieces, h[:]...)
	}
	return map[string]any{"name": name, "length": len(data), "piece length": piece, "pieces": string(pieces)}
}

// newSpace returns a network of its own with three addresses that are no loopback, since some programs take no peers at such.
func newSpace(t *testing.T) *space.Space {
	t.Helper()
	sp, err := space.New(func() error { return nil })
	if errors.Is(err, kith.Unavailable) {
		t.Skipf("programs of others were not tried: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sp.Kill(); sp.Close() })
	for _, args := range []string{"link set lo up", "addr add 10.77.0.1/32 dev lo", "addr add 10.77.0.2/32 dev lo", "addr add 10.77.0.3/32 dev lo"} {
		if out, err := sp.Command(t.Context(), "ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", args, err, out)
		}
	}
	return sp
}

func inSpace(t *testing.T, sp *space.Space, at netip.Addr) *Tracker {
	t.Helper()
	var tr *Tracker
	err := sp.Do(func() (err error) {
		tr, err = Listen(Options{At: []netip.Addr{at}})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- tr.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return tr
}

// program is a client that somebody else wrote.
type program struct {
	name, command string
	// args returns its arguments, after having written the configuration in home that it needs.
	args func(t *testing.T, home, at, dir, torrent string, port int) []string
}

var aria2 = program{"aria2", "aria2c", func(t *testing.T, home, at, dir, torrent string, port int) []string {
	return []string{
		"--no-conf", "--quiet", "--check-integrity", "--seed-ratio=0", "--interface=" + at, "--enable-dht=true", "--enable-dht6=false", "--dht-file-path=" + home + "/dht", // its UDP trackers need the DHT's socket
		"--dht-listen-port=" + fmt.Sprint(port), "--listen-port=" + fmt.Sprint(port), "--bt-enable-lpd=false", "--enable-peer-exchange=false", "--dir=" + dir, torrent,
	}
}}

var transmission = program{"transmission", "transmission-daemon", func(t *testing.T, home, at, dir, torrent string, port int) []string {
	if err := os.MkdirAll(home+"/torrents", 0o755); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(torrent)
	if err == nil {
		err = os.WriteFile(home+"/torrents/x.torrent", b, 0o644)
	}
	write(t, home+"/settings.json", fmt.Sprintf(`{"dht-enabled": false, "lpd-enabled": false, "pex-enabled": false, "port-forwarding-enabled": false, "utp-enabled": false,
		"bind-address-ipv4": %q, "peer-port": %d, "rpc-enabled": false, "download-dir": %q, "preallocation": 0}`, at, port, dir))
	if err != nil {
		t.Fatal(err)
	}
	return []string{"-f", "-g", home, "-w", dir}
}}

var qbittorrent = program{"qbittorrent", "qbittorrent-nox", func(t *testing.T, home, at, dir, torrent string, port int) []string {
	if err := os.MkdirAll(home+"/qBittorrent/config", 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, home+"/qBittorrent/config/qBittorrent.conf", fmt.Sprintf(`[LegalNotice]
Accepted=true
[BitTorrent]
Session\DHTEnabled=false
Session\LSDEnabled=false
Session\PeXEnabled=false
Session\Port=%d
Session\Interface=lo
Session\InterfaceAddress=%s
[Network]
PortForwardingEnabled=false
[Preferences]
WebUI\Port=%d
WebUI\Address=127.0.0.1
WebUI\LocalHostAuth=false
`, port, at, port+1))
	return []string{"--profile=" + home, "--save-path=" + dir, "--skip-dialog=true", torrent}
}}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// start starts p in a network, at one of its addresses, with the torrent, until the test ends.
func (p program) start(t *testing.T, sp *space.Space, at, dir, torrent string) {
	t.Helper()
	home := t.TempDir()
	var log bytes.Buffer
	port := 20000 + 2*rand.IntN(10000)
	cmd := sp.Command(context.Background(), p.command, p.args(t, home, at, dir, torrent, port)...)
	cmd.Env = append(os.Environ(), "HOME="+home)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("%s at %s: %s", p.name, at, log.String())
		}
	})
}
