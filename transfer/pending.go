package transfer

import (
	"fmt"
	"strings"

	"github.com/ipfs/go-cid"

	"kith"
	"kith/blob/bao"
)

// PendingRef returns what stands for the root of a download of which only other networks' names are known, until it is complete: equal names, equal refs. Where it
// is found (trackers, web seeds) is no part of what it is called. It is the zero Ref if n names nothing.
func PendingRef(n kith.Names) kith.Ref {
	if n.None() {
		return kith.Ref{}
	}
	text := strings.Builder{}
	text.WriteString("kith pending\x00")
	add := func(key, value string) { fmt.Fprintf(&text, "%s=%s\n", key, value) }
	if n.V1 != (kith.InfoHash{}) {
		add("btih", fmt.Sprintf("%x", n.V1[:]))
	}
	if n.V2 != ([32]byte{}) {
		add("btmh", fmt.Sprintf("%x", n.V2[:]))
	}
	if n.IPFS.Defined() {
		add("cid", cid.NewCidV1(n.IPFS.Type(), n.IPFS.Hash()).String())
	}
	if n.IPNS != "" {
		add("ipns", n.IPNS)
	}
	if n.Path != "" {
		add("path", n.Path)
	}
	if text.Len() == len("kith pending\x00") {
		add("url", n.Source)
	}
	return kith.Ref{Sum: bao.Hash([]byte(text.String())), Codec: kith.Pending}
}
