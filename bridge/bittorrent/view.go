package bittorrent

import (
	"bytes"
	"strconv"

	"kith/bridge/bittorrent/metainfo"
)

// view returns the info dictionary that the library is given of a torrent of version 1 with several files: a single file of the same pieces, that is as long as all of them
// with their pads. Names, trees and pads are this package's, which reads them strictly: the library walks the whole tree of version 2 for every message, refuses the
// requests for pads that programs without BEP 47 make, and panics at digests of a wrong length. It is exactly as long as the real one, which is what the library tells peers.
func view(in *metainfo.Info) []byte {
	if !viewed(in) {
		return in.Raw
	}
	build := func(name string, fill int) []byte {
		var b bytes.Buffer
		text := func(s string) { b.WriteString(strconv.Itoa(len(s)) + ":" + s) }
		number := func(n int64) { b.WriteString("i" + strconv.FormatInt(n, 10) + "e") }
		b.WriteByte('d')
		text("length")
		number(in.Length)
		text("name")
		text(name)
		text("piece length")
		number(in.PieceLength)
		text("pieces")
		b.WriteString(strconv.Itoa(len(in.Pieces)) + ":")
		b.Write(in.Pieces)
		if fill >= 0 {
			text("zz")
			b.WriteString(strconv.Itoa(fill) + ":")
			b.Write(bytes.Repeat([]byte{'0'}, fill))
		}
		b.WriteByte('e')
		return b.Bytes()
	}
	want := len(in.Raw)
	for name := "n"; len(name) < 16; name += "n" { // until the digits of the length come out right
		rest := want - len(build(name, -1))
		if rest == 0 {
			return build(name, -1)
		}
		for fill := max(0, rest-16); fill <= rest; fill++ {
			if len("2:zz")+len(strconv.Itoa(fill))+1+fill == rest {
				return build(name, fill)
			}
		}
	}
	return in.Raw // cannot be: a list of files is longer than a length
}

// viewed reports whether the library is given a view. A single file needs none.
func viewed(in *metainfo.Info) bool { return in.HasV1 && in.Folder }
