package engine

import (
	"sort"

	"kith/blob/bao"
)

// pieces divide the groups of a row. Each has 1<<shift groups, at most MaxRequest, but the last of a segment.
type pieces struct {
	groups   int64
	shift    uint
	count    int
	segments []segment
}

// A segment is a stretch of a row that begins with a new piece: a file of at least one piece, or smaller ones in between.
type segment struct {
	group int64
	piece int
}

// divide divides so many groups, of which files begin at starts.
func divide(groups int64, starts []int64) pieces {
	d := pieces{groups: groups}
	for 1<<d.shift < MaxRequest && groups>>d.shift > minPieces {
		d.shift++
	}
	if len(starts) == 0 || starts[0] != 0 {
		starts = append([]int64{0}, starts...)
	}
	wasLarge := true
	for i, first := range starts {
		end := groups
		if i+1 < len(starts) {
			end = starts[i+1]
		}
		large := end-first >= 1<<d.shift
		if large || wasLarge {
			d.begin(first)
		}
		wasLarge = large
	}
	d.begin(groups)
	d.count = d.segments[len(d.segments)-1].piece
	d.segments = d.segments[:len(d.segments)-1]
	return d
}

// begin begins a segment.
func (d *pieces) begin(group int64) {
	piece := 0
	if n := len(d.segments); n > 0 {
		last := d.segments[n-1]
		piece = last.piece + int((group-last.group+1<<d.shift-1)>>d.shift)
	}
	d.segments = append(d.segments, segment{group, piece})
}

// piece returns the piece of a group; count for one behind the last.
func (d *pieces) piece(group int64) int {
	if group >= d.groups {
		return d.count
	}
	i := 0
	if len(d.segments) > 1 {
		i = sort.Search(len(d.segments), func(i int) bool { return d.segments[i].group > group }) - 1
	}
	return d.segments[i].piece + int((group-d.segments[i].group)>>d.shift)
}

// segmentOf returns the pieces of the segment that p is in: [from, to), and its first group.
func (d *pieces) segmentOf(p int) (from, to int, group int64) {
	i := 0
	if len(d.segments) > 1 {
		i = sort.Search(len(d.segments), func(i int) bool { return d.segments[i].piece > p }) - 1
	}
	to = d.count
	if i+1 < len(d.segments) {
		to = d.segments[i+1].piece
	}
	return d.segments[i].piece, to, d.segments[i].group
}

// at returns the groups of piece p.
func (d *pieces) at(p int) bao.Range {
	if p >= d.count {
		return bao.Range{First: d.groups}
	}
	i := 0
	if len(d.segments) > 1 {
		i = sort.Search(len(d.segments), func(i int) bool { return d.segments[i].piece > p }) - 1
	}
	end := d.groups
	if i+1 < len(d.segments) {
		end = d.segments[i+1].group
	}
	first := d.segments[i].group + int64(p-d.segments[i].piece)<<d.shift
	return bao.Range{First: first, N: min(1<<d.shift, end-first)}
}

// span returns the groups of the pieces [from, to).
func (d *pieces) span(from, to int) bao.Range {
	first, last := d.at(from), d.at(to-1)
	return bao.Range{First: first.First, N: last.First + last.N - first.First}
}

// within returns the pieces that r covers wholly: [from, to).
func (d *pieces) within(r bao.Range) (from, to int) {
	if from = d.piece(r.First); from < d.count && d.at(from).First < r.First {
		from++
	}
	return from, d.piece(r.First + r.N)
}

// touched returns the pieces that r has a part of: [from, to).
func (d *pieces) touched(r bao.Range) (from, to int) {
	if r.N <= 0 || r.First >= d.groups {
		return 0, 0
	}
	return d.piece(r.First), d.piece(min(r.First+r.N, d.groups)-1) + 1
}

// unitOf returns the pieces of the unit of so many pieces that p is in: [from, to).
func (d *pieces) unitOf(p, unit int) (from, to int) {
	first, end, _ := d.segmentOf(p)
	from = p - (p-first)%unit
	return from, min(from+unit, end)
}

// shuffle returns all pieces in an order that seed names. Those of one cluster of so many groups stay together.
func (d *pieces) shuffle(seed uint64, cluster int64) []int32 {
	size := max(1, int(cluster>>d.shift))
	var first []int32 // of each cluster
	for p := 0; p < d.count; {
		first = append(first, int32(p))
		_, p = d.unitOf(p, size)
	}
	for i := range first {
		j := int(random(seed, uint64(i)) % uint64(i+1))
		first[i], first[j] = first[j], first[i]
	}
	order := make([]int32, 0, d.count)
	for _, p := range first {
		for _, to := d.unitOf(int(p), size); int(p) < to; p++ {
			order = append(order, p)
		}
	}
	return order
}

// random is the i-th number of the stream that seed names (SplitMix64, Steele et al. 2014).
func random(seed, i uint64) uint64 {
	z := seed + (i+1)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
