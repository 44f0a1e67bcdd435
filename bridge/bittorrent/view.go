package bittorrent

import (
	"fmt"

	g "github.com/anacrolix/torrent/metainfo"

	"kith/bridge/bittorrent/metainfo"
)

// view returns what the library is told of a torrent instead of its metadata; nil: that is what it is told. Names, trees and pads are this package's, which reads them strictly. Of version 1
// with several files it is a single file of the same pieces, that is as long as all of them with their pads: the library walks the whole tree of version 2 for every message, and refuses the
// requests for pads that programs without BEP 47 make. Of version 2 alone it is all files but the empty ones, at which it panics.
func view(in *metainfo.Info) *g.Info {
	const name = "view"
	v := &g.Info{Name: name, PieceLength: in.PieceLength, Private: &in.Private}
	switch {
	case !in.HasV1:
		v.MetaVersion = 2
		v.FileTree.Dir = map[string]g.FileTree{}
		for i, f := range in.Files {
			key := name
			if in.Folder {
				key = fmt.Sprintf("%08d", i)
			}
			if f.Size > 0 {
				v.FileTree.Dir[key] = g.FileTree{File: g.FileTreeFile{Length: f.Size, PiecesRoot: string(f.Root[:])}}
			}
		}
	case in.Folder:
		v.Length, v.Pieces = in.Length, in.Pieces
	default:
		return nil
	}
	return v
}

// shown2 reports whether the library is shown the files of version 2.
func shown2(in *metainfo.Info) bool { return in.HasV2 && !(in.HasV1 && in.Folder) }
