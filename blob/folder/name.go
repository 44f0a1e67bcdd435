package folder

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"kith"
)

// PartSuffix ends the name of a file or folder that is still being downloaded. No entry may have it.
const PartSuffix = ".kith-part"

// reserved are the names of Windows devices (with any extension), as Microsoft's "Naming Files, Paths, and Namespaces" lists them.
var reserved = map[string]bool{
	"con": true, "prn": true, "aux": true, "nul": true, "conin$": true, "conout$": true,
	"com0": true, "com1": true, "com2": true, "com3": true, "com4": true, "com5": true, "com6": true, "com7": true, "com8": true, "com9": true,
	"lpt0": true, "lpt1": true, "lpt2": true, "lpt3": true, "lpt4": true, "lpt5": true, "lpt6": true, "lpt7": true, "lpt8": true, "lpt9": true,
	"com¹": true, "com²": true, "com³": true, "lpt¹": true, "lpt²": true, "lpt³": true,
}

// CheckPath refuses a path that is not relative, slash-separated, and possible on every system.
func CheckPath(path string) error {
	if len(path) > MaxPath {
		return fmt.Errorf("path of %d bytes, at most %d: %w", len(path), MaxPath, kith.TooLarge)
	}
	depth := 0
	for name := range strings.SplitSeq(path, "/") {
		if depth++; depth > MaxDepth {
			return fmt.Errorf("more than %d folders deep: %w", MaxDepth, kith.TooLarge)
		}
		if err := checkName(name); err != nil {
			return err
		}
	}
	return nil
}

// checkName refuses what cannot be the name of a file on every system, or would be shown as something that it is not.
func checkName(name string) error {
	switch {
	case name == "" || name == "." || name == "..":
		return fmt.Errorf("the name %q leaves its folder: %w", name, kith.Corrupt)
	case len(name) > MaxName:
		return fmt.Errorf("a name of %d bytes, at most %d: %w", len(name), MaxName, kith.TooLarge)
	case !utf8.ValidString(name):
		return fmt.Errorf("a name that is not UTF-8: %w", kith.Corrupt)
	case strings.HasSuffix(strings.ToLower(name), PartSuffix):
		return fmt.Errorf("the name %q is that of an unfinished download: %w", name, kith.Corrupt)
	case strings.HasSuffix(name, ".") || strings.HasSuffix(name, " "):
		return fmt.Errorf("the name %q ends with a dot or space, which Windows cannot have: %w", name, kith.Corrupt)
	}
	for _, r := range name {
		if badRune(r) {
			return fmt.Errorf("a name with %U, which other systems cannot have: %w", r, kith.Corrupt)
		}
	}
	if isReserved(name) {
		return fmt.Errorf("the name %q is that of a device on Windows: %w", name, kith.Corrupt)
	}
	return nil
}

// badRune reports control characters, what Windows forbids, and what turns the direction of text around and so hides an extension.
func badRune(r rune) bool {
	return unicode.IsControl(r) || strings.ContainsRune(`<>:"/\|?*`, r) || unicode.Is(unicode.Bidi_Control, r) ||
		r == '\u2028' || r == '\u2029'
}

func isReserved(name string) bool {
	stem, _, _ := strings.Cut(name, ".")
	return reserved[strings.ToLower(strings.TrimRight(stem, " "))]
}

// SealedName returns what the ciphertext of entry i of a private share is called where it is served to networks that know files by names; for -1 that of its manifest.
func SealedName(i int) string { return fmt.Sprintf("%07d", i+1) }

// CleanName makes of a name that a stranger chose one that a file can have on every system.
func CleanName(name string) string {
	name = strings.Map(func(r rune) rune {
		if badRune(r) || r == utf8.RuneError {
			return '_'
		}
		return r
	}, strings.ToValidUTF8(name, "_"))
	for len(name) > MaxName-len(PartSuffix)-8 { // room for a number and a suffix
		_, size := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-size]
	}
	if name = strings.TrimRight(name, ". "); isReserved(name) || strings.HasSuffix(strings.ToLower(name), PartSuffix) {
		name = "_" + strings.TrimSuffix(name, PartSuffix)
	}
	if checkName(name) != nil {
		return "unnamed"
	}
	return name
}

// Names finds paths that would be one and the same on a system that ignores case or the form of accents, and files that would have to be
// folders too.
type Names struct {
	fold  cases.Caser
	taken map[string]kindOfName
	under map[string]string // folder as spelled, by folded name: it may be spelled one way only
}

type kindOfName bool

const (
	isFolder kindOfName = false
	isLeaf   kindOfName = true
)

// NewNames returns Names that are all free.
func NewNames() *Names {
	return &Names{fold: cases.Fold(), taken: map[string]kindOfName{}, under: map[string]string{}}
}

func (n *Names) key(path string) string {
	for i := range len(path) {
		if path[i] >= utf8.RuneSelf {
			return norm.NFC.String(n.fold.String(norm.NFD.String(path)))
		}
	}
	return strings.ToLower(path)
}

// Spell returns a path with the folders above it spelled as they were when they were added.
func (n *Names) Spell(path string) string {
	for end := strings.LastIndexByte(path, '/'); end > 0; end = strings.LastIndexByte(path[:end], '/') {
		if spelled, ok := n.under[n.key(path[:end])]; ok {
			return spelled + path[end:]
		}
	}
	return path
}

// Add takes a path. Paths come in any order.
func (n *Names) Add(path string) error {
	key := n.key(path)
	if _, ok := n.taken[key]; ok {
		return fmt.Errorf("on some systems another entry has the same name: %w", kith.Corrupt)
	}
	n.taken[key] = isLeaf
	for end := strings.LastIndexByte(path, '/'); end > 0; end = strings.LastIndexByte(path[:end], '/') {
		dir := path[:end]
		folded := n.key(dir)
		if spelled, ok := n.under[folded]; ok {
			if spelled != dir {
				return fmt.Errorf("on some systems the folder %q is also %q: %w", dir, spelled, kith.Corrupt)
			}
			return nil // and so are the folders above it
		}
		if n.taken[folded] == isLeaf {
			return fmt.Errorf("%q is a file too: %w", dir, kith.Corrupt)
		}
		n.taken[folded], n.under[folded] = isFolder, dir
	}
	return nil
}
