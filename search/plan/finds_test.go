package plan

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"kith/overlay/kbr"
)

// What counts, and what comes first.
func TestFinds(t *testing.T) {
	var f Finds[string]
	if n := f.Home("home", "home"); n != 1 {
		t.Errorf("at home: %d", n)
	}
	flood := []string{"j1", "j2", "j3", "j4", "j5", "j6", "j7", "j8"}
	if n := f.Take(1, flood...); n != perPeer {
		t.Errorf("of one who has much %d count", n)
	}
	for _, x := range []struct {
		peer     kbr.Node
		contents []string
		fresh    int
	}{{2, []string{"rare"}, 1}, {3, []string{"both", "home"}, 1}, {4, []string{"both", "other", "other"}, 1}, {5, []string{"j8"}, 1}, {5, []string{"j8"}, 0}} {
		if n := f.Take(x.peer, x.contents...); n != x.fresh {
			t.Errorf("%d: %d count, want %d", x.peer, n, x.fresh)
		}
	}
	want := []string{"home", "j8", "both", "j1", "rare", "j2", "other", "j3", "j4", "j5", "j6", "j7"}
	if got := f.First(100); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := f.First(2); !slices.Equal(got, want[:2]) {
		t.Errorf("%v", got)
	}
}

// However much one peer says, it has no more than its part of what is first, and does not end a search.
func TestOnePeerAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var f Finds[int]
		others := rapid.IntRange(1, 9).Draw(t, "others")
		for p := range others {
			f.Take(kbr.Node(p+1), 1000+p)
		}
		flood := make([]int, rapid.IntRange(0, 300).Draw(t, "flood"))
		for i := range flood {
			flood[i] = i
		}
		if n := f.Take(100, flood...); n > perPeer {
			t.Fatalf("%d count", n)
		}
		junk := 0
		for _, x := range f.First(others + 1) {
			if x < 1000 {
				junk++
			}
		}
		if junk > 1 {
			t.Fatalf("%d of the first %d are of one", junk, others+1)
		}
	})
}
