package transfer

import (
	"testing"

	"github.com/ipfs/go-cid"

	"kith"
)

func TestPendingRef(t *testing.T) {
	v0, err := cid.Decode("QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG")
	if err != nil {
		t.Fatal(err)
	}
	v1 := cid.NewCidV1(v0.Type(), v0.Hash())
	hash := kith.InfoHash{1}
	for _, c := range []struct {
		what string
		a, b kith.Names
		same bool
	}{
		{"where it is found is no name", kith.Names{V1: hash, Trackers: []string{"http://a"}, Source: "http://b"}, kith.Names{V1: hash}, true},
		{"a CID in both versions", kith.Names{IPFS: v0}, kith.Names{IPFS: v1}, true},
		{"another path", kith.Names{IPFS: v0, Path: "a"}, kith.Names{IPFS: v0}, false},
		{"another hash", kith.Names{V1: hash}, kith.Names{V1: kith.InfoHash{2}}, false},
		{"another network", kith.Names{V2: [32]byte{1}}, kith.Names{V1: hash}, false},
		{"URLs", kith.Names{Source: "https://a"}, kith.Names{Source: "https://b"}, false},
	} {
		a, b := PendingRef(c.a), PendingRef(c.b)
		if a.Codec != kith.Pending || (a == b) != c.same {
			t.Errorf("%s: %v and %v", c.what, a, b)
		}
	}
	if r := PendingRef(kith.Names{Trackers: []string{"http://a"}}); !r.IsZero() {
		t.Errorf("no names have the ref %v", r)
	}
}
