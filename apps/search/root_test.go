package search

import (
	"fmt"
	"testing"

	"kith"
)

// What is here is one content with what is told of it, and so are two offers of one torrent, wherever it is said to be found; what cannot be fetched is none.
func TestRootOf(t *testing.T) {
	of := func(text string) Offer { return Offer{Link: text} }
	const magnet = "magnet:?xt=urn:btih:%040x"
	here := map[kith.InfoHash]kith.Ref{{19: 7}: {Codec: kith.Raw, Sum: [32]byte{1}}}
	if root := of(fmt.Sprintf(magnet, 7)).rootOf(here); root != here[kith.InfoHash{19: 7}] {
		t.Errorf("what is here is %s", root)
	}
	one, same, other := of(fmt.Sprintf(magnet, 8)).rootOf(here), of(fmt.Sprintf(magnet, 8)+"&dn=x&tr=http%3A%2F%2Fa.example%2Fannounce").rootOf(here), of(fmt.Sprintf(magnet, 9)).rootOf(here)
	if one.Codec != kith.Pending || one != same || one == other {
		t.Errorf("%s, %s, %s", one, same, other)
	}
	file, another := of("https://example.org/a.torrent").rootOf(here), of("https://example.org/b.torrent").rootOf(here)
	if file.IsZero() || file == another {
		t.Errorf("%s, %s", file, another)
	}
	for _, text := range []string{"", "mailto:a@example.org", "javascript:alert(1)"} {
		if root := of(text).rootOf(here); !root.IsZero() {
			t.Errorf("%q is %s", text, root)
		}
	}
}
