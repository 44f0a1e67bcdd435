package config

import (
	"errors"
	"strings"
	"testing"

	"kith"
)

func TestParse(t *testing.T) {
	c, err := Parse([]byte("network = 'home'\nup = '500K'\nquota = '2GiB'\nlisten = ['/ip4/0.0.0.0/tcp/1']\n[apps.files]\nslots = 3\n"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Network != "home" || c.Up != 500<<10 || c.Quota != 2<<30 || len(c.Listen) != 1 {
		t.Errorf("%+v", c)
	}
	var s struct {
		Slots int `toml:"slots"`
	}
	if err := c.Section("files", &s); err != nil || s.Slots != 3 {
		t.Errorf("section %+v, %v", s, err)
	}
	if err := c.Section("files", &struct{}{}); !errors.Is(err, kith.Invalid) {
		t.Errorf("a section with an unknown key: %v", err)
	}
}

func TestParseNamesTheLine(t *testing.T) {
	for in, want := range map[string]string{
		"api = ''\nnetwrok = 'x'\n": "line 2",
		"api = 7":                   "line 1",
		"api = ":                    "line 1",
		"up = 'fast'":               "up",
	} {
		if _, err := Parse([]byte(in)); !errors.Is(err, kith.Invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", in, err)
		}
	}
	if c, err := Load(t.TempDir()); err != nil || c.Network != "" {
		t.Errorf("no file: %+v, %v", c, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("network = 'home'\nup = '500K'\n[apps.files]\nx = 1\n")
	f.Fuzz(func(t *testing.T, s string) { Parse([]byte(s)) })
}
