package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"kith"
)

func TestParse(t *testing.T) {
	c, err := Parse([]byte("network = 'home'\nup = '500K'\nquota = '2GiB'\nlisten = ['/ip4/0.0.0.0/tcp/1']\n[relay]\nfor = 'contacts'\nmetered = true\nrate = '2MiB/s'\n[apps.files]\nslots = 3\n"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Network != "home" || c.Up != 500e3 || c.Quota != 2<<30 || len(c.Listen) != 1 || c.Relay != (Relay{For: "contacts", Metered: true, Rate: 2 << 20}) {
		t.Errorf("%+v", c)
	}
	var s struct {
		Slots int `toml:"slots"`
	}
	if err := c.Section("files", &s); err != nil || s.Slots != 3 {
		t.Errorf("section %+v, %v", s, err)
	}
	if err := c.Section("files", &struct{}{}); !errors.Is(err, kith.Invalid) || !strings.Contains(err.Error(), `line 10: there is no setting "apps.files.slots"`) {
		t.Errorf("a section with an unknown key: %v", err)
	}
	s.Slots = 9
	if err := c.Section("vault", &s); err != nil || s.Slots != 9 {
		t.Errorf("a section that is not there: %+v, %v", s, err)
	}
	if err := (Config{}).Section("files", &s); err != nil || s.Slots != 9 {
		t.Errorf("no file: %+v, %v", s, err)
	}
	if err := c.Check([]string{"vault", "files"}); err != nil {
		t.Error(err)
	}
	if err := c.Check([]string{"vault"}); !errors.Is(err, kith.Invalid) || !strings.Contains(err.Error(), `"files"`) || kith.HintOf(err) != "sections may be: apps.vault" {
		t.Errorf("a section of no application: %v", err)
	}
}

// The link of a private network is a secret: a file that others may read must not hold it.
func TestLinkInReadableFile(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("who may read config.toml was not tested: Windows has no modes")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, FileName)
	for text, want := range map[string]error{"network = 'kith:network:AQAB'": kith.Denied, "network = 'home'": nil} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(dir); !errors.Is(err, want) || want != nil && !strings.Contains(kith.HintOf(err), "chmod 600") {
			t.Errorf("%s: %v", text, err)
		}
		if err := os.Chmod(path, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(dir); err != nil {
			t.Errorf("%s, for its owner alone: %v", text, err)
		}
		os.Remove(path)
	}
}

func TestParseNamesTheLine(t *testing.T) {
	for in, want := range map[string]string{
		"api = ''\nnetwrok = 'x'\n": "line 2",
		"api = 7":                   "line 1",
		"api = ":                    "line 1",
		"\nup = 'fast'":             `line 2: "fast" is not a size`,
		"quota = -1":                "line 1",
		"[apps]\nfiles = 1\n[appz]": "line 3",
		"[relay]\nfro = 'all'":      `line 2: there is no setting "relay.fro"`,
	} {
		if _, err := Parse([]byte(in)); !errors.Is(err, kith.Invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", in, err)
		}
	}
	for text, want := range map[string]Config{
		"":                 {},
		"mainline = true":  {},
		"mainline = false": {NoMainline: true},
		"ipfs_hosts = ['/ip4/192.0.2.7/tcp/4001/p2p/12D3KooW']\n[relay]\nipfs = true": {IPFSHosts: []string{"/ip4/192.0.2.7/tcp/4001/p2p/12D3KooW"}, Relay: Relay{IPFS: true}},
		"mainline_hosts = []":                          {MainlineHosts: []string{}},
		"mainline_hosts = ['a.b:6881', '[2a00::1]:1']": {MainlineHosts: []string{"a.b:6881", "[2a00::1]:1"}},
	} {
		if c, err := Parse([]byte(text)); err != nil || c.NoMainline != want.NoMainline || c.Relay.IPFS != want.Relay.IPFS || !reflect.DeepEqual(c.IPFSHosts, want.IPFSHosts) || !reflect.DeepEqual(c.MainlineHosts, want.MainlineHosts) {
			t.Errorf("%q: %+v, %v", text, c, err)
		}
	}
	if _, err := Parse([]byte("mainline_hosts = ['router']")); !errors.Is(err, kith.Invalid) {
		t.Errorf("a host without a port: %v", err)
	}
	if c, err := Load(t.TempDir()); err != nil || c.Network != "" {
		t.Errorf("no file: %+v, %v", c, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("network = 'home'\nup = '500K'\n[apps.files]\nx = 1\n")
	f.Add("up = '1K'\n[apps]\nfiles = 3\n[[apps.x]]\n")
	f.Fuzz(func(t *testing.T, s string) {
		c, err := Parse([]byte(s))
		if err != nil {
			if !errors.Is(err, kith.Invalid) && !errors.Is(err, kith.TooLarge) {
				t.Errorf("%q: %v", s, err)
			}
			return
		}
		if c.Up < 0 || c.Down < 0 || c.Quota < 0 {
			t.Errorf("%q: %+v", s, c)
		}
		var into struct {
			X map[string]any `toml:"x"`
		}
		if err := c.Section("files", &into); err != nil && !errors.Is(err, kith.Invalid) {
			t.Errorf("%q: section: %v", s, err)
		}
	})
}
