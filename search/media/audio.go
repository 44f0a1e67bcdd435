package media

import (
	"encoding/binary"
	"math"
	"strconv"
	"strings"
	"unicode/utf16"

	"kith/search/fact"
	"kith/search/query"
)

// maxValue is how many bytes of one value of a tag are looked at.
const maxValue = 1 << 10

// readMP3 reads ID3v2 (id3.org, 2.2 to 2.4), ID3v1, and how long it plays.
func readMP3(f *file, facts *fact.Facts) {
	end := f.id3v2(facts)
	f.id3v1(facts)
	if b, err := f.at(end, 4); err == nil && string(b) == "fLaC" { // some programs put an ID3 tag before it
		facts.Format = "FLAC"
		f.flac(facts, end+4)
		return
	}
	if at, ok := f.frames(end); ok {
		f.mpeg(facts, at)
	}
}

// id3Names are the frames that are read, and what they say.
var id3Names = map[string]string{
	"TT2": "title", "TP1": "artist", "TAL": "album", "TCO": "genre", "TYE": "year", "TIT2": "title", "TPE1": "artist", "TALB": "album", "TCON": "genre", "TYER": "year", "TDRC": "year",
}

// id3v2 reads the tag at the beginning, and returns where it ends. Frames that are not of interest, such as pictures, are passed over unread.
func (f *file) id3v2(facts *fact.Facts) (end int64) {
	h, err := f.at(0, 10)
	if err != nil || string(h[:3]) != "ID3" || h[3] < 2 || h[3] > 4 {
		return 0
	}
	version, flags := h[3], h[5]
	end = 10 + synchsafe(h[6:10])
	at := int64(10)
	if flags&0x40 != 0 && version > 2 { // extended header
		b, err := f.at(at, 4)
		if err != nil {
			return end
		}
		if version == 4 {
			at += synchsafe(b)
		} else {
			at += 4 + int64(binary.BigEndian.Uint32(b))
		}
	}
	head := 10
	if version == 2 {
		head = 6
	}
	for at+int64(head) < end {
		b, err := f.at(at, head)
		if err != nil || b[0] == 0 { // padding
			return end
		}
		var name string
		var size int64
		skip := int64(0)
		switch {
		case version == 2:
			name, size = string(b[:3]), int64(b[3])<<16|int64(b[4])<<8|int64(b[5])
		case version == 3:
			name, size = string(b[:4]), int64(binary.BigEndian.Uint32(b[4:]))
		default:
			name, size = string(b[:4]), synchsafe(b[4:8])
			if b[9]&1 != 0 {
				skip = 4 // how long the data are
			}
		}
		squeezed := version == 3 && b[9]&0xc0 != 0 || version == 4 && b[9]&0x0c != 0 // or encrypted
		at += int64(head)
		if what := id3Names[name]; what != "" && !squeezed {
			value := f.upTo(at+skip, int(min(size-skip, maxValue)))
			if flags&0x80 != 0 || version == 4 && b[9]&2 != 0 {
				value = []byte(strings.ReplaceAll(string(value), "\xff\x00", "\xff")) // unsynchronisation
			}
			say(facts, what, id3Text(value))
		}
		at += size
	}
	return end
}

func synchsafe(b []byte) int64 {
	return int64(b[0]&0x7f)<<21 | int64(b[1]&0x7f)<<14 | int64(b[2]&0x7f)<<7 | int64(b[3]&0x7f)
}

// id3Text returns the text of a frame, several values with a space between.
func id3Text(b []byte) string {
	if len(b) < 2 {
		return ""
	}
	text := b[1:]
	switch b[0] {
	case 1, 2:
		return utf16Text(text, b[0] == 2)
	case 3:
		return strings.ReplaceAll(string(text), "\x00", " ")
	}
	return latin1(text)
}

func latin1(b []byte) string {
	runes := make([]rune, len(b))
	for i, c := range b {
		if runes[i] = rune(c); c == 0 {
			runes[i] = ' '
		}
	}
	return string(runes)
}

// utf16Text reads UTF-16, in the order that its mark says.
func utf16Text(b []byte, big bool) string {
	units := make([]uint16, 0, len(b)/2)
	for i := 0; i+1 < len(b); i += 2 {
		u := binary.LittleEndian.Uint16(b[i:])
		if big {
			u = binary.BigEndian.Uint16(b[i:])
		}
		switch u {
		case 0xfffe:
			big = !big
		case 0xfeff:
		case 0:
			units = append(units, ' ')
		default:
			units = append(units, u)
		}
	}
	return string(utf16.Decode(units))
}

