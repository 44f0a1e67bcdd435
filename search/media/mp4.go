package media

import (
	"encoding/binary"
	"slices"
	"strings"

	"kith/search/fact"
	"kith/search/query"
)

// A movie is what is read of a file of ISO 14496-12, MPEG-4 and QuickTime.
type movie struct {
	f            *file
	facts        *fact.Facts
	scale        uint32
	length       uint64
	sound        bool
	tagged, mark string // the tag whose data are next
}

// maxBoxes is how deep boxes are looked into: those that are, are named below.
const maxBoxes = 8

// inside are the boxes that are looked into, and how many bytes stand before what is in them.
var inside = map[string]int64{"moov": 0, "trak": 0, "mdia": 0, "mvex": 0, "udta": 0, "meta": 4, "ilst": 0}

// mp4Names are the tags of iTunes that are read. ©xyz, where it was made, is not among them.
var mp4Names = map[string]string{"\xa9nam": "title", "\xa9ART": "artist", "\xa9alb": "album", "\xa9gen": "genre", "gnre": "genre", "\xa9day": "year"}

func readMP4(f *file, facts *fact.Facts) {
	m := movie{f: f, facts: facts}
	brand := string(f.upTo(8, 4))
	if slices.Contains([]string{"heic", "heix", "heim", "heis", "mif1", "msf1", "avif", "avis"}, brand) {
		facts.Kind, facts.Format = query.Image, "HEIF"
		if strings.HasPrefix(brand, "avi") {
			facts.Format = "AVIF"
		}
		readImage(f, facts)
		return
	}
	m.boxes(0, f.size, 0, "")
	if m.scale > 0 {
		facts.Length = seconds(float64(m.length), float64(m.scale))
	}
	switch {
	case brand == "M4A " || brand == "M4B " || brand == "M4P " || m.sound && facts.Width == 0:
		facts.Kind, facts.Format, facts.Width, facts.Height = query.Audio, "M4A", 0, 0
		if brand == "M4B " {
			facts.Format = "M4B"
		}
	case brand == "qt  ":
		facts.Format = "MOV"
	}
}

// boxes reads those between at and end.
func (m *movie) boxes(at, end int64, depth int, in string) {
	for at+8 <= end {
		b, err := m.f.at(at, 8)
		if err != nil {
			return
		}
		size, name, head := int64(binary.BigEndian.Uint32(b)), string(b[4:]), int64(8)
		switch size {
		case 0: // to the end
			size = end - at
		case 1:
			b, err := m.f.at(at+8, 8)
			if err != nil {
				return
			}
			if size, head = int64(binary.BigEndian.Uint64(b)), 16; size > end-at { // or it is over
				return
			}
		}
		if size < head || size > end-at {
			return
		}
		m.box(name, at+head, at+size, depth, in)
		at += size
	}
}

// box reads one box, of which the content is between at and end.
func (m *movie) box(name string, at, end int64, depth int, in string) {
	before, deeper := inside[name]
	if name == "meta" {
		if b := m.f.upTo(at+4, 4); string(b) == "hdlr" { // QuickTime's has no version
			before = 0
		}
	}
	switch {
	case depth >= maxBoxes:
	case deeper:
		m.boxes(at+before, end, depth+1, name)
	case in == "ilst" && mp4Names[name] != "":
		m.tagged, m.mark = mp4Names[name], name
		m.boxes(at, end, depth+1, "tag")
	case in == "udta" && mp4Names[name] != "": // QuickTime's: its length, its language, and the text
		if b := m.f.upTo(at, int(min(end-at, maxValue))); len(b) > 4 {
			say(m.facts, mp4Names[name], string(b[4:min(len(b), 4+int(binary.BigEndian.Uint16(b)))]))
		}
	case in == "tag" && name == "data":
		m.tag(m.f.upTo(at, int(min(end-at, maxValue))))
	case in == "moov" && name == "mvhd", in == "mvex" && name == "mehd":
		m.header(name, m.f.upTo(at, int(min(end-at, 32))))
	case in == "trak" && name == "tkhd":
		m.track(m.f.upTo(at, int(min(end-at, 104))))
	case in == "mdia" && name == "hdlr":
		if b := m.f.upTo(at+8, 4); string(b) == "soun" {
			m.sound = true
		}
	}
}

// header reads how long it plays: of a movie, or in fragments.
func (m *movie) header(name string, b []byte) {
	long := len(b) > 0 && b[0] == 1
	switch {
	case name == "mehd" && long && len(b) >= 12:
		m.length = binary.BigEndian.Uint64(b[4:])
	case name == "mehd" && !long && len(b) >= 8:
		m.length = uint64(binary.BigEndian.Uint32(b[4:]))
	case name == "mvhd" && long && len(b) >= 32:
		m.scale, m.length = binary.BigEndian.Uint32(b[20:]), binary.BigEndian.Uint64(b[24:])
	case name == "mvhd" && !long && len(b) >= 20:
		m.scale, m.length = binary.BigEndian.Uint32(b[12:]), uint64(binary.BigEndian.Uint32(b[16:]))
	}
}

// track reads how large a track is shown: sound is shown at no size.
func (m *movie) track(b []byte) {
	if len(b) > 0 && b[0] == 1 {
		b = b[min(len(b), 12):]
	}
	if len(b) < 84 {
		return
	}
	n := func(i int) int { return int(binary.BigEndian.Uint32(b[i:]) >> 16) }
	w, h := n(76), n(80)
	if n(40) == 0 && n(56) == 0 { // the matrix turns it by 90 degrees
		w, h = h, w
	}
	if w*h > m.facts.Width*m.facts.Height {
		m.facts.Width, m.facts.Height = w, h
	}
}

// tag reads the data of a tag.
func (m *movie) tag(b []byte) {
	switch {
	case len(b) < 8:
	case m.mark == "gnre" && len(b) >= 10: // ID3v1's, counted from 1
		if n := int(binary.BigEndian.Uint16(b[8:])); n > 0 && n <= len(genres) {
			say(m.facts, m.tagged, genres[n-1])
		}
	case b[3] == 1:
		say(m.facts, m.tagged, string(b[8:]))
	}
}
