package media

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"

	"kith/search/fact"
	"kith/search/query"
)

// A sign is by which bytes a format is known.
type sign struct {
	off    int64
	magic  string
	kind   string
	format string
	read   func(*file, *fact.Facts) // what it says of itself; nil: nothing is looked for
}

var signs []sign

func init() { // the readers look at others
	signs = []sign{
		{0, "fLaC", query.Audio, "FLAC", readFLAC},
		{0, "ID3", query.Audio, "MP3", readMP3},
		{0, "OggS", query.Audio, "Ogg", readOgg},
		{8, "WAVE", query.Audio, "WAV", readWAV},
		{8, "AIFF", query.Audio, "AIFF", nil},
		{0, "MThd", query.Audio, "MIDI", nil},
		{0, "MAC ", query.Audio, "APE", nil},
		{0, "wvpk", query.Audio, "WavPack", nil},
		{8, "AVI ", query.Video, "AVI", readAVI},
		{4, "ftyp", query.Video, "MP4", readMP4},
		{4, "moov", query.Video, "MOV", readMP4},
		{0, "\x1aE\xdf\xa3", query.Video, "Matroska", readMatroska},
		{0, "FLV\x01", query.Video, "FLV", nil},
		{0, "\x00\x00\x01\xba", query.Video, "MPEG", nil},
		{0, "\x30\x26\xb2\x75\x8e\x66\xcf\x11", query.Video, "WMV", nil},
		{0, "\xff\xd8\xff", query.Image, "JPEG", readImage},
		{0, "\x89PNG\r\n\x1a\n", query.Image, "PNG", readImage},
		{0, "GIF8", query.Image, "GIF", readGIF},
		{8, "WEBP", query.Image, "WebP", readImage},
		{0, "II*\x00", query.Image, "TIFF", readImage},
		{0, "MM\x00*", query.Image, "TIFF", readImage},
		{0, "8BPS", query.Image, "Photoshop", nil},
		{0, "%PDF-", query.Text, "PDF", readPDF},
		{0, "PK\x03\x04", query.Archive, "ZIP", readZip},
		{0, "Rar!\x1a\x07", query.Archive, "RAR", nil},
		{0, "7z\xbc\xaf\x27\x1c", query.Archive, "7z", nil},
		{0, "\x1f\x8b\x08", query.Archive, "gzip", nil},
		{0, "\xfd7zXZ\x00", query.Archive, "xz", nil},
		{0, "BZh", query.Archive, "bzip2", nil},
		{0, "\x28\xb5\x2f\xfd", query.Archive, "zstd", nil},
		{257, "ustar", query.Archive, "tar", nil},
		{32769, "CD001", query.Archive, "ISO", nil},
		{60, "BOOKMOBI", query.Text, "Mobipocket", nil},
		{0, "AT&TFORM", query.Text, "DjVu", nil},
		{0, "{\\rtf", query.Text, "RTF", nil},
		{0, "\x7fELF", query.Program, "ELF", nil},
		{0, "MZ", query.Program, "Windows", isWindows},
		{0, "\xfe\xed\xfa\xce", query.Program, "Mach-O", nil},
		{0, "\xfe\xed\xfa\xcf", query.Program, "Mach-O", nil},
		{0, "\xce\xfa\xed\xfe", query.Program, "Mach-O", nil},
		{0, "\xcf\xfa\xed\xfe", query.Program, "Mach-O", nil},
		{0, "\xca\xfe\xba\xbe", query.Program, "Mach-O or Java", nil},
		{0, "dex\n", query.Program, "Android", nil},
		{0, "\x00asm", query.Program, "WebAssembly", nil},
		{0, "!<arch>\ndebian", query.Program, "deb", nil},
		{0, "\xed\xab\xee\xdb", query.Program, "RPM", nil},
	}
}

// read finds out what f is, and has it read.
func (f *file) read(name string, facts *fact.Facts) {
	for _, s := range signs {
		b, err := f.at(s.off, len(s.magic))
		if err != nil || string(b) != s.magic {
			continue
		}
		facts.Kind, facts.Format = s.kind, s.format
		if s.read != nil {
			s.read(f, facts)
		}
		if facts.Kind != "" { // else it only looked so
			return
		}
	}
	if at, ok := f.frames(0); ok {
		facts.Kind, facts.Format = query.Audio, "MP3"
		f.mpeg(facts, at)
		f.id3v1(facts)
		return
	}
	readText(f, name, facts)
}

// isWindows tells a program from what only begins with the same two letters.
func isWindows(f *file, facts *fact.Facts) {
	if b, err := f.at(0x3c, 4); err == nil {
		if pe, err := f.at(int64(binary.LittleEndian.Uint32(b)), 4); err == nil && (string(pe) == "PE\x00\x00" || string(pe[:2]) == "NE" || string(pe[:2]) == "LE") {
			return
		}
	}
	*facts = fact.Facts{}
}

// readGIF reads the size of the picture (GIF89a, 18).
func readGIF(f *file, facts *fact.Facts) {
	if b, err := f.at(6, 4); err == nil {
		facts.Width, facts.Height = int(binary.LittleEndian.Uint16(b)), int(binary.LittleEndian.Uint16(b[2:]))
	}
}

// isText reports whether b, cut anywhere, is UTF-8 without the control characters that no text has.
func isText(b []byte) bool {
	for cut := 0; cut < utf8.UTFMax && len(b) > 0 && !utf8.Valid(b); cut++ {
		b = b[:len(b)-1]
	}
	return len(b) > 0 && utf8.Valid(b) && !bytes.ContainsFunc(b, func(r rune) bool { return r < ' ' && r != '\n' && r != '\r' && r != '\t' && r != '\f' || r == 0x7f })
}