// id3v1 reads the tag in the last 128 bytes, for what is not known yet.
func (f *file) id3v1(facts *fact.Facts) {
	b, err := f.at(f.size-128, 128)
	if err != nil || string(b[:3]) != "TAG" {
		return
	}
	for what, text := range map[string][]byte{"title": b[3:33], "artist": b[33:63], "album": b[63:93], "year": b[93:97]} {
		say(facts, what, latin1(text))
	}
	say(facts, "genre", strconv.Itoa(int(b[127])))
}

// say notes what a tag says, if nothing was said of it before.
func say(facts *fact.Facts, what, value string) {
	if value = strings.TrimSpace(value); value == "" {
		return
	}
	p := map[string]*string{"title": &facts.Title, "artist": &facts.Artist, "album": &facts.Album, "genre": &facts.Genre}[what]
	switch {
	case what == "year" && facts.Year == 0:
		facts.Year = yearOf(value)
	case what == "genre" && facts.Genre == "":
		facts.Genre = genre(value)
	case p != nil && *p == "":
		*p = value
	}
}

// yearOf returns the first four digits of a date, as in 1959, 1959-08-17 and D:19590817.
func yearOf(s string) int {
	run := 0
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			run = 0
		} else if run++; run == 4 {
			year, _ := strconv.Atoi(s[i-3 : i+1])
			return year
		}
	}
	return 0
}

// genres are the first of ID3v1 (id3.org, appendix A), which numbers stand for: with the first that Winamp added.
var genres = strings.Split("Blues,Classic Rock,Country,Dance,Disco,Funk,Grunge,Hip-Hop,Jazz,Metal,New Age,Oldies,Other,Pop,R&B,Rap,Reggae,Rock,Techno,Industrial,Alternative,Ska,"+
	"Death Metal,Pranks,Soundtrack,Euro-Techno,Ambient,Trip-Hop,Vocal,Jazz+Funk,Fusion,Trance,Classical,Instrumental,Acid,House,Game,Sound Clip,Gospel,Noise,AlternRock,Bass,Soul,Punk,"+
	"Space,Meditative,Instrumental Pop,Instrumental Rock,Ethnic,Gothic,Darkwave,Techno-Industrial,Electronic,Pop-Folk,Eurodance,Dream,Southern Rock,Comedy,Cult,Gangsta,Top 40,"+
	"Christian Rap,Pop/Funk,Jungle,Native American,Cabaret,New Wave,Psychedelic,Rave,Showtunes,Trailer,Lo-Fi,Tribal,Acid Punk,Acid Jazz,Polka,Retro,Musical,Rock & Roll,Hard Rock,Folk,Folk-Rock,National Folk,Swing,Fast Fusion,Bebop,Latin,Revival,Celtic,Bluegrass", ",")

// genre returns what a genre is called that may be a number: 8, (8), (8)Jazz.
func genre(s string) string {
	number, rest, _ := strings.Cut(strings.TrimPrefix(s, "("), ")")
	if n, err := strconv.Atoi(number); err == nil {
		if rest != "" {
			return rest
		}
		if n < 0 || n >= len(genres) || n == 12 { // Other
			return ""
		}
		return genres[n]
	}
	return s
}

// bitrates of MPEG audio, kbit/s (ISO 11172-3, 2.4.2.3): version 1 layers I to III, then version 2 layer I, and II and III.
var bitrates = [5][15]int{
	{0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448},
	{0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384},
	{0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320},
	{0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256},
	{0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160},
}

// A frame is the header of one of MPEG audio.
type frame struct {
	size, samples, rate, bitrate int // bytes; in it; a second; kbit/s
	side                         int // bytes before what Xing writes
}

func frameOf(b []byte) (frame, bool) {
	version, layer, bits, rate := b[1]>>3&3, 4-int(b[1]>>1&3), b[2]>>4, b[2]>>2&3
	if b[0] != 0xff || b[1]&0xe0 != 0xe0 || version == 1 || layer == 4 || bits == 0 || bits == 15 || rate == 3 {
		return frame{}, false
	}
	fr := frame{rate: [3]int{44100, 48000, 32000}[rate], samples: 1152, side: 32}
	table, mono := layer-1, b[3]>>6 == 3
	if version != 3 { // 2 and 2.5
		fr.rate >>= 1
		table = min(layer, 2) + 2
		fr.side = 17
	}
	if version == 0 {
		fr.rate >>= 1
	}
	if mono {
		fr.side = map[byte]int{3: 17}[version]
		if version != 3 {
			fr.side = 9
		}
	}
	fr.bitrate = bitrates[table][bits]
	pad := int(b[2] >> 1 & 1)
	switch {
	case layer == 1:
		fr.samples = 384
		fr.size = (12*fr.bitrate*1000/fr.rate + pad) * 4
	case layer == 3 && version != 3:
		fr.samples = 576
		fr.size = 72*fr.bitrate*1000/fr.rate + pad
	default:
		fr.size = 144*fr.bitrate*1000/fr.rate + pad
	}
	return fr, fr.size > 4
}

