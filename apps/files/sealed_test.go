package files_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kith"
	"kith/apps/files"
	"kith/apptest"
)

// TestSealedFromSwarm: what is for whoever has the link goes through BitTorrent encrypted, and comes out of it plain for who has the key. The two nodes know nothing of each other but as peers of
// a swarm: each is in a network of its own.
func TestSealedFromSwarm(t *testing.T) {
	all, build := torrented(t)
	from, to := apptest.New(t, 1, build).Node(0), apptest.New(t, 1, build).Node(0)
	dir := t.TempDir()
	file, letters := filepath.Join(dir, "diary.txt"), filepath.Join(dir, "letters")
	want := map[string]map[string][]byte{
		file:    {"": write(t, file, 1<<20+77)},
		letters: {"to anna.txt": write(t, filepath.Join(letters, "to anna.txt"), 300_000), "b/to ben.txt": write(t, filepath.Join(letters, "b/to ben.txt"), 20)},
	}
	for path, inside := range want {
		s := share(t, from, files.ShareIn{Paths: []string{path}, For: "link", Networks: []string{"bittorrent"}})
		if !strings.HasPrefix(s.Link, "magnet:?xt=urn:btih:") || !strings.Contains(s.Link, "#") {
			t.Fatal(s.Link)
		}
		l, err := kith.ParseLink(s.Link)
		if err != nil {
			t.Fatal(err)
		}
		l.Peers, l.Swarm = nil, []string{all.at(t, 0)}
		out := get(t, to, files.GetIn{Link: l.String(), Output: t.TempDir()})
		for name, data := range inside {
			sameFile(t, filepath.Join(out.Path, filepath.FromSlash(name)), data)
		}
		var came int64
		for _, n := range show(t, to, s.Ref.String()).Networks {
			came += n.Bytes
		}
		if came < out.Size || filepath.Base(out.Path) != filepath.Base(path) {
			t.Errorf("%d bytes came through the swarm, as %q", came, out.Path)
		}
	}
	// Who has the infohash alone has nothing that can be read.
	s := share(t, from, files.ShareIn{Paths: []string{letters}, For: "link", Networks: []string{"bittorrent"}})
	stranger := apptest.New(t, 1, build).Node(0)
	out := get(t, stranger, files.GetIn{Link: magnetOf(t, s.Link, all.at(t, 0)), Output: t.TempDir()})
	err := filepath.WalkDir(out.Path, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(p)
		if strings.Contains(p, "to ") || strings.Contains(string(data), string(want[letters]["b/to ben.txt"])) {
			return errors.New(p + " can be read")
		}
		return err
	})
	if err != nil || strings.Contains(out.Path, "letters") {
		t.Errorf("%s: %v", out.Path, err)
	}
}
