package media

import (
	"bytes"
	"compress/zlib"
	"encoding/hex"
	"errors"
	"io"
	"strconv"
	"strings"

	"kith/search/fact"
)

// Limits of a PDF.
const (
	maxObject   = 64 << 10 // bytes of an object that is read
	maxInflated = 8 << 20  // bytes of all tables and streams of objects that are read
	maxTables   = 32       // tables of objects, one for each time it was changed
	maxNested   = 24       // arrays and dictionaries in each other
)

var errPDF = errors.New("media: it is no PDF that is understood")

// What objects of PDF are (ISO 32000-1, 7.3), beside int64, float64, bool, nil, []any and dict.
type (
	dict   map[string]any
	text   []byte // a string
	symbol string // a name
	ref    int64  // the number of an object
)

// A table says where objects are (7.5.4, 7.5.8).
type table struct {
	first, count int64
	at           int64  // of a table of text: where its first line is
	data         []byte // of a stream: its lines …
	width        [3]int // … of numbers so wide
}

// A pdf is what is read of a document.
type pdf struct {
	f       *file
	tables  []table // the newest first
	trailer dict
	packed  map[int64][]byte // streams of objects that were unpacked
	left    int64            // bytes that may still be unpacked
}

// readPDF reads the title, the author and the number of pages.
func readPDF(f *file, facts *fact.Facts) {
	p := pdf{f: f, packed: map[int64][]byte{}, left: maxInflated}
	if p.readTables() != nil {
		return
	}
	if root, ok := p.get(p.trailer["Root"]).(dict); ok {
		if pages, ok := p.get(root["Pages"]).(dict); ok {
			n, _ := p.get(pages["Count"]).(int64)
			facts.Pages = int(min(max(n, 0), 1<<30))
		}
	}
	if _, secret := p.trailer["Encrypt"]; secret {
		return
	}
	if info, ok := p.get(p.trailer["Info"]).(dict); ok {
		title, _ := p.get(info["Title"]).(text)
		author, _ := p.get(info["Author"]).(text)
		facts.Title, facts.Artist = title.String(), author.String()
	}
}

// String returns a string as text (7.9.2).
func (t text) String() string {
	switch {
	case bytes.HasPrefix(t, []byte("\xfe\xff")):
		return utf16Text(t, true)
	case bytes.HasPrefix(t, []byte("\xef\xbb\xbf")):
		return string(t[3:])
	}
	return latin1(t)
}

// readTables finds the tables of objects, from the end of the file on.
func (p *pdf) readTables() error {
	const tail = 2 << 10
	b := string(p.f.upTo(max(0, p.f.size-tail), tail))
	i := strings.LastIndex(b, "startxref")
	if i < 0 {
		return errPDF
	}
	s := scanner{b: []byte(b[i+len("startxref"):])}
	at, _ := s.object(0).(int64)
	seen := map[int64]bool{}
	for next := []int64{at}; len(next) > 0 && len(p.tables) < maxTables; {
		at, next = next[0], next[1:]
		if at <= 0 || seen[at] {
			continue
		}
		seen[at] = true
		d, err := p.readTable(at)
		if err != nil {
			return err
		}
		if p.trailer == nil {
			p.trailer = d
		}
		for _, key := range []string{"XRefStm", "Prev"} {
			if n, ok := d[key].(int64); ok {
				next = append(next, n)
			}
		}
	}
	if p.trailer == nil {
		return errPDF
	}
	return nil
}

func (p *pdf) readTable(at int64) (dict, error) {
	b := p.f.upTo(at, maxObject)
	if !bytes.HasPrefix(bytes.TrimLeft(b, " \r\n\t"), []byte("xref")) {
		return p.streamTable(at)
	}
	s := scanner{b: b}
	s.word() // xref
	for len(p.tables) < maxTables {
		first, ok := s.object(0).(int64)
		if !ok { // trailer
			d, ok := s.object(0).(dict)
			if !ok {
				return nil, errPDF
			}
			return d, nil
		}
		count, ok := s.object(0).(int64)
		if s.space(); !ok || first < 0 || count < 0 || count > 1<<32 {
			return nil, errPDF
		}
		at += int64(s.at)
		p.tables = append(p.tables, table{first: first, count: count, at: at})
		at += 20 * count
		s = scanner{b: p.f.upTo(at, maxObject)}
	}
	return nil, errPDF
}

