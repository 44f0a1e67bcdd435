package media

import (
	"archive/zip"
	"bytes"
	"encoding/xml"
	"io"
	"path"
	"strings"

	"golang.org/x/net/html"

	"kith/search/fact"
	"kith/search/query"
)

// maxRead is how much of a text is read.
const maxRead = 32 << 10

// readText reads what has no sign: plain text, or a page.
func readText(f *file, name string, facts *fact.Facts) {
	b := f.upTo(0, maxRead)
	b = bytes.TrimPrefix(b, []byte("\ufeff"))
	if len(b) >= 2 && (string(b[:2]) == "\xff\xfe" || string(b[:2]) == "\xfe\xff") {
		b = []byte(utf16Text(b, false))
	}
	if !isText(b) {
		return
	}
	facts.Kind, facts.Format = query.Text, fact.Plain
	start := strings.ToLower(string(bytes.TrimSpace(b[:min(len(b), 1024)])))
	switch {
	case strings.HasPrefix(start, "<!doctype html"), strings.HasPrefix(start, "<html"), strings.HasPrefix(start, "<?xml") && strings.Contains(start, "<html"):
		facts.Format = "HTML"
		facts.Title, facts.Words = page(bytes.NewReader(b))
	case strings.HasPrefix(start, "<"), strings.HasPrefix(start, "#!"):
	case prose(name):
		if line, _, _ := strings.Cut(string(b), "\n"); strings.HasPrefix(line, "# ") {
			facts.Title = line[2:]
		}
		facts.Words = string(b[:min(len(b), 2*fact.MaxWords)])
	}
}

// prose reports whether a file of text is one for people, by its name: the first words of a program say nothing of it.
func prose(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case "", ".txt", ".md", ".markdown", ".rst", ".adoc", ".org", ".text", ".tex":
		return true
	}
	return false
}

// page returns the title and the first words of a page.
func page(r io.Reader) (title, words string) {
	t := html.NewTokenizer(r)
	t.SetMaxBuf(maxRead)
	var b strings.Builder
	in := ""
	for b.Len() < 2*fact.MaxWords {
		switch t.Next() {
		case html.ErrorToken:
			return title, b.String()
		case html.StartTagToken:
			name, _ := t.TagName()
			if n := string(name); n == "title" || n == "script" || n == "style" || n == "noscript" {
				in = n
			}
		case html.EndTagToken:
			if name, _ := t.TagName(); string(name) == in {
				in = ""
			}
		case html.TextToken:
			switch in {
			case "":
				b.Write(t.Text())
				b.WriteByte(' ')
			case "title":
				title += string(t.Text())
			}
		}
	}
	return title, b.String()
}

// Limits of an archive: its directory is read whole by the library.
const (
	maxDirectory = 1 << 20 // bytes
	maxPart      = 256 << 10
)

// readZip tells books from other archives, and reads what a book says of itself. Documents and programs are archives too: which of them it is, the name says.
func readZip(f *file, facts *fact.Facts) {
	head := string(f.upTo(0, 128))
	if f.bytes = maxBytes - maxDirectory; len(head) < 30 { // what may still be read
		return
	}
	first := head[30:]
	if !strings.HasPrefix(first, "mimetypeapplication/epub+zip") {
		return
	}
	facts.Kind, facts.Format = query.Text, "EPUB"
	z, err := zip.NewReader(f, f.size)
	if err != nil {
		return
	}
	var where struct {
		Files []struct {
			Path string `xml:"full-path,attr"`
		} `xml:"rootfiles>rootfile"`
	}
	if part(z, "META-INF/container.xml", &where) != nil || len(where.Files) == 0 {
		return
	}
	var book struct {
		Title   []string `xml:"metadata>title"`
		Creator []string `xml:"metadata>creator"`
		Subject []string `xml:"metadata>subject"`
		Date    []string `xml:"metadata>date"`
	}
	if part(z, where.Files[0].Path, &book) != nil {
		return
	}
	for what, list := range map[string][]string{"title": book.Title, "artist": book.Creator, "genre": book.Subject, "year": book.Date} {
		for _, s := range list[:min(len(list), 1)] {
			say(facts, what, s)
		}
	}
}

// part decodes one XML file of an archive.
func part(z *zip.Reader, name string, into any) error {
	r, err := z.Open(name)
	if err != nil {
		return err
	}
	defer r.Close()
	d := xml.NewDecoder(io.LimitReader(r, maxPart))
	d.Strict = false
	return d.Decode(into)
}
