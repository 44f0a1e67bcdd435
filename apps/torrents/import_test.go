package torrents

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/anacrolix/torrent/bencode"

	"kith/app"
	"kith/apps/files"
	"kith/apptest"
	"kith/bridge"
	"kith/bridge/bittorrent"
	"kith/transfer"
)

// On a whole node: what is complete is shared where it lies, what is not goes on with what was right of it, what was paused is paused; and once more changes nothing.
func TestImportOnANode(t *testing.T) {
	n := apptest.New(t, 1, func() ([]app.App, transfer.Guard) {
		f := files.New()
		var b *bittorrent.Bridge // one for both, as a node has it
		all := []app.App{f.App(), New(f).App()}
		for i, a := range all {
			start := a.Start
			all[i].Start = func(ctx context.Context, env app.Env) error {
				if b == nil {
					var err error
					b, err = bittorrent.New(bittorrent.Options{Blobs: env.Blobs, Dir: filepath.Join(env.Dir, "bittorrent"), Bind: netip.MustParseAddr("127.0.0.1"), Go: env.Go, Version: "test"})
					if err != nil {
						return err
					}
					t.Cleanup(func() { b.Close() })
				}
				env.Bridges = []bridge.Bridge{b}
				return start(ctx, env)
			}
		}
		return all, f
	}).Node(0)
	state, data := t.TempDir(), t.TempDir()
	for _, d := range []string{"resume", "torrents"} {
		if err := os.Mkdir(filepath.Join(state, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	const size = 1 << 20
	added := time.Now().Add(-1000 * time.Hour).Truncate(time.Second)
	for i, name := range []string{"whole", "half", "still"} {
		content := make([]byte, size)
		rand.NewChaCha8([32]byte{byte(i)}).Read(content)
		put(t, filepath.Join(state, "torrents", name+".torrent"), torrentOf(t, name, content, ""))
		if name != "whole" {
			clear(content[size/2:])
		}
		put(t, filepath.Join(data, name), content)
		paused := 0
		if name == "still" {
			paused = 1
		}
		b, err := bencode.Marshal(map[string]any{"destination": data, "name": name, "paused": paused, "added-date": added.Unix(), "uploaded": 3 << 19, "downloaded": size})
		if err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(state, "resume", name+".resume"), b)
	}
	imports := func() (states string) {
		t.Helper()
		err := n.Watch(t.Context(), "torrents", "import transmission", ImportIn{Path: state}, func(b []byte) bool {
			var out ImportOut
			if err := json.Unmarshal(b, &out); err != nil {
				t.Fatal(err)
			}
			for _, i := range out.All {
				states += i.Name + " " + i.State + i.Why + "; "
			}
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
		return states
	}
	if got, want := imports(), "half goes on; still paused; whole shared; "; got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
	until(t, "all stand as they should", func() bool {
		var ls files.LsOut
		if err := n.Call(t.Context(), "files", "ls", files.None{}, &ls); err != nil {
			t.Fatal(err)
		}
		is := map[string]string{}
		for _, i := range ls.Items {
			if !i.Added.Equal(added) {
				t.Fatalf("%s was added at %s, want %s", i.Name, i.Added, added)
			}
			if i.Name == "whole" && (len(i.Networks) != 1 || i.Networks[0].Ratio != 1.5) {
				return false
			}
			is[i.Name] = fmt.Sprint(i.Kind, " ", i.Done, " ", i.State == "paused", " ", i.Path == filepath.Join(data, i.Name))
		}
		return is["whole"] == fmt.Sprint("share ", size, " false true") && is["half"] == fmt.Sprint("download ", size/2, " false false") && is["still"] != ""
	})
	if got, want := imports(), "half known; still known; whole known; "; got != want {
		t.Errorf("once more: got %s, want %s", got, want)
	}
}
