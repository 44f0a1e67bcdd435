// Package feed reads the feeds that tell of new torrents, and decides by a person's rules which of them to fetch.
//
// It asks nobody and keeps nothing. Its one idea: rules mean what users of BitTorrent programs expect of them, wildcards, episodes and all, so that theirs can be brought along.
package feed

import (
	"bytes"
	"cmp"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/mmcdole/gofeed"
	ext "github.com/mmcdole/gofeed/extensions"
	"golang.org/x/net/html/charset"

	"kith"
	"kith/internal/human"
	"kith/internal/plain"
)

// Limits of a feed.
const (
	MaxBytes  = 8 << 20
	MaxItems  = 2000 // further ones are left out
	maxDepth  = 50   // elements within each other
	maxTokens = 1 << 20
	maxText   = 1024 // bytes of a title, name or GUID; longer ones are cut
	maxLink   = 8192 // bytes of an address; longer ones are none
)

// An Item is one torrent that a feed tells of.
type Item struct {
	GUID      string // by which the feed tells it from others
	Title     string
	Link      string // magnet link, or address of a .torrent file
	Page      string // address of a page about it, "" for none
	Size      int64  // bytes, -1 if the feed does not say
	Published time.Time
	Files     []string // names in it; feeds do not say
}

// Parse reads an RSS, Atom or JSON feed: its title, and those of its items that have a torrent. Its errors are Invalid, TooLarge, and Denied with what an indexer says in place of a feed.
func Parse(data []byte) (title string, items []Item, err error) {
	if len(data) > MaxBytes {
		return "", nil, fmt.Errorf("feed: more than %d bytes: %w", MaxBytes, kith.TooLarge)
	}
	if err := harmless(data); err != nil {
		return "", nil, err
	}
	if said := refusal(data); said != "" {
		return "", nil, fmt.Errorf("feed: it says: %s: %w", said, kith.Denied)
	}
	f, err := parse(data)
	if err != nil {
		return "", nil, fmt.Errorf("feed: it is no RSS, Atom or JSON feed: %w: %w", err, kith.Invalid)
	}
	for _, it := range f.Items {
		if len(items) == MaxItems {
			break
		}
		if it == nil {
			continue
		}
		if i, ok := item(it); ok {
			items = append(items, i)
		}
	}
	return Cut(f.Title), items, nil
}

// refusal returns what an indexer says in place of a feed (Torznab, Newznab): <error code="100" description="Invalid API Key"/>.
func refusal(data []byte) string {
	var e struct {
		XMLName xml.Name `xml:"error"`
		Code    string   `xml:"code,attr"`
		Says    string   `xml:"description,attr"`
	}
	d := xml.NewDecoder(bytes.NewReader(data))
	d.CharsetReader = charset.NewReaderLabel
	if d.Decode(&e) != nil {
		return ""
	}
	return plain.Text(Cut(cmp.Or(e.Says, "error "+e.Code)))
}

// parse calls the library, which has panicked on odd feeds before.
func parse(data []byte) (f *gofeed.Feed, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	return gofeed.NewParser().Parse(bytes.NewReader(data))
}

// harmless refuses XML that costs more than it says: with entities of its own, or so deep that who reads it by recursion has no stack left.
func harmless(data []byte) error {
	if b := bytes.TrimLeft(data, "\ufeff \t\r\n"); len(b) > 0 && b[0] == '{' { // JSON: Go's decoder has limits
		return nil
	}
	d := xml.NewDecoder(bytes.NewReader(data))
	d.Strict = false
	d.CharsetReader = charset.NewReaderLabel
	depth := 0
	for n := 0; ; n++ {
		t, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("feed: it is no XML: %w: %w", err, kith.Invalid)
		}
		switch t := t.(type) {
		case xml.StartElement:
			depth++
		case xml.EndElement:
			depth--
		case xml.Directive:
			if bytes.Contains(bytes.ToUpper(t), []byte("<!ENTITY")) {
				return fmt.Errorf("feed: it defines entities, as no feed needs to: %w", kith.Invalid)
			}
		}
		if depth > maxDepth || n > maxTokens {
			return fmt.Errorf("feed: its XML is too deep or too large: %w", kith.TooLarge)
		}
	}
}

