// Package fact is what a file says of itself: how long a record plays and who made it, how large a picture is, how many pages a book has.
//
// It reads no file (search/media does), and believes none: all of it came from outside, and is cut and cleaned by [Clean]. Its one idea: the same few facts of
// everything, so that publications carry them, the index finds and filters by them, and people read them on one line.
//
// Where something was made is no fact: there is no field for it, so that none can slip through.
package fact

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"kith/internal/plain"
)

// Limits of facts; what is longer is cut, what is larger is left out.
const (
	MaxText   = 96  // bytes of a title, an artist or author, an album
	MaxName   = 32  // bytes of a genre, a format, a camera
	MaxWords  = 400 // bytes of first words
	maxYear   = 9999
	maxLength = 1 << 24 // seconds: half a year
	maxSide   = 1 << 20 // pixels
	maxPages  = 1 << 20
)

// Facts are what is known of one content. The zero value is that nothing is. They are comparable.
type Facts struct {
	Kind   string `json:"kind,omitempty" doc:"what the bytes are: audio, video, image, text, archive, program"`
	Format string `json:"format,omitempty" doc:"as people call it: FLAC, Matroska, PDF"`
	Title  string `json:"title,omitempty"`
	Artist string `json:"artist,omitempty" doc:"or author"`
	Album  string `json:"album,omitempty"`
	Genre  string `json:"genre,omitempty"`
	Year   int    `json:"year,omitempty"`
	Length int    `json:"length,omitempty" doc:"seconds that it plays"`
	Width  int    `json:"width,omitempty" doc:"pixels"`
	Height int    `json:"height,omitempty" doc:"pixels"`
	Pages  int    `json:"pages,omitempty"`
	Taken  string `json:"taken,omitempty" doc:"day of a photo, as 2006-01-02; known here alone"`
	Camera string `json:"camera,omitempty" doc:"known here alone"`
	Words  string `json:"words,omitempty" doc:"first words of a text, or titles of what is in a folder"`
}

// Clean returns f within the limits, and with nothing in its texts that a person would not see.
func Clean(f Facts) Facts {
	for _, t := range []struct {
		s    *string
		most int
	}{{&f.Kind, MaxName}, {&f.Format, MaxName}, {&f.Genre, MaxName}, {&f.Camera, MaxName}, {&f.Title, MaxText}, {&f.Artist, MaxText}, {&f.Album, MaxText}, {&f.Words, MaxWords}} {
		*t.s = tidy(*t.s, t.most)
	}
	for _, n := range []struct {
		n    *int
		most int
	}{{&f.Year, maxYear}, {&f.Length, maxLength}, {&f.Width, maxSide}, {&f.Height, maxSide}, {&f.Pages, maxPages}} {
		if *n.n < 0 || *n.n > n.most {
			*n.n = 0
		}
	}
	if f.Width == 0 || f.Height == 0 {
		f.Width, f.Height = 0, 0
	}
	if _, err := time.Parse(time.DateOnly, f.Taken); err != nil {
		f.Taken = ""
	}
	return f
}

// tidy returns s on one line, with single spaces, without what is no text, cut to so many bytes and to whole runes.
func tidy(s string, most int) string {
	if s == "" {
		return ""
	}
	if len(s) > 8*most {
		s = s[:8*most]
	}
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, " ")), " ")
	s = strings.ReplaceAll(plain.Text(s), "\ufffd", "")
	if len(s) > most {
		for most > 0 && !utf8.RuneStart(s[most]) {
			most--
		}
		s = s[:most]
	}
	return strings.Join(strings.Fields(s), " ")
}

// maxPublicWords is how many bytes of the first words are told to others.
const maxPublicWords = 200

// Public returns what may be told of something that everybody may fetch: not when a photo was taken and by which camera, which say something of the person; and not
// the kind, which a publication says itself.
func (f Facts) Public() Facts {
	if f.Taken != "" {
		f.Year = 0
	}
	f.Kind, f.Taken, f.Camera = "", "", ""
	f.Words = tidy(f.Words, maxPublicWords)
	return f
}

// Text returns what of f is looked for by words.
func (f Facts) Text() string {
	year := ""
	if f.Year > 0 {
		year = fmt.Sprint(f.Year)
	}
	return strings.Join(strings.Fields(strings.Join([]string{f.Title, f.Artist, f.Album, f.Genre, year, f.Format, f.Camera, f.Words}, " ")), " ")
}

// steps are the resolutions that people name, by their lines.
var steps = []int{240, 360, 480, 576, 720, 1080, 1440, 2160, 4320}

