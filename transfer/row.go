package transfer

import (
	"sort"

	"kith"
	"kith/blob/bao"
	"kith/blob/draft"
	"kith/blob/folder"
)

// A row is groups of one or many blobs, one behind the other, so that the engine sees one line of numbers. An empty file has no group in it.
type row struct {
	files []rowFile
	first []int64 // of files[i], in groups
	n     int64   // groups in all
}

// A rowFile is one blob of a row.
type rowFile struct {
	index int // in the manifest
	ref   kith.Ref
	size  int64
	path  string // in the folder
}

// rootRow is the row of the root blob alone.
func rootRow(root kith.Ref, size int64) *row {
	r := &row{}
	r.add(rowFile{ref: root, size: size})
	return r
}

// filesRow is the row of all files of a folder that are not empty.
func filesRow(m *folder.Manifest) *row {
	r := &row{}
	for i, e := range m.Entries {
		if size := m.BlobSize(i); e.File() && size > 0 {
			r.add(rowFile{i, e.Ref, size, e.Path})
		}
	}
	return r
}

// draftRow is the row of all files of a draft that are not empty.
func draftRow(files []draft.File) *row {
	r := &row{}
	for i, f := range files {
		if f.Size > 0 {
			r.add(rowFile{index: i, size: f.Size, path: f.Path})
		}
	}
	return r
}

func (r *row) add(f rowFile) {
	r.files, r.first = append(r.files, f), append(r.first, r.n)
	r.n += bao.Groups(f.size)
}

// groups returns where file i is in the row.
func (r *row) groups(i int) bao.Range {
	return bao.Range{First: r.first[i], N: bao.Groups(r.files[i].size)}
}

// of returns the place in files of the manifest's entry index, or -1.
func (r *row) of(index int) int {
	i := sort.Search(len(r.files), func(i int) bool { return r.files[i].index >= index })
	if i < len(r.files) && r.files[i].index == index {
		return i
	}
	return -1
}

// A stretch is groups of one file of a row.
type stretch struct {
	file int // in row.files
	bao.Range
}

// bytes returns how many bytes s covers.
func (r *row) bytes(s stretch) int64 {
	return min((s.First+s.N)*bao.GroupSize, r.files[s.file].size) - s.First*bao.GroupSize
}

// cut divides groups of the row into stretches.
func (r *row) cut(g bao.Range) (list []stretch) {
	i := sort.Search(len(r.first), func(i int) bool { return r.first[i] > g.First }) - 1
	for ; g.N > 0 && i < len(r.files); i++ {
		in := g.First - r.first[i]
		n := min(g.N, bao.Groups(r.files[i].size)-in)
		list = append(list, stretch{i, bao.Range{First: in, N: n}})
		g.First, g.N = g.First+n, g.N-n
	}
	return list
}
