package metainfo

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"

	"kith"
)

// Limits of what is decoded, whoever made it.
const (
	maxDepth  = 64      // lists and dictionaries within each other
	maxValues = 6 << 20 // strings, numbers, lists and dictionaries in all
)

// A value is decoded bencode: int64, text, list or dict.
type value any

type (
	text []byte // of the input
	list []value
	dict []pair // as they stood: foreign torrents are not always sorted, and their hash is that of the bytes
	pair struct {
		key string
		value
		raw []byte
	}
)

// get returns the value of a key, nil if it is not there.
func (d dict) get(key string) value {
	for _, p := range d {
		if p.key == key {
			return p.value
		}
	}
	return nil
}

// raw returns the bytes of the value of a key.
func (d dict) raw(key string) []byte {
	for _, p := range d {
		if p.key == key {
			return p.raw
		}
	}
	return nil
}

// A decoder reads bencode (BEP 3) strictly, but for the order of keys.
type decoder struct {
	all  []byte
	at   int
	left int // values
}

// decode reads one value, which must be all there is.
func decode(data []byte) (value, error) {
	d := decoder{all: data, left: maxValues}
	v, err := d.value(0)
	if err == nil && d.at != len(data) {
		err = d.wrong("%d bytes behind its end", len(data)-d.at)
	}
	return v, err
}

func (d *decoder) wrong(format string, args ...any) error {
	return fmt.Errorf("at byte %d: %s: %w", d.at, fmt.Sprintf(format, args...), kith.Invalid)
}

func (d *decoder) value(depth int) (value, error) {
	if d.left--; d.left < 0 {
		return nil, fmt.Errorf("more than %d values: %w", maxValues, kith.TooLarge)
	}
	if depth > maxDepth {
		return nil, fmt.Errorf("at byte %d: more than %d deep: %w", d.at, maxDepth, kith.TooLarge)
	}
	if d.at >= len(d.all) {
		return nil, d.wrong("it ends too early")
	}
	switch c := d.all[d.at]; {
	case c >= '0' && c <= '9':
		return d.text()
	case c == 'i':
		return d.number()
	case c == 'l':
		return d.list(depth)
	case c == 'd':
		return d.dict(depth)
	default:
		return nil, d.wrong("%q begins no value", c)
	}
}

// digits reads a number up to the byte that ends it.
func (d *decoder) digits(end byte) (int64, error) {
	n := bytes.IndexByte(d.all[d.at:min(len(d.all), d.at+21)], end)
	if n < 0 {
		return 0, d.wrong("a number has no end")
	}
	s := string(d.all[d.at : d.at+n])
	v, err := strconv.ParseInt(s, 10, 64)
	if err != nil || strconv.FormatInt(v, 10) != s {
		return 0, d.wrong("%q is no number", s)
	}
	d.at += n + 1
	return v, nil
}

func (d *decoder) text() (text, error) {
	n, err := d.digits(':')
	if err != nil {
		return nil, err
	}
	if n < 0 || n > int64(len(d.all)-d.at) {
		return nil, d.wrong("a string of %d bytes is longer than what is there", n)
	}
	s := d.all[d.at : d.at+int(n) : d.at+int(n)]
	d.at += int(n)
	return s, nil
}

func (d *decoder) number() (int64, error) {
	d.at++
	return d.digits('e')
}

// ended reports whether a list or dictionary ends here, and goes beyond its end.
func (d *decoder) ended() bool {
	if d.at < len(d.all) && d.all[d.at] == 'e' {
		d.at++
		return true
	}
	return false
}

func (d *decoder) list(depth int) (list, error) {
	d.at++
	l := list{}
	for !d.ended() {
		v, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		l = append(l, v)
	}
	return l, nil
}

func (d *decoder) dict(depth int) (dict, error) {
	d.at++
	m := dict{}
	sorted := true
	for !d.ended() {
		if d.at >= len(d.all) || d.all[d.at] < '0' || d.all[d.at] > '9' {
			return nil, d.wrong("a key must be a string")
		}
		key, err := d.text()
		if err != nil {
			return nil, err
		}
		at := d.at
		v, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		p := pair{string(key), v, d.all[at:d.at:d.at]}
		sorted = sorted && (len(m) == 0 || m[len(m)-1].key < p.key)
		m = append(m, p)
	}
	if !sorted {
		keys := make([]string, len(m))
		for i, p := range m {
			keys[i] = p.key
		}
		slices.Sort(keys)
		for i := range keys[:max(0, len(keys)-1)] {
			if keys[i] == keys[i+1] {
				return nil, d.wrong("the key %.40q is there twice", keys[i])
			}
		}
	}
	return m, nil
}

// An encoder writes bencode.
type encoder struct{ bytes.Buffer }

func (e *encoder) text(s string) {
	e.WriteString(strconv.Itoa(len(s)))
	e.WriteByte(':')
	e.WriteString(s)
}

func (e *encoder) number(n int64) {
	e.WriteByte('i')
	e.WriteString(strconv.FormatInt(n, 10))
	e.WriteByte('e')
}

// pair writes a key and a number.
func (e *encoder) pair(key string, n int64) {
	e.text(key)
	e.number(n)
}

// texts writes a list of strings.
func (e *encoder) texts(list []string) {
	e.WriteByte('l')
	for _, s := range list {
		e.text(s)
	}
	e.WriteByte('e')
}
