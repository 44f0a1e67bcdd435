package files

import (
	"slices"
	"strings"
	"testing"

	"kith"
)

// What a person reads of an unfinished download says how far it is, and what to type next.
func TestUnfinishedInWords(t *testing.T) {
	ref := kith.RawRef([32]byte{1})
	for _, c := range []struct {
		item Item
		want string
	}{
		{Item{State: "paused", Size: 200, Done: 13}, "paused at 6%"},
		{Item{State: "waiting", Size: 200, Done: 13, Reason: "the disk is full"}, "waiting at 6%: the disk is full"},
		{Item{State: "finding", Size: -1, Reason: "no source found"}, "finding: no source found"},
		{Item{State: "gone", Size: 200, Done: 200, Reason: "it was moved"}, "gone: it was moved"},
	} {
		if got := state(c.item); got != c.want {
			t.Errorf("%+v is %q, want %q", c.item, got, c.want)
		}
	}
	for is, want := range map[string]string{
		"finding":  "film.mkv is being fetched; see how it goes with: kith ls\n",
		"fetching": "film.mkv is being fetched; see how it goes with: kith ls\n",
		"paused":   "film.mkv is paused; go on with: kith resume " + ref.Short() + "\n",
		"waiting":  "film.mkv: waiting; see how it goes with: kith ls\n",
	} {
		var b strings.Builder
		if err := (GetOut{Ref: ref, Name: "film.mkv", State: is}).WriteText(&b, 0); err != nil || b.String() != want {
			t.Errorf("%s: %q, %v, want %q", is, b.String(), err, want)
		}
	}
	for state, want := range map[string]string{stateFinding: "looking for sources", stateFetching: "looking for sources", "checking": "checking what came"} {
		if note := (GetOut{State: state}).Progress().Note; note != want {
			t.Errorf("%s with nobody: %q", state, note)
		}
	}
	if note := (GetOut{State: "paused"}).Progress().Note; note != "paused by somebody" {
		t.Errorf("a get that another command paused waits for %q", note)
	}
}

func TestSuggestedNamesOneItem(t *testing.T) {
	a, b := kith.RawRef([32]byte{1}), kith.RawRef([32]byte{2})
	got := LsOut{Items: []Item{{Name: "film.mkv", Ref: a}, {Name: "photos", Ref: a}, {Name: "photos", Ref: b}, {Name: "x\ty", Ref: b}}}.Suggest()
	want := []string{"film.mkv", a.Short() + "\tphotos", b.Short() + "\tphotos", b.Short() + "\t"}
	if len(got) != 4 || !slices.Equal(got[:3], want[:3]) || !strings.HasPrefix(got[3], want[3]) || strings.Count(got[3], "\t") != 1 {
		t.Errorf("suggested %q, want %q", got, want)
	}
}
