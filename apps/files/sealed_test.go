package files_test

import (
	"path/filepath"
	"strings"
	"testing"

	"kith"
	"kith/apps/files"
	"kith/apptest"
)

// TestSealedFromSwarm: what is for whoever has the link goes through BitTorrent encrypted, and comes out of it plain for who has the key. No peer of Kith is asked: the link that is
// fetched by names none.
func TestSealedFromSwarm(t *testing.T) {
	all, build := torrented(t)
	net := apptest.New(t, 2, build)
	dir := filepath.Join(t.TempDir(), "letters")
	anna, ben := write(t, filepath.Join(dir, "to anna.txt"), 300_000), write(t, filepath.Join(dir, "b/to ben.txt"), 20)
	film := write(t, filepath.Join(t.TempDir(), "film.mkv"), 2<<20+77)
	_ = film
	for name, files1 := range map[string]map[string][]byte{"folder": {"to anna.txt": anna, "b/to ben.txt": ben}} {
		t.Run(name, func(t *testing.T) {
			s := share(t, net.Node(0), files.ShareIn{Paths: []string{dir}, For: "link", Networks: []string{"bittorrent"}})
			l, err := kith.ParseLink(s.Link)
			if err != nil {
				t.Fatal(err)
			}
			t.Log(s.Link)
			l.Peers, l.Swarm = nil, []string{all.at(t, 0)}
			out := get(t, net.Node(1), files.GetIn{Link: l.String(), Output: t.TempDir()})
			t.Logf("%+v", out)
			for p, want := range files1 {
				sameFile(t, filepath.Join(out.Path, filepath.FromSlash(p)), want)
			}
			if strings.Contains(out.Path, "letters") {
				t.Log("name", out.Path)
			}
			if nets := show(t, net.Node(1), s.Ref.String()).Networks; len(nets) != 1 || nets[0].Bytes == 0 {
				t.Errorf("nothing came from the swarm: %+v", nets)
			}
		})
	}
}