// Resolutions returns the steps of Resolution, the least first.
func Resolutions() []int { return slices.Clone(steps) }

// Resolution returns the step of the lines that a picture or film has: 1080 of 1920×1080, and of 1920×800 and 1080×1920 too. 0 is less than the least, or unknown.
func (f Facts) Resolution() int {
	long, short := max(f.Width, f.Height), min(f.Width, f.Height)
	lines, step := max(short, long*9/16), 0
	for _, s := range steps {
		if lines >= s-s/20 { // 1916×1078 is what was cut a little
			step = s
		}
	}
	return step
}

// String returns f on one line: "4:33 · FLAC · 1959", "1920×1080 · 1 h 52 min", "12 pages". Who made it and what it is called stands before.
func (f Facts) String() string {
	var parts []string
	add := func(s string, there bool) {
		if there {
			parts = append(parts, s)
		}
	}
	name := f.Artist
	if f.Title != "" {
		if name != "" {
			name += " – "
		}
		name += f.Title
	}
	add(name, name != "")
	add(f.Album, f.Album != "" && f.Album != f.Title)
	add(fmt.Sprintf("%d×%d", f.Width, f.Height), f.Width > 0)
	add(duration(f.Length), f.Length > 0)
	add("1 page", f.Pages == 1)
	add(fmt.Sprintf("%d pages", f.Pages), f.Pages > 1)
	add(f.Format, f.Format != "")
	add(f.Taken, f.Taken != "")
	add(fmt.Sprint(f.Year), f.Year > 0 && f.Taken == "")
	add(f.Camera, f.Camera != "")
	return strings.Join(parts, " · ")
}

// duration returns seconds as people read them: 4:33, 1 h 52 min.
func duration(n int) string {
	if n < 3600 {
		return fmt.Sprintf("%d:%02d", n/60, n%60)
	}
	n = (n + 30) / 60
	return fmt.Sprintf("%d h %d min", n/60, n%60)
}

// Plain is the format of text without any.
const Plain = "Text"

// Decide returns the kind of something: what its name says, unless the bytes are known to be another. Plain text may be many things, as may an archive (a document, a
// program): of these the name decides, if it says anything.
func (f Facts) Decide(named string) string {
	switch {
	case f.Kind == "":
		return named
	case f.Kind == "archive" && named != "other" && !f.Denies(named), f.Format == Plain && named != "other":
		return named
	}
	return f.Kind
}

// Denies reports whether what is said of a content is not what its bytes are. Sound in a film's container, and film in a picture's, is none of that.
func (f Facts) Denies(named string) bool {
	switch {
	case f.Kind == "" || f.Format == Plain || named == "" || named == "other" || named == f.Kind:
		return false
	case f.Kind == "archive":
		return named == "audio" || named == "video"
	case f.Kind == "audio", f.Kind == "image":
		return named != "video"
	case f.Kind == "video":
		return named != "audio" && named != "image"
	}
	return true
}

// Join returns what is known of a folder by its files, the largest first: what all have in common, how long they play together, and their titles as words.
func Join(files []Facts) (all Facts) {
	kind := most(files)
	first := true
	var words []string
	for _, f := range files {
		if f.Kind != kind || kind == "" {
			continue
		}
		if words = append(words, f.Title); f.Artist != all.Artist {
			words = append(words, f.Artist)
		}
		if first {
			all, first = f, false
			all.Title, all.Words, all.Camera = "", "", ""
			continue
		}
		for _, p := range []struct{ a, b *string }{{&all.Format, &f.Format}, {&all.Artist, &f.Artist}, {&all.Album, &f.Album}, {&all.Genre, &f.Genre}, {&all.Taken, &f.Taken}} {
			if *p.a != *p.b {
				*p.a = ""
			}
		}
		if f.Year != all.Year {
			all.Year = 0
		}
		if f.Length == 0 {
			all.Length = 0
		} else if all.Length > 0 {
			all.Length += f.Length
		}
		all.Pages = 0
	}
	if all.Words = strings.Join(strings.Fields(strings.Join(words, " ")), " "); kind != "" {
		all.Kind = kind
	}
	return Clean(all)
}

// most returns the kind that most files have; of as many, that of the larger ones.
func most(files []Facts) (kind string) {
	count := map[string]int{}
	for _, f := range files {
		count[f.Kind]++
	}
	for _, f := range files {
		if f.Kind != "" && (kind == "" || count[f.Kind] > count[kind]) {
			kind = f.Kind
		}
	}
	return kind
}
