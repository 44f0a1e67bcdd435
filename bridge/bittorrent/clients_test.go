//go:build linux

package bittorrent

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime/multipart"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A peer program of others: add gives it a torrent, by .torrent file or magnet link, of which it has or puts the files in dir. It may be given several.
type program1 interface {
	add(what string)
	stop() // as a power cut does
	start()
}

// transmission is Transmission's daemon.
type transmission struct {
	t         *testing.T
	at        netip.Addr
	conf, dir string
	cmd       *exec.Cmd
}

func newTransmission(t *testing.T, dir string) *transmission {
	return newTransmissionAt(t, dir, otherAt, nil)
}

// newTransmissionAt starts one at an address of its own, with more settings, and .torrent files that it has already.
func newTransmissionAt(t *testing.T, dir string, at netip.Addr, more map[string]any, torrents ...string) *transmission {
	c := &transmission{t: t, at: at, conf: t.TempDir(), dir: dir}
	settings := map[string]any{
		"bind-address-ipv4": at.String(), "peer-port": 51413, "rpc-bind-address": at.String(), "rpc-port": 9091, "rpc-whitelist-enabled": false, "dht-enabled": false,
		"lpd-enabled": false, "port-forwarding-enabled": false, "utp-enabled": true, "rpc-authentication-required": false, "rpc-host-whitelist-enabled": false,
	}
	maps.Copy(settings, more)
	for i, torrent := range torrents {
		os.Mkdir(filepath.Join(c.conf, "torrents"), 0o700)
		if err := os.WriteFile(filepath.Join(c.conf, "torrents", fmt.Sprintf("%d.torrent", i)), []byte(torrent), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b, _ := json.Marshal(settings)
	if err := os.WriteFile(filepath.Join(c.conf, "settings.json"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	c.start()
	return c
}

func (c *transmission) start() {
	c.cmd = program(c.t, "transmission-daemon", "-f", "-g", c.conf, "-w", c.dir, "--incomplete-dir", c.dir)
	until(c.t, 20*time.Second, "transmission starts", func() bool { _, err := c.remote("-si"); return err == nil })
}

// remote asks it for something. It waits a minute for an answer by itself, which is as long as those wait who ask again.
func (c *transmission) remote(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "transmission-remote", append([]string{c.at.String() + ":9091"}, args...)...).CombinedOutput()
	if err != nil || bytes.Contains(out, []byte("Error:")) {
		err = fmt.Errorf("transmission-remote %q: %w: %s", args, err, out)
	}
	return string(out), err
}

func (c *transmission) add(what string) {
	if _, err := c.remote("-a", what, "-w", c.dir); err != nil {
		c.t.Fatal(err)
	}
}

func (c *transmission) stop() { c.cmd.Process.Kill(); c.cmd.Wait() }

// aria2 is aria2c, which is a process for each torrent.
type aria2 struct {
	t    *testing.T
	dir  string
	seed bool
	what []string
	cmds []*exec.Cmd
}

func newAria2(t *testing.T, dir string, seed bool) *aria2 { return &aria2{t: t, dir: dir, seed: seed} }

func (c *aria2) add(what string) {
	c.what = append(c.what, what)
	c.run(what)
}

func (c *aria2) run(what string) {
	port := 6900 + len(c.cmds)
	args := []string{
		"--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=false", "--listen-port", fmt.Sprint(port), "--interface", otherAt.String(), "--file-allocation=none", "-c",
		"--bt-save-metadata=false", "--summary-interval=0", "-d", c.dir, "--seed-time=0", "--bt-tracker-interval=2",
	}
	if c.seed {
		args = append(args[:len(args)-2:len(args)-2], "-V", "--seed-ratio=0", "--bt-tracker-interval=2")
	}
	c.cmds = append(c.cmds, program(c.t, "aria2c", append(args, what)...))
}

func (c *aria2) stop() {
	for _, cmd := range c.cmds {
		cmd.Process.Kill()
		cmd.Wait()
	}
	c.cmds = nil
}

func (c *aria2) start() {
	for _, w := range c.what {
		c.run(w)
	}
}

// qbittorrent is qBittorrent without a window: libtorrent.
type qbittorrent struct {
	t         *testing.T
	at        netip.Addr
	conf, dir string
	cmd       *exec.Cmd
}

func newQBittorrent(t *testing.T, dir string) *qbittorrent {
	return newQBittorrentAt(t, dir, otherAt, "Both")
}

// newQBittorrentAt starts one that listens on an address, and speaks a protocol: Both, TCP or UTP.
func newQBittorrentAt(t *testing.T, dir string, listen netip.Addr, protocol string) *qbittorrent {
	c := &qbittorrent{t: t, at: listen, conf: t.TempDir(), dir: dir}
	at := filepath.Join(c.conf, "qBittorrent", "config")
	if err := os.MkdirAll(at, 0o700); err != nil {
		t.Fatal(err)
	}
	conf := `[LegalNotice]
Accepted=true
[BitTorrent]
Session\DHTEnabled=false
Session\LSDEnabled=false
Session\PeXEnabled=true
Session\Port=6881
Session\BTProtocol=` + protocol + `
Session\Interface=lo
Session\InterfaceAddress=` + listen.String() + `
Session\InterfaceName=lo
Session\UseRandomPort=false
Session\AnnounceToAllTrackers=true
[Preferences]
Connection\UPnP=false
WebUI\Address=` + listen.String() + `
WebUI\Port=8081
WebUI\AuthSubnetWhitelistEnabled=true
WebUI\AuthSubnetWhitelist=10.77.0.0/24
WebUI\CSRFProtection=false
WebUI\HostHeaderValidation=false
`
	if err := os.WriteFile(filepath.Join(at, "qBittorrent.conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	c.start()
	return c
}

func (c *qbittorrent) start() {
	c.cmd = program(c.t, "qbittorrent-nox", "--profile="+c.conf)
	until(c.t, 30*time.Second, "qBittorrent starts", func() bool {
		_, err := c.ask("GET", "app/version", "", nil)
		return err == nil
	})
}

func (c *qbittorrent) stop() { c.cmd.Process.Kill(); c.cmd.Wait() }

func (c *qbittorrent) ask(method, path, kind string, body io.Reader) ([]byte, error) {
	req, err := http.NewRequest(method, "http://"+c.at.String()+":8081/api/v2/"+path, body)
	if err != nil {
		return nil, err
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	out, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", res.Status, out)
	}
	return out, err
}

func (c *qbittorrent) add(what string) {
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	if strings.HasPrefix(what, "magnet:") {
		w.WriteField("urls", what)
	} else {
		data, err := os.ReadFile(what)
		if err != nil {
			c.t.Fatal(err)
		}
		f, _ := w.CreateFormFile("torrents", filepath.Base(what))
		f.Write(data)
	}
	w.WriteField("savepath", c.dir)
	w.Close()
	if out, err := c.ask("POST", "torrents/add", w.FormDataContentType(), &body); err != nil || !strings.Contains(string(out), "Ok") {
		c.t.Fatalf("add: %s, %v", out, err)
	}
}

// webtorrent is WebTorrent in Node, which speaks TCP: a process for each torrent.
type webtorrent struct {
	t    *testing.T
	dir  string
	what []string
	cmds []*exec.Cmd
}

const webtorrentNode = ".tools/node_modules/webtorrent/index.js"

func newWebTorrent(t *testing.T, dir string) *webtorrent {
	if _, err := os.Stat("../../" + webtorrentNode); err != nil {
		t.Skip("not tested against WebTorrent in Node, which is not installed (.ci/install does)")
	}
	return &webtorrent{t: t, dir: dir}
}

func (c *webtorrent) add(what string) {
	c.what = append(c.what, what)
	c.run(what)
}

func (c *webtorrent) run(what string) {
	root, err := filepath.Abs("../..")
	if err != nil {
		c.t.Fatal(err)
	}
	c.cmds = append(c.cmds, program(c.t, nodeOf(root), "testdata/peer.mjs", filepath.Join(root, webtorrentNode), c.dir, what))
}

func (c *webtorrent) stop() {
	for _, cmd := range c.cmds {
		cmd.Process.Kill()
		cmd.Wait()
	}
	c.cmds = nil
}

func (c *webtorrent) start() {
	for _, w := range c.what {
		c.run(w)
	}
}

// mustHave waits until files are in a folder as they should be.
func mustHave(t *testing.T, limit time.Duration, dir string, files map[string][]byte) {
	t.Helper()
	last := ""
	for end := time.Now().Add(limit); ; time.Sleep(200 * time.Millisecond) {
		last = ""
		for p, want := range files {
			got, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(p)))
			if err != nil || !bytes.Equal(got, want) {
				last = fmt.Sprintf("%q: %d of %d bytes, %v", p, len(got), len(want), err)
			}
		}
		if last == "" {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("not fetched within %s: %s", limit, last)
		}
	}
}
