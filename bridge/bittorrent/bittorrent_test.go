package bittorrent

import (
	"testing"
	"time"
)

// folder is what is difficult about folders.
func folder() map[string][]byte {
	return map[string][]byte{
		"a.txt": sample(1, 1), "b/empty": {}, "b/exact": sample(2, 64<<10), "b/more": sample(3, 64<<10+1), "Ünïcode/雪.bin": sample(4, 3<<20+77), "z": sample(5, 12345),
	}
}

// TestBetweenNodes publishes a file and a folder, and fetches them.
func TestBetweenNodes(t *testing.T) {
	for _, hybrid := range []bool{false, true} {
		t.Run(map[bool]string{false: "v1", true: "hybrid"}[hybrid], func(t *testing.T) { testBetweenNodes(t, hybrid) })
	}
}

func testBetweenNodes(t *testing.T, hybrid bool) {
	ctx := timed(t, 2*time.Minute)
	a, b := newNode(t, func(o *Options) { o.Config.Hybrid = hybrid }), newNode(t, nil)
	single := map[string][]byte{"": sample(9, 5<<20+4321)}
	for name, files := range map[string]map[string][]byte{"film.mkv": single, "Ordner ü": folder()} {
		t.Run(name, func(t *testing.T) {
			share := a.share(name, files)
			names, err := a.Publish(ctx, share)
			if err != nil {
				t.Fatal(err)
			}
			b.t = t
			d := b.get(ctx, a.link(names))
			if (names.V2 != [32]byte{}) != hybrid {
				t.Errorf("names %+v", names)
			}
			if d.layout.Name != name {
				t.Errorf("it is called %q", d.layout.Name)
			}
			d.all(ctx)
			d.mustBe(ctx, files)
			st, err := a.Status(share.Root)
			if err != nil || st.Names.V1 != names.V1 {
				t.Errorf("status %+v, %v", st, err)
			}
			if err := a.Withdraw(ctx, share.Root); err != nil {
				t.Error(err)
			}
		})
	}
}