// maxGap is how far behind a tag the first frame is looked for.
const maxGap = 8 << 10

// frames finds where three frames of MPEG audio follow each other, or two to the end, from off on: exactly there if off is 0.
func (f *file) frames(off int64) (int64, bool) {
	gap := int64(maxGap)
	if off == 0 {
		gap = 1
	}
	head := f.upTo(off, int(gap)+3)
	for i := 0; i+4 <= len(head); i++ {
		if head[i] != 0xff {
			continue
		}
		at, good := off+int64(i), 0
		for good < 3 {
			b, err := f.at(at, 4)
			if err != nil {
				break
			}
			fr, ok := frameOf(b)
			if !ok {
				good = -1
				break
			}
			good++
			at += int64(fr.size)
		}
		if good == 3 || good > 0 && off > 0 && at >= f.size-128 {
			return off + int64(i), true
		}
	}
	return 0, false
}

// mpeg reads how long frames from at on play: by what the encoder wrote into the first (Xing, VBRI), or as if all were like it.
func (f *file) mpeg(facts *fact.Facts, at int64) {
	b, err := f.at(at, 4)
	if err != nil {
		return
	}
	fr, ok := frameOf(b)
	if !ok {
		return
	}
	if b, err := f.at(at+4+int64(fr.side), 12); err == nil && (string(b[:4]) == "Xing" || string(b[:4]) == "Info") && b[7]&1 != 0 {
		facts.Length = seconds(float64(binary.BigEndian.Uint32(b[8:]))*float64(fr.samples), float64(fr.rate))
		return
	}
	if b, err := f.at(at+36, 18); err == nil && string(b[:4]) == "VBRI" {
		facts.Length = seconds(float64(binary.BigEndian.Uint32(b[14:]))*float64(fr.samples), float64(fr.rate))
		return
	}
	facts.Length = seconds(float64(f.size-at)*8, float64(fr.bitrate)*1000)
}

// seconds returns n/rate, rounded; 0 if it is no length.
func seconds(n, rate float64) int {
	s := math.Round(n / rate)
	if !(s > 0 && s < 1<<31) {
		return 0
	}
	return int(s)
}

func readFLAC(f *file, facts *fact.Facts) { f.flac(facts, 4) }

// flac reads the metadata blocks from at on (RFC 9639, 8).
func (f *file) flac(facts *fact.Facts, at int64) {
	for {
		b, err := f.at(at, 4)
		if err != nil {
			return
		}
		kind, size, last := b[0]&0x7f, int64(b[1])<<16|int64(b[2])<<8|int64(b[3]), b[0]&0x80 != 0
		at += 4
		switch kind {
		case 0:
			if b, err := f.at(at, 34); err == nil {
				rate := int64(b[10])<<12 | int64(b[11])<<4 | int64(b[12])>>4
				samples := int64(b[13]&15)<<32 | int64(binary.BigEndian.Uint32(b[14:]))
				facts.Length = seconds(float64(samples), float64(rate))
			}
		case 4:
			comments(f.upTo(at, int(min(size, maxPiece))), facts)
		}
		if at += size; last {
			return
		}
	}
}

// comments reads a Vorbis comment (xiph.org/vorbis/doc/v-comment.html), which may be cut.
func comments(b []byte, facts *fact.Facts) {
	next := func() ([]byte, bool) {
		if len(b) < 4 {
			return nil, false
		}
		n := binary.LittleEndian.Uint32(b)
		if b = b[4:]; uint64(n) > uint64(len(b)) {
			return nil, false
		}
		s := b[:n]
		b = b[n:]
		return s, true
	}
	if _, ok := next(); !ok || len(b) < 4 { // who wrote it
		return
	}
	for b = b[4:]; ; {
		s, ok := next()
		if !ok {
			return
		}
		name, value, ok := strings.Cut(string(s[:min(len(s), maxValue)]), "=")
		if !ok {
			continue
		}
		switch name = strings.ToLower(name); name {
		case "title", "artist", "album", "genre", "year":
			say(facts, name, value)
		case "date":
			say(facts, "year", value)
		}
	}
}

