package stage

import (
	"sort"

	"kith"
	"kith/blob/bao"
	"kith/blob/draft"
	"kith/blob/folder"
)

// A Row is groups of one or many blobs, one behind the other, so that the engine sees one line of numbers. An empty file has no group in it.
type Row struct {
	Files []File
	First []int64 // of files[i], in groups
	N     int64   // groups in all
}

// A File is one blob of a row, or one file of a draft, which has no Ref.
type File struct {
	Index int // in the manifest
	Ref   kith.Ref
	Size  int64
	Path  string // in the folder
}

// RootRow is the row of the root blob alone.
func RootRow(root kith.Ref, size int64) *Row {
	r := &Row{}
	r.add(File{Ref: root, Size: size})
	return r
}

// FilesRow is the row of all files of a folder that are not empty.
func FilesRow(m *folder.Manifest) *Row {
	r := &Row{}
	for i, e := range m.Entries {
		if size := m.BlobSize(i); e.File() && size > 0 {
			r.add(File{i, e.Ref, size, e.Path})
		}
	}
	return r
}

// DraftRow is the row of all files of a draft that are not empty.
func DraftRow(files []draft.File) *Row {
	r := &Row{}
	for i, f := range files {
		if f.Size > 0 {
			r.add(File{Index: i, Size: f.Size, Path: f.Path})
		}
	}
	return r
}

func (r *Row) add(f File) {
	r.Files, r.First = append(r.Files, f), append(r.First, r.N)
	r.N += bao.Groups(f.Size)
}

// Groups returns where file i is in the row.
func (r *Row) Groups(i int) bao.Range {
	return bao.Range{First: r.First[i], N: bao.Groups(r.Files[i].Size)}
}

// Of returns the place in files of the manifest's entry index, or -1.
func (r *Row) Of(index int) int {
	i := sort.Search(len(r.Files), func(i int) bool { return r.Files[i].Index >= index })
	if i < len(r.Files) && r.Files[i].Index == index {
		return i
	}
	return -1
}

// A Stretch is groups of one file of a row.
type Stretch struct {
	File int // in row.files
	bao.Range
}

// Bytes returns how many bytes s covers.
func (r *Row) Bytes(s Stretch) int64 {
	return min((s.First+s.N)*bao.GroupSize, r.Files[s.File].Size) - s.First*bao.GroupSize
}

// Cut divides groups of the row into stretches.
func (r *Row) Cut(g bao.Range) (list []Stretch) {
	i := sort.Search(len(r.First), func(i int) bool { return r.First[i] > g.First }) - 1
	for ; g.N > 0 && i < len(r.Files); i++ {
		in := g.First - r.First[i]
		n := min(g.N, bao.Groups(r.Files[i].Size)-in)
		list = append(list, Stretch{i, bao.Range{First: in, N: n}})
		g.First, g.N = g.First+n, g.N-n
	}
	return list
}
