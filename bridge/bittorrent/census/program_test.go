package census

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestProgram(t *testing.T) {
	for _, c := range []struct{ said, id, want string }{
		{"qBittorrent/4.5.2", "-qB4520-abcdefghijkl", "qBittorrent/4.5.2"},
		{" ", "-TR3000-abcdefghijkl", "Transmission"},
		{"", "A2-1-36-0-abcdefghij", "aria2"},
		{"", "-ZZ1234-abcdefghijkl", ""},
		{"", "abcdefghijklmnopqrst", ""},
		{strings.Repeat("é", 40), "", strings.Repeat("é", 32)},
		{"a" + strings.Repeat("é", 40), "", "a" + strings.Repeat("é", 31)},
		{"a\xffb", "", "a\uFFFDb"},
	} {
		var id [20]byte
		copy(id[:], c.id)
		if got := Program(c.said, id); got != c.want {
			t.Errorf("%q, %q is %q, want %q", c.said, c.id, got, c.want)
		}
	}
}

// FuzzProgram: whatever a peer says is short text.
func FuzzProgram(f *testing.F) {
	f.Add("aria2/1.36.0", []byte("A2-1-36-0-abcdefghij"))
	f.Add("", []byte("-TR3000-abcdefghijkl"))
	f.Add(strings.Repeat("é", 40)+"\xff", []byte{})
	f.Fuzz(func(t *testing.T, said string, peer []byte) {
		var id [20]byte
		copy(id[:], peer)
		if got := Program(said, id); len(got) > maxProgram || !utf8.ValidString(got) {
			t.Errorf("%q", got)
		}
	})
}