// readOgg reads the first stream of Vorbis, Opus, FLAC or Theora (RFC 3533, 5334, 7845).
func readOgg(f *file, facts *fact.Facts) {
	packets, serial := f.oggPackets(2)
	if len(packets) == 0 {
		return
	}
	rate, early, shift := 0.0, 0.0, 0
	switch p := packets[0]; {
	case strings.HasPrefix(p, "\x01vorbis") && len(p) >= 16:
		facts.Format, rate = "Vorbis", float64(binary.LittleEndian.Uint32([]byte(p[12:])))
	case strings.HasPrefix(p, "OpusHead") && len(p) >= 12:
		facts.Format, rate, early = "Opus", 48000, float64(binary.LittleEndian.Uint16([]byte(p[10:])))
	case strings.HasPrefix(p, "\x7fFLAC") && len(p) >= 30:
		b := []byte(p[27:])
		facts.Format, rate = "FLAC", float64(int(b[0])<<12|int(b[1])<<4|int(b[2])>>4)
	case strings.HasPrefix(p, "\x80theora") && len(p) >= 20:
		facts.Kind, facts.Format = query.Video, "Theora"
		facts.Width, facts.Height = int(p[14])<<16|int(p[15])<<8|int(p[16]), int(p[17])<<16|int(p[18])<<8|int(p[19])
		if b := []byte(p); len(b) >= 42 { // Theora I, 6.2
			rate, shift = float64(binary.BigEndian.Uint32(b[22:]))/float64(binary.BigEndian.Uint32(b[26:])), int(b[40]&3)<<3|int(b[41]>>5)
		}
	}
	if len(packets) > 1 {
		p := packets[1]
		for _, prefix := range []string{"\x03vorbis", "OpusTags", "\x81theora"} {
			if rest, ok := strings.CutPrefix(p, prefix); ok {
				comments([]byte(rest), facts)
			}
		}
		if facts.Format == "FLAC" && len(p) > 4 {
			comments([]byte(p[4:]), facts)
		}
	}
	if rate > 0 {
		facts.Length = seconds(f.oggEnd(serial, shift)-early, rate)
	}
}

// oggPackets returns the first packets of the first stream, cut to maxPiece.
func (f *file) oggPackets(n int) (packets []string, serial uint32) {
	var packet []byte
	for at, first := int64(0), true; len(packets) < n; first = false {
		h, err := f.at(at, 27)
		if err != nil || string(h[:4]) != "OggS" {
			return packets, serial
		}
		who := binary.LittleEndian.Uint32(h[14:])
		table, err := f.at(at+27, int(h[26]))
		if err != nil {
			return packets, serial
		}
		if first {
			serial = who
		}
		at += 27 + int64(len(table))
		for _, s := range table {
			if who == serial && len(packets) < n && len(packet) < maxPiece {
				packet = append(packet, f.upTo(at, int(s))...)
			}
			if at += int64(s); who == serial && s < 255 && len(packets) < n {
				packets, packet = append(packets, string(packet)), nil
			}
		}
	}
	return packets, serial
}

// oggEnd returns the position that the last page of a stream says; film's is that of the last whole picture and, in so many bits, how many stand behind that.
func (f *file) oggEnd(serial uint32, shift int) float64 {
	const tail = 128 << 10 // two pages of the largest
	from := max(0, f.size-tail)
	b := string(f.upTo(from, tail))
	for {
		i := strings.LastIndex(b, "OggS")
		if i < 0 {
			return 0
		}
		if page := []byte(b[i:]); len(page) >= 27 && binary.LittleEndian.Uint32(page[14:]) == serial {
			if g := int64(binary.LittleEndian.Uint64(page[6:])); g > 0 {
				return float64(g>>shift + g&(1<<shift-1))
			}
		}
		b = b[:i]
	}
}

// chunks calls each with the chunks of a RIFF file, in their order.
func (f *file) chunks(at, end int64, each func(name string, at, size int64)) {
	for at+8 <= end {
		b, err := f.at(at, 8)
		if err != nil {
			return
		}
		name, size := string(b[:4]), int64(binary.LittleEndian.Uint32(b[4:]))
		each(name, at+8, size)
		at += 8 + size + size&1
	}
}

func readWAV(f *file, facts *fact.Facts) {
	rate := 0.0 // bytes a second
	f.chunks(12, f.size, func(name string, at, size int64) {
		switch name {
		case "fmt ":
			if b, err := f.at(at, 12); err == nil {
				rate = float64(binary.LittleEndian.Uint32(b[8:]))
			}
		case "data":
			facts.Length = seconds(float64(min(size, f.size-at)), rate)
		case "LIST":
			if b, err := f.at(at, 4); err == nil && string(b) == "INFO" {
				f.chunks(at+4, min(at+size, f.size), func(name string, at, size int64) {
					what := map[string]string{"INAM": "title", "IART": "artist", "IPRD": "album", "IGNR": "genre", "ICRD": "year"}[name]
					if what != "" {
						say(facts, what, latin1(f.upTo(at, int(min(size, maxValue)))))
					}
				})
			}
		}
	})
}

// readAVI reads the main header, which stands first.
func readAVI(f *file, facts *fact.Facts) {
	b, err := f.at(12, 60)
	if err != nil || string(b[8:16]) != "hdrlavih" {
		return
	}
	n := func(i int) uint32 { return binary.LittleEndian.Uint32(b[i:]) }
	facts.Length = seconds(float64(n(20))*float64(n(36)), 1e6)
	facts.Width, facts.Height = int(n(52)), int(n(56))
}
