package media

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kith/search/fact"
)

func read(t testing.TB, name string) fact.Facts {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	f, err := Read(name, bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// song returns the tags that ffmpeg was told for each of the files below.
func song(f fact.Facts) fact.Facts {
	f.Title, f.Artist, f.Album, f.Genre, f.Year = "Winterlied", "Testchor", "Jahreszeiten", "Folk", 2019
	return f
}

// The files in testdata were made by ffmpeg, exiftool, qpdf and reportlab for this test; where they could, they were told a place too.
func TestRead(t *testing.T) {
	photo := fact.Facts{Kind: "image", Width: 120, Height: 80, Taken: "2023-07-14", Year: 2023, Camera: "Fujifilm X-T5"}
	as := func(f fact.Facts, format string) fact.Facts {
		f.Format = format
		return f
	}
	turned := as(photo, "JPEG")
	turned.Width, turned.Height = 80, 120
	film := fact.Facts{Kind: "video", Length: 3, Width: 640, Height: 360}
	book := fact.Facts{Kind: "text", Format: "PDF", Title: "Über Bücher", Artist: "Anna Autor", Pages: 12}
	for name, want := range map[string]fact.Facts{
		"v23.mp3":    song(fact.Facts{Kind: "audio", Format: "MP3", Length: 2}),
		"v24.mp3":    song(fact.Facts{Kind: "audio", Format: "MP3", Length: 2}),
		"v1.mp3":     song(fact.Facts{Kind: "audio", Format: "MP3", Length: 2}),
		"a.flac":     song(fact.Facts{Kind: "audio", Format: "FLAC", Length: 2}),
		"a.ogg":      song(fact.Facts{Kind: "audio", Format: "Vorbis", Length: 2}),
		"a.opus":     song(fact.Facts{Kind: "audio", Format: "Opus", Length: 2}),
		"a.m4a":      song(fact.Facts{Kind: "audio", Format: "M4A", Length: 2}),
		"a.wav":      song(fact.Facts{Kind: "audio", Format: "WAV", Length: 1}),
		"a.mp4":      song(as(film, "MP4")),
		"f.mp4":      song(fact.Facts{Kind: "video", Format: "MP4", Width: 640, Height: 360}), // of a live recording nothing says how long it is
		"a.mov":      song(as(film, "MOV")),
		"a.mkv":      song(as(film, "Matroska")),
		"a.webm":     song(as(film, "WebM")),
		"audio.webm": song(fact.Facts{Kind: "audio", Format: "WebM", Length: 2}),
		"a.avi":      as(film, "AVI"),
		"a.ogv":      as(film, "Theora"),
		"p.jpg":      as(photo, "JPEG"),
		"p.png":      as(photo, "PNG"),
		"p.webp":     as(photo, "WebP"),
		"p.avif":     as(photo, "AVIF"),
		"p.gif":      {Kind: "image", Format: "GIF", Width: 120, Height: 80},
		"turned.jpg": turned,
		"plain.pdf":  book,
		"packed.pdf": book,
		"linear.pdf": book,
		"secret.pdf": {Kind: "text", Format: "PDF", Pages: 12},
		"a.epub":     {Kind: "text", Format: "EPUB", Title: "Das Winterbuch", Artist: "Anna Autor", Year: 1998},
	} {
		if got := read(t, name); got != want {
			t.Errorf("%s:\n got %+v\nwant %+v", name, got, want)
		}
	}
}

func TestText(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       fact.Facts
	}{
		{"a.txt", "It was a  dark\nand stormy night", fact.Facts{Kind: "text", Format: fact.Plain, Words: "It was a dark and stormy night"}},
		{"README.md", "# The Title\n\nSome words", fact.Facts{Kind: "text", Format: fact.Plain, Title: "The Title", Words: "# The Title Some words"}},
		{"a.txt", "\xff\xfeI\x00t\x00", fact.Facts{Kind: "text", Format: fact.Plain, Words: "It"}},
		{"a.go", "package media", fact.Facts{Kind: "text", Format: fact.Plain}},
		{"a.html", "<!DOCTYPE html><html><title>A &amp; B</title><style>p{}</style><script>x()</script><p>Hello <b>there</b>", fact.Facts{Kind: "text", Format: "HTML", Title: "A & B", Words: "Hello there"}},
		{"a.bin", "a\x00b", fact.Facts{}},
		{"a.txt", "", fact.Facts{}},
		{"a.exe", "MZ is no program", fact.Facts{Kind: "text", Format: fact.Plain}},
		{"a.jpg", "\x7fELF\x02", fact.Facts{Kind: "program", Format: "ELF"}},
		{"a.mkv", "Rar!\x1a\x07\x01\x00", fact.Facts{Kind: "archive", Format: "RAR"}},
	} {
		if got, err := Read(c.name, strings.NewReader(c.text), int64(len(c.text))); got != c.want || err != nil {
			t.Errorf("%s %.20q:\n got %+v, %v\nwant %+v", c.name, c.text, got, err, c.want)
		}
	}
}

// A file that cannot be read is an error, since it may be read later; one that ends early, or says that it is larger than it is, is none.
func TestBroken(t *testing.T) {
	data, err := os.ReadFile("testdata/a.mkv")
	if err != nil {
		t.Fatal(err)
	}
	away := errors.New("the disk is away")
	if _, err := Read("a.mkv", failing{away}, 100); !errors.Is(err, away) {
		t.Errorf("%v", err)
	}
	if f, err := Read("a.mkv", bytes.NewReader(data[:700]), int64(len(data))); err != nil || f.Kind != "video" {
		t.Errorf("%+v, %v", f, err)
	}
}

type failing struct{ err error }

func (f failing) ReadAt([]byte, int64) (int, error) { return 0, f.err }

// A hostile file that is never at an end costs no more than it may.
func TestBounds(t *testing.T) {
	for name, head := range map[string]string{
		"frames.mp3":   "ID3\x03\x00\x00\x7f\x7f\x7f\x7f" + strings.Repeat("TIT2\x00\x00\x00\x01\x00\x00\x00", 1000),
		"boxes.mp4":    "\x00\x00\x00\x10ftypisom\x00\x00\x00\x00" + strings.Repeat("\x00\x00\x00\x08free", 1000),
		"deep.mp4":     "\x00\x00\x00\x10ftypisom\x00\x00\x00\x00" + strings.Repeat("\x00\x00\x00\x00moov", 1000),
		"elements.mkv": "\x1aE\xdf\xa3\x80\x18\x53\x80\x67\xff" + strings.Repeat("\xec\x80", 1000),
		"deep.mkv":     "\x1aE\xdf\xa3\x80" + strings.Repeat("\x18\x53\x80\x67\xff", 1000),
		"deep.pdf":     "%PDF-1.4\n" + strings.Repeat("[", 1000),
		"pages.ogg":    strings.Repeat("OggS\x00\x02"+strings.Repeat("\x00", 20)+"\x00", 1000),
		"blocks.flac":  "fLaC" + strings.Repeat("\x01\x00\x00\x00", 1000),
	} {
		r := &endless{head: head}
		if _, err := Read(name, r, 1<<50); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if r.read > maxBytes {
			t.Errorf("%s: %d bytes were read", name, r.read)
		}
	}
}

// endless repeats what follows the first bytes of head for ever.
type endless struct {
	head string
	read int
}

func (r *endless) ReadAt(p []byte, off int64) (int, error) {
	r.read += len(p)
	for i := range p {
		at := off + int64(i)
		if n := int64(len(r.head)); at >= n {
			at = n/2 + (at-n)%(n-n/2)
		}
		p[i] = r.head[at]
	}
	return len(p), nil
}

func FuzzRead(f *testing.F) {
	names, err := filepath.Glob("testdata/*.*")
	if err != nil || len(names) == 0 {
		f.Fatal(names, err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(filepath.Base(name), data)
	}
	f.Add("deep.pdf", []byte("%PDF-1.4\nxref\n0 1\n0000000000 65535 f \ntrailer<</Root 1 0 R/Prev 9>>startxref\n9\n"))
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		r := &counted{bytes.NewReader(data), 0}
		got, err := Read(name, r, int64(len(data)))
		if err != nil || got != fact.Clean(got) || r.n > maxBytes {
			t.Fatalf("%+v, %v, %d bytes", got, err, r.n)
		}
		file := &file{r: bytes.NewReader(data), size: int64(len(data)), end: time.Now().Add(time.Hour)}
		func() {
			defer func() {
				if p := recover(); p != nil {
					t.Fatalf("panic: %v", p) // Read would hide it
				}
			}()
			file.read(name, new(fact.Facts))
		}()
	})
}

type counted struct {
	io.ReaderAt
	n int
}

func (c *counted) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.ReaderAt.ReadAt(p, off)
	c.n += n
	return n, err
}
