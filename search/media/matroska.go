package media

import (
	"encoding/binary"
	"math"

	"kith/search/fact"
	"kith/search/query"
)

// Elements of Matroska that are read (RFC 9559).
const (
	idDocType   = 0x4282
	idSegment   = 0x18538067
	idSeekHead  = 0x114d9b74
	idSeek      = 0x4dbb
	idSeekID    = 0x53ab
	idSeekPos   = 0x53ac
	idInfo      = 0x1549a966
	idScale     = 0x2ad7b1
	idDuration  = 0x4489
	idTitle     = 0x7ba9
	idTracks    = 0x1654ae6b
	idTrack     = 0xae
	idTrackType = 0x83
	idVideo     = 0xe0
	idWidth     = 0xb0
	idHeight    = 0xba
	idTags      = 0x1254c367
	idTag       = 0x7373
	idTargets   = 0x63c0
	idLevel     = 0x68ca
	idSimple    = 0x67c8
	idName      = 0x45a3
	idString    = 0x4487
	idCluster   = 0x1f43b675
	idHead      = 0x1a45dfa3
)

// A matroska is what is read of a file of EBML (RFC 8794).
type matroska struct {
	f       *file
	facts   *fact.Facts
	segment int64 // where its content begins
	scale   float64
	length  float64
	video   bool
	sound   bool
	width   int
	height  int
	level   int64 // of the tag that is read: 50 is the album or film, 30 a track
	name    string
	seek    int64          // ID of what is sought
	where   map[int64]bool // where tags are that were not come by
	had     map[int64]bool // where what was read begins
}

func readMatroska(f *file, facts *fact.Facts) {
	m := matroska{f: f, facts: facts, scale: 1e6, where: map[int64]bool{}, had: map[int64]bool{}}
	m.elements(0, f.size, 0)
	for at := range m.where { // behind the clusters
		if !m.had[at] {
			m.had[at] = true
			m.one(at, f.size, 1)
		}
	}
	facts.Length = seconds(m.length*m.scale, 1e9)
	if facts.Width, facts.Height = m.width, m.height; m.sound && !m.video {
		facts.Kind = query.Audio
	}
}

// vint reads a number of EBML at at; with its marker if it is an ID. n is how many bytes it has; unknown is a size that is not known.
func (m *matroska) vint(at int64, id bool) (v, n int64, unknown bool, ok bool) {
	b := m.f.upTo(at, 8)
	if len(b) == 0 || b[0] == 0 {
		return 0, 0, false, false
	}
	n = 1
	for mask := byte(0x80); b[0]&mask == 0; mask >>= 1 {
		n++
	}
	if int(n) > len(b) || id && n > 4 {
		return 0, 0, false, false
	}
	v = int64(b[0])
	if !id {
		v &= 1<<(8-n) - 1
	}
	unknown = !id && v == 1<<(8-n)-1
	for _, c := range b[1:n] {
		v = v<<8 | int64(c)
		unknown = unknown && c == 0xff
	}
	return v, n, unknown, true
}

// elements reads those between at and end.
func (m *matroska) elements(at, end int64, depth int) {
	for at < end {
		next, ok := m.one(at, end, depth)
		if !ok {
			return
		}
		at = next
	}
}

// one reads the element at at, and returns where the next one begins.
func (m *matroska) one(at, end int64, depth int) (next int64, ok bool) {
	id, n, _, ok := m.vint(at, true)
	if !ok || id == idCluster {
		return 0, false
	}
	size, k, unknown, ok := m.vint(at+n, false)
	begin := at + n + k
	if !ok || begin > end {
		return 0, false
	}
	if unknown || size > end-begin {
		size = end - begin
	}
	switch id {
	case idSegment:
		m.segment = begin
		fallthrough
	case idHead, idSeekHead, idSeek, idInfo, idTracks, idTrack, idVideo, idTags, idTag, idTargets, idSimple:
		if id == idTags {
			if m.had[at] && depth > 1 {
				break
			}
			m.had[at] = true
		}
		if id == idTag {
			m.level = 50 // where it is not said
		}
		if depth < maxBoxes {
			m.elements(begin, begin+size, depth+1)
		}
	default:
		m.value(id, begin, size)
	}
	return begin + size, true
}

// value reads an element that has none in it.
func (m *matroska) value(id, at, size int64) {
	number := func() (v int64) {
		if size <= 8 {
			for _, c := range m.f.upTo(at, int(size)) {
				v = v<<8 | int64(c)
			}
		}
		return v
	}
	text := func() string { return string(m.f.upTo(at, int(min(size, maxValue)))) }
	switch id {
	case idDocType:
		if text() == "webm" {
			m.facts.Format = "WebM"
		}
	case idSeekID:
		m.seek = number()
	case idSeekPos:
		if at := m.segment + number(); m.seek == idTags && at > m.segment && at < m.f.size && len(m.where) < maxBoxes {
			m.where[at] = true
		}
	case idScale:
		m.scale = float64(number())
	case idDuration:
		switch b := m.f.upTo(at, int(min(size, 8))); len(b) {
		case 4:
			m.length = float64(math.Float32frombits(binary.BigEndian.Uint32(b)))
		case 8:
			m.length = math.Float64frombits(binary.BigEndian.Uint64(b))
		}
	case idTitle:
		say(m.facts, "title", text())
	case idTrackType:
		m.video, m.sound = m.video || number() == 1, m.sound || number() == 2
	case idWidth:
		m.width = max(m.width, int(number()))
	case idHeight:
		m.height = max(m.height, int(number()))
	case idLevel:
		m.level = number()
	case idName:
		m.name = text()
	case idString:
		m.tag(text())
	}
}

// tag notes what a tag says.
func (m *matroska) tag(value string) {
	switch m.name {
	case "TITLE":
		if m.level == 50 && m.sound && !m.video {
			say(m.facts, "album", value)
		} else {
			say(m.facts, "title", value)
		}
	case "ARTIST":
		say(m.facts, "artist", value)
	case "ALBUM":
		say(m.facts, "album", value)
	case "GENRE":
		say(m.facts, "genre", value)
	case "DATE_RELEASED", "DATE_RELEASE", "DATE_RECORDED", "DATE":
		say(m.facts, "year", value)
	}
}