func item(it *gofeed.Item) (i Item, ok bool) {
	i = Item{GUID: Cut(it.GUID), Title: Cut(it.Title), Size: -1}
	if it.PublishedParsed != nil {
		i.Published = *it.PublishedParsed
	} else if it.UpdatedParsed != nil {
		i.Published = *it.UpdatedParsed
	}
	links := append([]string{it.Link}, it.Links...)
	for _, e := range it.Enclosures {
		if e == nil {
			continue
		}
		if n, err := strconv.ParseInt(strings.TrimSpace(e.Length), 10, 64); err == nil && n > 1<<20 { // of the .torrent file, some say
			i.Size = n
		}
		if e.Type == "application/x-bittorrent" || !strings.HasPrefix(e.Type, "image/") {
			links = append([]string{e.URL}, links...)
		}
	}
	walk(it.Extensions, func(name, value string) {
		switch strings.ToLower(name) {
		case "magneturi", "magneturl":
			links = append([]string{value}, links...)
		case "infohash":
			if h := strings.TrimSpace(value); len(h) == 2*len(kith.InfoHash{}) && strings.Trim(strings.ToLower(h), "0123456789abcdef") == "" {
				links = append(links, "magnet:?xt=urn:btih:"+strings.ToLower(h)) // unless it says more
			}
		case "contentlength", "size":
			if n, err := human.ParseBytes(strings.TrimSpace(value)); err == nil && n > 0 {
				i.Size = n
			}
		}
	})
	for _, l := range links {
		if i.Link == "" {
			i.Link = torrent(l)
		}
	}
	if i.Link == "" && len(it.Enclosures) == 0 && page(it.Link) != "" {
		i.Link = page(it.Link) // many say so of a .torrent file without its ending
	}
	if p := page(it.Link); p != i.Link {
		i.Page = p
	}
	if i.GUID == "" {
		i.GUID = Cut(i.Link)
	}
	if i.Title == "" {
		i.Title = i.GUID
	}
	return i, i.Link != ""
}

// walk shows all texts of extensions: <torrent:magnetURI>, <nyaa:size>, <torznab:attr name="size" value="…">.
func walk(all ext.Extensions, see func(name, value string)) {
	for _, space := range all {
		for name, list := range space {
			walkList(name, list, 0, see)
		}
	}
}

func walkList(name string, list []ext.Extension, depth int, see func(name, value string)) {
	for _, e := range list {
		if n := e.Attrs["name"]; n != "" {
			see(n, e.Attrs["value"])
		}
		see(name, e.Value)
		for child, l := range e.Children {
			if depth < 4 {
				walkList(child, l, depth+1, see)
			}
		}
	}
}

// torrent returns l if it is a magnet link, or the address of what may be a .torrent file by its ending.
func torrent(l string) string {
	l = strings.TrimSpace(l)
	if len(l) > maxLink {
		return ""
	}
	if strings.HasPrefix(strings.ToLower(l), "magnet:?") {
		return l
	}
	if u := page(l); u != "" {
		if p, err := url.Parse(u); err == nil && (strings.HasSuffix(strings.ToLower(p.Path), ".torrent") || strings.Contains(strings.ToLower(p.RawQuery), "torrent") || strings.Contains(strings.ToLower(p.Path), "/download")) {
			return u
		}
	}
	return ""
}

// page returns l if it is an address of the web.
func page(l string) string {
	l = strings.TrimSpace(l)
	u, err := url.Parse(l)
	if err != nil || len(l) > maxLink || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return ""
	}
	return l
}

// Cut returns a title, name or GUID of any length as it is kept.
func Cut(s string) string {
	s = strings.TrimSpace(s)
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "")
	}
	return s
}
