package stage

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"kith"
)

// MaxOnly is how many patterns and ranges a job may have.
const MaxOnly = 10_000

// A Selection is files of a folder. The zero selection is all of them; a file is in another one if a pattern or a range names it.
type Selection struct {
	Only   []string         // as Covers has them, or folders with all that is in them
	Select []kith.FileRange // by their places in the layout of the first Origin: as in the torrent
}

// All reports whether nothing is left out.
func (s Selection) All() bool { return len(s.Only) == 0 && len(s.Select) == 0 }

// Check refuses patterns that mean nothing.
func (s Selection) Check() error {
	if len(s.Only)+len(s.Select) > MaxOnly {
		return fmt.Errorf("more than %d patterns: %w", MaxOnly, kith.TooLarge)
	}
	for _, p := range s.Only {
		if _, err := path.Match(p, "x"); err != nil || p == "" {
			return fmt.Errorf("%q is no pattern: %w", p, kith.Invalid)
		}
	}
	return nil
}

// Has reports whether file n of a layout, or -1, with the given path is in the selection.
func (s Selection) Has(n int, file string) bool {
	return s.All() || slices.ContainsFunc(s.Only, func(p string) bool { return Covers(p, file) }) ||
		n >= 0 && slices.ContainsFunc(s.Select, func(r kith.FileRange) bool { return r.First <= n && n <= r.Last })
}

// Covers reports whether a pattern is of a file or of a folder that it is in. A pattern with a wildcard and without a slash is of names in any folder.
func Covers(pattern, file string) bool {
	pattern = strings.TrimSuffix(pattern, "/")
	if !strings.Contains(pattern, "/") && wild(pattern) {
		if ok, _ := path.Match(pattern, path.Base(file)); ok {
			return true
		}
	}
	for at := file; ; at = path.Dir(at) {
		if ok, _ := path.Match(pattern, at); ok || at == pattern {
			return true
		}
		if !strings.Contains(at, "/") {
			return false
		}
	}
}

// wild reports whether a pattern matches more than one name.
func wild(pattern string) bool {
	for i := 0; i < len(pattern); i++ {
		switch pattern[i] {
		case '\\':
			i++
		case '*', '?', '[':
			return true
		}
	}
	return false
}