// streamTable reads a table that is a stream.
func (p *pdf) streamTable(at int64) (dict, error) {
	d, data, err := p.stream(at)
	if err != nil {
		return nil, err
	}
	var t table
	w, _ := d["W"].([]any)
	for i := range t.width {
		if i >= len(w) {
			return nil, errPDF
		}
		n, _ := w[i].(int64)
		if n < 0 || n > 8 {
			return nil, errPDF
		}
		t.width[i] = int(n)
	}
	line := int64(t.width[0] + t.width[1] + t.width[2])
	index, ok := d["Index"].([]any)
	if !ok {
		index = []any{int64(0), d["Size"]}
	}
	for ; len(index) >= 2 && len(p.tables) < maxTables && line > 0; index = index[2:] {
		t.first, _ = index[0].(int64)
		t.count, _ = index[1].(int64)
		if t.first < 0 || t.count < 0 {
			return nil, errPDF
		}
		t.data = data
		t.count = min(t.count, int64(len(data))/line)
		data = data[t.count*line:]
		p.tables = append(p.tables, t)
	}
	return d, nil
}

// find returns where an object is: at an offset, or as the index-th of the stream of objects that is the object number in.
func (p *pdf) find(n int64) (at, in, index int64) {
	for _, t := range p.tables {
		i := n - t.first
		if i < 0 || i >= t.count {
			continue
		}
		if t.data == nil {
			if b, err := p.f.at(t.at+20*i, 18); err == nil && b[17] == 'n' {
				at, _ = strconv.ParseInt(string(b[:10]), 10, 64)
				return at, 0, 0
			}
			continue
		}
		line := t.data[i*int64(t.width[0]+t.width[1]+t.width[2]):]
		var v [3]int64
		if t.width[0] == 0 {
			v[0] = 1
		}
		for k, w := range t.width {
			for _, c := range line[:w] {
				v[k] = v[k]<<8 | int64(c)
			}
			line = line[w:]
		}
		switch v[0] {
		case 1:
			return v[1], 0, 0
		case 2:
			return 0, v[1], v[2]
		}
	}
	return 0, 0, 0
}

// get returns an object, or what it refers to; nil if that is not to be had.
func (p *pdf) get(v any) any {
	r, ok := v.(ref)
	if !ok {
		return v
	}
	at, in, index := p.find(int64(r))
	switch {
	case at > 0:
		v, _ = p.object(at)
		return v
	case in > 0:
		return p.unpacked(in, index)
	}
	return nil
}

// object reads the object that stands at at, behind its number, and returns how long it is.
func (p *pdf) object(at int64) (any, int64) {
	s := scanner{b: p.f.upTo(at, maxObject)}
	if _, ok := s.object(0).(int64); !ok {
		return nil, 0
	}
	s.object(0) // generation
	if s.word() != "obj" {
		return nil, 0
	}
	return s.object(0), int64(s.at)
}

// unpacked returns an object of a stream of objects (7.5.7).
func (p *pdf) unpacked(in, index int64) any {
	at, _, _ := p.find(in)
	if at <= 0 {
		return nil
	}
	d, data, err := p.stream(at)
	if err != nil {
		return nil
	}
	first, _ := d["First"].(int64)
	if first < 0 || first > int64(len(data)) || index > int64(len(data)) {
		return nil
	}
	s := scanner{b: data[:first]}
	for range 2*index + 1 { // numbers and offsets
		if _, ok := s.object(0).(int64); !ok {
			return nil
		}
	}
	off, ok := s.object(0).(int64)
	if !ok || off < 0 || off > int64(len(data))-first {
		return nil
	}
	s = scanner{b: data[first+off:]}
	return s.object(0)
}

// stream reads a stream that is not packed, or by Flate.
func (p *pdf) stream(at int64) (dict, []byte, error) {
	v, n := p.object(at)
	d, ok := v.(dict)
	if !ok {
		return nil, nil, errPDF
	}
	if data, ok := p.packed[at]; ok {
		return d, data, nil
	}
	head := p.f.upTo(at+n, 32)
	i := bytes.Index(head, []byte("stream"))
	if i < 0 {
		return nil, nil, errPDF
	}
	begin := at + n + int64(i) + 6
	if rest := head[i+6:]; bytes.HasPrefix(rest, []byte("\r\n")) {
		begin += 2
	} else {
		begin++
	}
	filter := d["Filter"]
	if list, ok := filter.([]any); ok && len(list) == 1 {
		filter = list[0]
	}
	if filter != symbol("FlateDecode") {
		return nil, nil, errPDF
	}
	if begin > p.f.size {
		return nil, nil, errPDF
	}
	z, err := zlib.NewReader(io.NewSectionReader(p.f, begin, p.f.size-begin))
	if err != nil {
		return nil, nil, err
	}
	data, _ := io.ReadAll(io.LimitReader(z, p.left))
	p.left -= int64(len(data))
	if len(data) == 0 {
		return nil, nil, errPDF
	}
	params := d["DecodeParms"]
	if list, ok := params.([]any); ok && len(list) == 1 {
		params = list[0]
	}
	if params, ok := params.(dict); ok {
		if data, err = predicted(data, params); err != nil {
			return nil, nil, err
		}
	}
	if len(p.packed) < maxTables {
		p.packed[at] = data
	}
	return d, data, nil
}

