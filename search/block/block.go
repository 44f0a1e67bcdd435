// Package block reads block lists: text files in which somebody names publishers and contents that they would not have shown.
//
// It decides nothing: who subscribes to a list has left out what it names, on their own computer alone. Its one idea: a list is a text that a person can read, write and
// send like any other file, and a list that is wrong in one line is wrong as a whole, with the line's number, so that nobody believes something blocked which is not.
package block

import (
	"bufio"
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/internal/plain"
)

// Limits of a list.
const (
	MaxSize    = 8 << 20 // bytes
	MaxEntries = 50_000
	MaxWhy     = 200     // bytes of a reason; the rest is left out
	maxLine    = 8 << 10 // bytes
)

// An Entry is one thing that a list names: a publisher or a content.
type Entry struct {
	Publisher peer.ID  // "" of a content
	Root      kith.Ref // zero of a publisher
	Why       string   // what the list says of it
}

// What returns the publisher's peer ID, or the content's CID, as text.
func (e Entry) What() string {
	if e.Publisher != "" {
		return e.Publisher.String()
	}
	return e.Root.String()
}

// Parse reads a list: in each line a peer ID, a CID or a Kith link, and behind a space and # perhaps why; empty lines, and lines that begin with #, are comments. What is
// named twice is one entry. Its error is TooLarge, or Invalid and says which line is broken.
func Parse(text []byte) ([]Entry, error) {
	if len(text) > MaxSize {
		return nil, fmt.Errorf("block: a list of %d bytes, at most %d: %w", len(text), MaxSize, kith.TooLarge)
	}
	lines := bufio.NewScanner(bytes.NewReader(bytes.TrimPrefix(text, []byte("\ufeff"))))
	lines.Buffer(nil, maxLine)
	var list []Entry
	seen := map[string]bool{}
	n := 1
	for ; lines.Scan(); n++ {
		e, ok, err := parseLine(lines.Text())
		switch {
		case err != nil:
			return nil, kith.Hint(fmt.Errorf("block: line %d: %w", n, err), "a line is a peer ID, a CID or a link, then perhaps # and why; mend or remove it")
		case !ok || seen[e.What()]:
			continue
		case len(list) == MaxEntries:
			return nil, fmt.Errorf("block: line %d: more than %d entries: %w", n, MaxEntries, kith.TooLarge)
		}
		seen[e.What()] = true
		list = append(list, e)
	}
	if lines.Err() != nil {
		return nil, fmt.Errorf("block: line %d: longer than %d bytes: %w", n, maxLine, kith.Invalid)
	}
	return list, nil
}

// parseLine reads one line; ok is false of one that names nothing.
func parseLine(line string) (e Entry, ok bool, err error) {
	if !utf8.ValidString(line) {
		return e, false, fmt.Errorf("it is no text: %w", kith.Invalid)
	}
	line = strings.TrimSpace(line)
	if line == "" || line[0] == '#' {
		return e, false, nil
	}
	what, rest := line, ""
	if i := strings.IndexAny(line, " \t"); i > 0 { // the key of a link stands behind a # too
		what, rest = line[:i], strings.TrimSpace(line[i:])
	}
	why, ok := strings.CutPrefix(rest, "#")
	if rest != "" && !ok {
		return e, false, fmt.Errorf("%.40q behind what it names, without a #: %w", rest, kith.Invalid)
	}
	e.Why = cut(plain.Text(strings.TrimSpace(why)))
	if p, err := peer.Decode(what); err == nil && strings.HasPrefix(what, "1") { // peer.Decode takes CIDs too
		e.Publisher = p
		return e, true, nil
	}
	link, err := kith.ParseLink(what)
	if err != nil || link.Ref.IsZero() {
		return e, false, fmt.Errorf("%.60q is no peer ID, CID or link of Kith: %w", what, kith.Invalid)
	}
	e.Root = link.Ref
	return e, true, nil
}

// cut returns a reason within MaxWhy.
func cut(s string) string {
	if len(s) > MaxWhy {
		s = strings.ToValidUTF8(s[:MaxWhy], "")
	}
	return s
}
