package resume

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kith"
)

func TestNothingThere(t *testing.T) {
	if _, err := Transmission(t.TempDir()); !errors.Is(err, kith.NotFound) {
		t.Errorf("Transmission: %v", err)
	}
	if _, err := QBittorrent(t.Context(), t.TempDir()); !errors.Is(err, kith.NotFound) {
		t.Errorf("qBittorrent: %v", err)
	}
	file := filepath.Join(t.TempDir(), "torrents.db")
	if err := os.WriteFile(file, []byte("no database"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := QBittorrent(t.Context(), file); !errors.Is(err, kith.Corrupt) {
		t.Errorf("a file that is no database: %v", err)
	}
}

// One damaged file is a trouble of that torrent, and none of the others.
func TestDamaged(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"resume", "torrents"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{
		"torrents/a.torrent": "d4:infodee", "resume/a.resume": "d4:name5:hello",
		"torrents/b.torrent": "d4:infodee", "resume/b.resume": "d11:destination4:/tmp4:name5:hello6:pausedi1ee",
		"torrents/c.magnet": "magnet:?xt=urn:btih:0123456789abcdef0123456789abcdef01234567\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Transmission(dir)
	if err != nil || len(got) != 3 {
		t.Fatalf("%v %+v", err, got)
	}
	for _, g := range got {
		switch {
		case g.Name == "hello" && g.Trouble == "" && g.Paused && len(g.Dirs) == 1:
		case g.Name == "a" && strings.Contains(g.Trouble, "corrupt"):
		case g.Name == "c" && strings.HasPrefix(g.Link, "magnet:"):
		default:
			t.Errorf("%+v", g)
		}
	}
}

// Whatever another program's files say, no path beyond the folder that they name is looked at, and nothing panics.
func FuzzState(f *testing.F) {
	const info = "4:infod6:lengthi5e4:name5:a.bin12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaae"
	f.Add([]byte("d11:destination4:/tmp4:name5:hello6:pausedi1ee"), []byte("d"+info+"e"))
	f.Add([]byte("d9:info-hash20:aaaaaaaaaaaaaaaaaaaa6:pausedi1e9:save_path4:/tmp8:trackersll11:http://a/b/eee"), []byte("d11:magnet-infod9:info_hash20:aaaaaaaaaaaaaaaaaaaaee"))
	f.Fuzz(func(t *testing.T, state, torrent []byte) {
		var r transmission
		var q qbittorrent
		decode(state, &r)
		decode(state, &q)
		magnetOf(torrent)
		x := q.torrent(torrent)
		x.Dirs = []string{t.TempDir()}
		found, err := Check(context.Background(), x, func(int64) {})
		if err != nil {
			return
		}
		for _, p := range append(found.Files, found.Path) {
			if p != "" && !strings.HasPrefix(p, x.Dirs[0]) {
				t.Fatalf("%q is not in %s", p, x.Dirs[0])
			}
		}
	})
}