// predicted undoes PNG's prediction (7.4.4.4; PNG, 9), of which tables have the kinds none and up.
func predicted(data []byte, params dict) ([]byte, error) {
	if n, _ := params["Predictor"].(int64); n < 10 {
		return data, nil
	}
	columns, ok := params["Columns"].(int64)
	if !ok {
		columns = 1
	}
	if columns < 1 || columns > maxPiece {
		return nil, errPDF
	}
	out, above := []byte{}, make([]byte, columns)
	for ; int64(len(data)) > columns; data = data[columns+1:] {
		row := data[1 : columns+1]
		switch data[0] {
		case 0:
		case 2:
			for i := range row {
				row[i] += above[i]
			}
		default:
			return nil, errPDF
		}
		out, above = append(out, row...), row
	}
	return out, nil
}

// A scanner reads objects.
type scanner struct {
	b  []byte
	at int
}

const (
	blanks     = "\x00\t\n\f\r "
	delimiters = "()<>[]{}/%"
)

// space passes over blanks and comments.
func (s *scanner) space() {
	for s.at < len(s.b) {
		switch c := s.b[s.at]; {
		case strings.IndexByte(blanks, c) >= 0:
			s.at++
		case c == '%':
			for s.at < len(s.b) && s.b[s.at] != '\n' && s.b[s.at] != '\r' {
				s.at++
			}
		default:
			return
		}
	}
}

// word reads what is no delimiter.
func (s *scanner) word() string {
	s.space()
	from := s.at
	for s.at < len(s.b) && strings.IndexByte(blanks+delimiters, s.b[s.at]) < 0 {
		s.at++
	}
	return string(s.b[from:s.at])
}

// object reads one object; nil if there is none, or it is not understood.
func (s *scanner) object(depth int) any {
	if s.space(); s.at >= len(s.b) || depth > maxNested {
		return nil
	}
	rest := s.b[s.at:]
	switch {
	case bytes.HasPrefix(rest, []byte("<<")):
		s.at += 2
		return s.dict(depth)
	case rest[0] == '<':
		end := bytes.IndexByte(rest, '>')
		if end < 0 {
			return nil
		}
		s.at += end + 1
		digits := bytes.Map(func(r rune) rune {
			if strings.ContainsRune(blanks, r) {
				return -1
			}
			return r
		}, rest[1:end])
		if len(digits)%2 == 1 {
			digits = append(digits, '0')
		}
		out := make([]byte, len(digits)/2)
		if _, err := hex.Decode(out, digits); err != nil {
			return nil
		}
		return text(out)
	case rest[0] == '(':
		s.at++
		return s.text()
	case rest[0] == '/':
		s.at++
		return symbol(s.word())
	case rest[0] == '[':
		s.at++
		list := []any{}
		for s.space(); s.at < len(s.b) && s.b[s.at] != ']'; s.space() {
			before := s.at
			if list = append(list, s.object(depth+1)); s.at == before {
				return nil
			}
		}
		s.at++
		return list
	}
	return s.number()
}

func (s *scanner) dict(depth int) any {
	d := dict{}
	for {
		s.space()
		switch {
		case s.at >= len(s.b):
			return nil
		case bytes.HasPrefix(s.b[s.at:], []byte(">>")):
			s.at += 2
			return d
		case s.b[s.at] != '/':
			return nil
		}
		s.at++
		key := s.word()
		before := s.at
		if d[key] = s.object(depth + 1); s.at == before {
			return nil
		}
	}
}

// number reads a number, a reference, or a word.
func (s *scanner) number() any {
	w := s.word()
	n, err := strconv.ParseInt(w, 10, 64)
	if err != nil {
		if f, err := strconv.ParseFloat(w, 64); err == nil {
			return f
		}
		return map[string]any{"true": true, "false": false}[w]
	}
	after := s.at
	if g, err := strconv.ParseUint(s.word(), 10, 32); n > 0 && err == nil && g < 1<<16 && s.word() == "R" {
		return ref(n)
	}
	s.at = after
	return n
}

// text reads a string in parentheses (7.3.4.2).
func (s *scanner) text() any {
	out := text{}
	for open := 1; s.at < len(s.b); s.at++ {
		c := s.b[s.at]
		switch c {
		case '(':
			open++
		case ')':
			if open--; open == 0 {
				s.at++
				return out
			}
		case '\\':
			if s.at++; s.at >= len(s.b) {
				return nil
			}
			c = s.b[s.at]
			if i := strings.IndexByte("nrtbf", c); i >= 0 {
				c = "\n\r\t\b\f"[i]
			} else if c >= '0' && c <= '7' {
				n := 0
				for k := 0; k < 3 && s.at < len(s.b) && s.b[s.at] >= '0' && s.b[s.at] <= '7'; k++ {
					n = n<<3 | int(s.b[s.at]-'0')
					s.at++
				}
				s.at--
				c = byte(n)
			} else if c == '\n' || c == '\r' {
				continue
			}
		}
		out = append(out, c)
	}
	return nil
}
