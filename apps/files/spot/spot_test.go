package spot

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kith"
)

// TestGiven: a download goes into a folder that is there or under a name in one, and never among what is the node's own, whatever leads there.
func TestGiven(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"films", "own"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	own := func(p string) bool { return strings.HasPrefix(p, filepath.Join(dir, "own")) }
	type place struct {
		output, want string
		kind         kith.Kind
	}
	places := []place{
		{filepath.Join(dir, "films"), filepath.Join(dir, "films") + string(filepath.Separator), 0},
		{filepath.Join(dir, "films", "a.mkv"), filepath.Join(dir, "films", "a.mkv"), 0},
		{"films", "", kith.Invalid},
		{filepath.Join(dir, "nowhere", "a.mkv"), "", kith.NotFound},
		{filepath.Join(dir, "own"), "", kith.Denied},
		{filepath.Join(dir, "own", "a.mkv"), "", kith.Denied},
	}
	if err := os.Symlink("own", filepath.Join(dir, "link")); err == nil { // Windows may refuse
		places = append(places, place{filepath.Join(dir, "link"), "", kith.Denied}, place{filepath.Join(dir, "link", "a.mkv"), "", kith.Denied})
	}
	for _, tt := range places {
		to, err := Given(tt.output, own)
		if to != tt.want || (err != nil) != (tt.want == "") || err != nil && !errors.Is(err, tt.kind) {
			t.Errorf("%s: %q, %v", tt.output, to, err)
		}
	}
}

// TestPut: a file is put below the folder and nowhere else, and what is cut short leaves nothing.
func TestPut(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "batch")
	if n, err := Put(dir, "a/b.txt", strings.NewReader("hello"), 5); n != 5 || err != nil {
		t.Fatal(n, err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "a", "b.txt")); string(got) != "hello" || err != nil {
		t.Fatalf("%q, %v", got, err)
	}
	for _, rel := range []string{"", ".", "..", "../x", "/x", "a/../../x", `a\x`, "a\nb", strings.Repeat("x", maxPath+1)} {
		if _, err := Put(dir, rel, strings.NewReader("x"), -1); kith.KindOf(err) != kith.Invalid {
			t.Errorf("%.20q: %v", rel, err)
		}
	}
	if _, err := Put(dir, "a/b.txt", strings.NewReader("other"), -1); err == nil {
		t.Error("a file is written over")
	}
	if _, err := Put(dir, "c", strings.NewReader("hel"), 5); err == nil {
		t.Error("a file that was cut short is taken")
	}
	if _, err := os.Stat(filepath.Join(dir, "c")); err == nil {
		t.Error("a file that was cut short stays")
	}
}
