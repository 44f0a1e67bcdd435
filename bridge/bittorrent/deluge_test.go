//go:build linux

package bittorrent

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestDelugeFetches has Deluge open the magnet links as they are printed, of a file and of a folder.
func TestDelugeFetches(t *testing.T) {
	if !inside(t, 4*time.Minute, "deluged", "deluge-console") {
		return
	}
	ctx := timed(t, 2*programTime)
	conf, dir := t.TempDir(), t.TempDir()
	settings, err := json.Marshal(map[string]any{
		"dht": false, "lsd": false, "upnp": false, "natpmp": false, "utpex": true, "new_release_check": false, "send_info": false, "download_location": dir, "daemon_port": 58846, "allow_remote": false,
		"listen_interface": otherAt.String(), "outgoing_interface": otherAt.String(), "listen_ports": []int{6881, 6881}, "random_port": false, "enabled_plugins": []string{}, "geoip_db_location": "",
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"core.conf": `{"file": 1, "format": 1}` + string(settings), "auth": "localclient:word:10\n"} {
		if err := os.WriteFile(filepath.Join(conf, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	program(t, "deluged", "-d", "-c", conf, "-u", "127.0.0.1", "-L", "error")
	console := func(command string) string {
		cmd := exec.CommandContext(ctx, "deluge-console", "-c", conf, "connect 127.0.0.1:58846 localclient word; "+command)
		cmd.Env = append(os.Environ(), "HOME="+conf, "LC_ALL=C.UTF-8", "TERM=dumb")
		out, _ := cmd.CombinedOutput()
		return string(out)
	}
	until(t, time.Minute, "Deluge starts", func() bool { return strings.Contains(console("status"), "Total upload") })
	n := atKith(t, newTracker(t))
	want := map[string][]byte{}
	for name, files := range shares() {
		share := n.share(name, files)
		names, err := n.Publish(ctx, share)
		if err != nil {
			t.Fatal(err)
		}
		if out := console("add -p " + dir + " " + magnet(share, names)); !strings.Contains(out, "added") {
			t.Fatalf("add: %s", out)
		}
		for p, data := range below(name, files) {
			want[p] = data
		}
	}
	mustHave(t, programTime, dir, want)
}
