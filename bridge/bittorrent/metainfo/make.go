package metainfo

import (
	"crypto/sha1"
	"crypto/sha256"
	"fmt"
	"path"
	"slices"
	"sort"
	"strconv"
	"strings"

	"kith"
)

// An Entry is a file that a torrent is made of.
type Entry struct {
	Path   string // with slashes
	Exec   bool
	Link   string // target of a symbolic link, relative to where it is; the Digest is of no interest
	Digest Digest
}

// Make makes a torrent of version 1, or a hybrid (BEP 52, "upgrade path"), whose pieces have a length that PieceLength gave. In a folder every file begins at a piece, and pad
// files (BEP 47) fill the one before up. A single file is called name, whatever the path of its entry.
func Make(name string, isFolder, hybrid bool, piece int64, entries []Entry) (*Torrent, error) {
	if !isFolder {
		if len(entries) != 1 {
			return nil, fmt.Errorf("metainfo: make torrent of %d files that are no folder: %w", len(entries), kith.Invalid)
		}
		one := entries[0]
		one.Path, one.Exec = name, false // no digest of the content says whether it is executable
		entries = []Entry{one}
	}
	entries = slices.Clone(entries)
	for i := range entries {
		e := &entries[i]
		if e.Link == "" {
			continue
		}
		e.Digest = Digest{}
		if e.Link = path.Join(path.Dir(e.Path), e.Link); e.Link == "." || strings.HasPrefix(e.Link, "..") {
			e.Path = "" // a link to the whole folder cannot be told
		}
	}
	entries = slices.DeleteFunc(entries, func(e Entry) bool { return e.Path == "" })
	slices.SortFunc(entries, func(a, b Entry) int { return comparePaths(a.Path, b.Path) })
	t := &Torrent{Layers: map[[sha256.Size]byte][]byte{}}
	for _, e := range entries {
		if hybrid && e.Digest.Layer != nil {
			t.Layers[e.Digest.Root] = e.Digest.Layer
		}
	}
	var err error
	t.Info, err = Parse(encodeInfo(name, isFolder, hybrid, piece, entries))
	return t, err
}

// comparePaths orders as a walk of a tree whose folders are sorted.
func comparePaths(a, b string) int {
	return slices.Compare(strings.Split(a, "/"), strings.Split(b, "/"))
}

func encodeInfo(name string, isFolder, hybrid bool, piece int64, entries []Entry) []byte {
	var e encoder
	e.WriteByte('d')
	if hybrid {
		e.text("file tree")
		e.tree(entries, 0)
	}
	if isFolder {
		e.text("files")
		e.WriteByte('l')
		var pad int64 // that is due before the next file that is not empty, as libtorrent has it
		for _, f := range entries {
			if f.Digest.Size > 0 {
				if pad > 0 {
					e.pad(pad)
				}
				pad = -f.Digest.Size & (piece - 1)
			}
			e.entry(f)
		}
		e.WriteByte('e')
	} else {
		e.pair("length", entries[0].Digest.Size)
	}
	if hybrid {
		e.pair("meta version", 2)
	}
	e.text("name")
	e.text(name)
	e.pair("piece length", piece)
	e.text("pieces")
	e.text(string(pieces(entries, piece)))
	e.WriteByte('e')
	return e.Bytes()
}

// lastFull returns the last entry that is not empty: nothing need be padded behind it.
func lastFull(entries []Entry) int {
	for i := len(entries) - 1; i >= 0; i-- {
		if entries[i].Digest.Size > 0 {
			return i
		}
	}
	return -1
}

// pieces returns the digests of version 1.
func pieces(entries []Entry, piece int64) []byte {
	var all []byte
	last := lastFull(entries)
	for i, f := range entries {
		d := f.Digest
		all = append(all, d.Pieces...)
		if i < last && d.Size%piece != 0 {
			copy(all[len(all)-sha1.Size:], d.Padded[:])
		}
	}
	return all
}

// tree writes the tree of files of entries that have their first depth names in common.
func (e *encoder) tree(entries []Entry, depth int) {
	e.WriteByte('d')
	for len(entries) > 0 {
		names := strings.Split(entries[0].Path, "/")
		name, prefix := names[depth], strings.Join(names[:depth+1], "/")
		e.text(name)
		if len(names) == depth+1 {
			e.leaf(entries[0])
			entries = entries[1:]
			continue
		}
		n := sort.Search(len(entries), func(i int) bool { return !strings.HasPrefix(entries[i].Path, prefix+"/") })
		e.tree(entries[:n], depth+1)
		entries = entries[n:]
	}
	e.WriteByte('e')
}

func (e *encoder) leaf(f Entry) {
	e.WriteString("d0:d")
	e.attr(f)
	e.pair("length", f.Digest.Size)
	if f.Digest.Size > 0 {
		e.text("pieces root")
		e.text(string(f.Digest.Root[:]))
	}
	if f.Link != "" {
		e.text("symlink path")
		e.texts(strings.Split(f.Link, "/"))
	}
	e.WriteString("ee")
}

// entry writes an entry of the list of version 1.
func (e *encoder) entry(f Entry) {
	e.WriteByte('d')
	e.attr(f)
	e.pair("length", f.Digest.Size)
	e.text("path")
	e.texts(strings.Split(f.Path, "/"))
	if f.Link != "" {
		e.text("symlink path")
		e.texts(strings.Split(f.Link, "/"))
	}
	e.WriteByte('e')
}

func (e *encoder) attr(f Entry) {
	switch {
	case f.Link != "":
		e.text("attr")
		e.text("l")
	case f.Exec:
		e.text("attr")
		e.text("x")
	}
}

func (e *encoder) pad(n int64) {
	e.WriteString("d")
	e.text("attr")
	e.text("p")
	e.pair("length", n)
	e.text("path")
	e.texts([]string{".pad", strconv.FormatInt(n, 10)})
	e.WriteByte('e')
}
