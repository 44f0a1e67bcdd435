// Package metainfo makes the metadata of torrents (BEP 3, BEP 47, BEP 52) from digests of files, and reads those that others made.
//
// It reads no file and speaks to nobody. Its one idea: what a stranger's torrent says is checked whole when it is read, names, sizes, the two versions against each other, so
// that nobody who has an Info need ask again; and what Kith makes depends on the content and its names alone, so that every node that shares it makes the same torrent.
package metainfo

import (
	"crypto/sha1"
	"crypto/sha256"
	"fmt"
	"path"
	"slices"
	"strings"

	"kith"
	"kith/blob/folder"
)

// Limits of a torrent, whoever made it. What is over is refused as TooLarge.
const (
	MaxTorrent  = 64 << 20  // bytes of a .torrent file
	MaxInfo     = 32 << 20  // bytes of its info dictionary, which is what peers give to each other
	MaxFiles    = 250_000   // files, with those that only pad
	MaxPieces   = 2_000_000 // pieces
	MaxPiece    = 64 << 20  // bytes of a piece: it is held in memory until it is whole
	MinPiece    = 1 << 10   // bytes of a piece
	maxTrackers = 256       // trackers, web seeds and nodes, of each
	maxURL      = 4096      // bytes of one
)

// An Info is what a torrent consists of.
type Info struct {
	Raw         []byte // the info dictionary as it is hashed
	HasV1       bool
	HasV2       bool
	V1          kith.InfoHash     // SHA-1 of Raw; zero if it has no version 1
	V2          [sha256.Size]byte // SHA-256 of Raw; zero if it has no version 2
	Name        string            // as it stands in the torrent
	Folder      bool
	Private     bool   // trackers alone may tell of peers (BEP 27)
	PieceLength int64  // bytes
	Pieces      []byte // version 1: SHA-1 of each piece
	Files       []File // in the order of the pieces, without those that only pad
	Length      int64  // bytes of all pieces together, with what pads
}

// A File is one file of a torrent.
type File struct {
	Path string // with slashes, clean on every system; of a single file its name
	Raw  string // as it stands in the torrent, with slashes
	Size int64
	Off  int64 // where it begins among the pieces
	Exec bool
	Link string            // target of a symbolic link, relative to where it is
	Root [sha256.Size]byte // version 2: root of its tree
}

// NumPieces returns how many pieces there are.
func (in *Info) NumPieces() int { return int((in.Length + in.PieceLength - 1) / in.PieceLength) }

// Aligned reports whether every file begins at a piece.
func (in *Info) Aligned() bool {
	return in.HasV2 || !slices.ContainsFunc(in.Files, func(f File) bool { return f.Size > 0 && f.Off%in.PieceLength != 0 })
}

// Size returns the bytes of all files.
func (in *Info) Size() (n int64) {
	for _, f := range in.Files {
		n += f.Size
	}
	return n
}

// Parse reads an info dictionary. Its errors are Invalid, TooLarge, or Corrupt, and say what is wrong where.
func Parse(raw []byte) (*Info, error) {
	in, err := parse(raw)
	if err != nil {
		return nil, fmt.Errorf("metainfo: read torrent: %w", err)
	}
	return in, nil
}

func parse(raw []byte) (*Info, error) {
	if len(raw) > MaxInfo {
		return nil, fmt.Errorf("its info has %d bytes, at most %d: %w", len(raw), MaxInfo, kith.TooLarge)
	}
	v, err := decode(raw)
	if err != nil {
		return nil, err
	}
	d, ok := v.(dict)
	if !ok {
		return nil, fmt.Errorf("its info is no dictionary: %w", kith.Invalid)
	}
	return fromDict(d, raw)
}

func fromDict(d dict, raw []byte) (*Info, error) {
	in := &Info{Raw: raw}
	r := reader{d: d}
	version, hasVersion := r.number("meta version")
	if hasVersion && version != 1 && version != 2 {
		return nil, fmt.Errorf("its version is %d; Kith knows 1 and 2: %w", version, kith.Invalid)
	}
	in.PieceLength, _ = r.number("piece length")
	in.Name = r.bestText("name")
	private, _ := r.number("private")
	in.Private = private == 1
	if r.err != nil {
		return nil, r.err
	}
	in.HasV2 = version == 2
	in.HasV1 = d.get("pieces") != nil || d.get("files") != nil || d.get("length") != nil || version != 2
	if err := in.checkPiece(); err != nil {
		return nil, err
	}
	if in.Name == "" || in.Name == "." || in.Name == ".." || strings.ContainsAny(in.Name, "/\x00") {
		return nil, fmt.Errorf("its name %.80q is none that a file can have: %w", in.Name, kith.Corrupt)
	}
	var v1, v2 []File
	var err error
	if in.HasV1 {
		in.V1 = sha1.Sum(raw)
		if v1, err = in.readV1(d); err != nil {
			return nil, err
		}
		in.Files = v1
	}
	if in.HasV2 {
		in.V2 = sha256.Sum256(raw)
		if v2, err = in.readV2(d); err != nil {
			return nil, err
		}
		if in.HasV1 {
			err = in.compare(v1, v2)
		}
		in.Files = v2
	}
	if err != nil {
		return nil, err
	}
	return in, in.settle()
}

func (in *Info) checkPiece() error {
	n := in.PieceLength
	switch {
	case n <= 0:
		return fmt.Errorf("its pieces have %d bytes, which cannot be: %w", n, kith.Invalid)
	case n > MaxPiece:
		return fmt.Errorf("its pieces have %d bytes, at most %d: %w", n, MaxPiece, kith.TooLarge)
	case n < MinPiece:
		return fmt.Errorf("its pieces have %d bytes, at least %d: %w", n, MinPiece, kith.Invalid)
	case in.HasV2 && (n < Block || n&(n-1) != 0):
		return fmt.Errorf("its pieces have %d bytes; in version 2 it must be a power of two, and at least %d: %w", n, Block, kith.Invalid)
	}
	return nil
}

// readV1 reads the files of version 1.
func (in *Info) readV1(d dict) ([]File, error) {
	pieces, ok := d.get("pieces").(text)
	if !ok || len(pieces)%sha1.Size != 0 {
		return nil, fmt.Errorf("its pieces of version 1 are no row of SHA-1 digests: %w", kith.Invalid)
	}
	in.Pieces = pieces
	length, single := d.get("length").(int64)
	entries, multi := d.get("files").(list)
	if single == multi {
		return nil, fmt.Errorf("version 1 needs either a length or a list of files: %w", kith.Invalid)
	}
	var files []File
	if single {
		files, in.Length = []File{{Raw: in.Name, Size: length}}, length
		if length < 0 || length > folder.MaxSize {
			return nil, fmt.Errorf("its length of %d bytes cannot be: %w", length, kith.Invalid)
		}
	} else {
		in.Folder = true
		if len(entries) > MaxFiles {
			return nil, fmt.Errorf("it has %d files, at most %d: %w", len(entries), MaxFiles, kith.TooLarge)
		}
		for i, e := range entries {
			f, pad, err := readEntry(e)
			if err != nil {
				return nil, fmt.Errorf("file %d: %w", i+1, err)
			}
			f.Off = in.Length
			if in.Length += f.Size; in.Length > folder.MaxSize {
				return nil, fmt.Errorf("its files are more than %d bytes together: %w", int64(folder.MaxSize), kith.TooLarge)
			}
			if !pad {
				files = append(files, f)
			}
		}
	}
	want := (in.Length + in.PieceLength - 1) / in.PieceLength
	if want > MaxPieces {
		return nil, fmt.Errorf("it has %d pieces, at most %d: %w", want, MaxPieces, kith.TooLarge)
	}
	if int64(len(pieces)/sha1.Size) != want {
		return nil, fmt.Errorf("it has %d digests of version 1 for %d pieces: %w", len(pieces)/sha1.Size, want, kith.Corrupt)
	}
	return files, nil
}

// readEntry reads an entry of the list of files of version 1.
func readEntry(v value) (f File, pad bool, err error) {
	d, ok := v.(dict)
	if !ok {
		return f, false, fmt.Errorf("it is no dictionary: %w", kith.Invalid)
	}
	r := reader{d: d}
	f.Size, _ = r.number("length")
	if f.Size < 0 || f.Size > folder.MaxSize {
		return f, false, fmt.Errorf("its length of %d bytes cannot be: %w", f.Size, kith.Invalid)
	}
	names := r.texts("path.utf-8")
	if names == nil {
		names = r.texts("path")
	}
	attr, _ := d.get("attr").(text)
	if r.err != nil {
		return f, false, r.err
	}
	if strings.ContainsRune(string(attr), 'p') { // what it is called is of no interest
		return f, true, nil
	}
	if f.Raw, err = join(names); err != nil {
		return f, false, err
	}
	err = f.attributes(string(attr), &r)
	return f, false, err
}

// attributes reads what BEP 47 says of a file.
func (f *File) attributes(attr string, r *reader) error {
	f.Exec = strings.ContainsRune(attr, 'x')
	if !strings.ContainsRune(attr, 'l') {
		return nil
	}
	to := r.texts("symlink path")
	if r.err != nil {
		return r.err
	}
	target, err := join(to)
	if err != nil {
		return fmt.Errorf("%.80q is a link to %.80q, which leaves the torrent: %w", f.Raw, strings.Join(to, "/"), kith.Corrupt)
	}
	if f.Size != 0 {
		return fmt.Errorf("%.80q is a link, and has %d bytes: %w", f.Raw, f.Size, kith.Invalid)
	}
	f.Link = relative(path.Dir(f.Raw), target)
	return nil
}

// relative returns the way from a folder to a path, both of the torrent.
func relative(from, to string) string {
	var up []string
	for from != "." && from != to && !strings.HasPrefix(to, from+"/") {
		from, up = path.Dir(from), append(up, "..")
	}
	switch {
	case from == to && from != ".":
		return path.Join(append(append(up, ".."), path.Base(to))...)
	case from != ".":
		to = to[len(from)+1:]
	}
	return path.Join(append(up, to)...)
}

// join makes one path of its names, and refuses those that leave the torrent.
func join(names []string) (string, error) {
	if len(names) == 0 {
		return "", fmt.Errorf("it has no path: %w", kith.Invalid)
	}
	if len(names) > folder.MaxDepth {
		return "", fmt.Errorf("its path is %d folders deep, at most %d: %w", len(names), folder.MaxDepth, kith.TooLarge)
	}
	for _, n := range names {
		if n == "" || n == "." || n == ".." || strings.ContainsAny(n, "/\x00") {
			return "", fmt.Errorf("its path %.80q leaves the torrent: %w", strings.Join(names, "/"), kith.Corrupt)
		}
	}
	return strings.Join(names, "/"), nil
}

// readV2 reads the tree of files of version 2.
func (in *Info) readV2(d dict) ([]File, error) {
	tree, ok := d.get("file tree").(dict)
	if !ok || len(tree) == 0 {
		return nil, fmt.Errorf("version 2 needs a tree of files: %w", kith.Invalid)
	}
	w := walker{in: in}
	if err := w.walk(tree, nil); err != nil {
		return nil, err
	}
	single := len(w.files) == 1 && w.files[0].Raw == in.Name
	switch {
	case !in.HasV1:
		in.Folder, in.Length = !single, w.end
	case !in.Folder && !single:
		return nil, fmt.Errorf("version 1 is a single file, and version 2 has %d: %w", len(w.files), kith.Corrupt)
	}
	return w.files, nil
}

// A walker collects the files of a tree.
type walker struct {
	in     *Info
	files  []File
	off    int64 // where the next file begins
	end    int64 // of the last one
	pieces int64
}

func (w *walker) walk(d dict, names []string) error {
	if !slices.IsSortedFunc(d, func(a, b pair) int { return strings.Compare(a.key, b.key) }) {
		return fmt.Errorf("its tree of files is not sorted at %.80q: %w", strings.Join(names, "/"), kith.Invalid)
	}
	for _, p := range d {
		below, ok := p.value.(dict)
		if !ok {
			return fmt.Errorf("%.80q in its tree of files is no dictionary: %w", strings.Join(append(names, p.key), "/"), kith.Invalid)
		}
		if p.key == "" {
			if len(d) != 1 || len(names) == 0 {
				return fmt.Errorf("%.80q is a file and a folder: %w", strings.Join(names, "/"), kith.Invalid)
			}
			return w.leaf(below, names)
		}
		if len(below) == 0 {
			return fmt.Errorf("%.80q in its tree of files is empty: %w", strings.Join(append(names, p.key), "/"), kith.Invalid)
		}
		if err := w.walk(below, append(names, p.key)); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) leaf(d dict, names []string) error {
	raw, err := join(names)
	if err != nil {
		return err
	}
	r := reader{d: d}
	f := File{Raw: raw, Off: w.off}
	f.Size, _ = r.number("length")
	attr, _ := d.get("attr").(text)
	root, _ := d.get("pieces root").(text)
	switch {
	case r.err != nil:
		return r.err
	case f.Size < 0 || f.Size > folder.MaxSize:
		return fmt.Errorf("the length of %.80q, %d bytes, cannot be: %w", raw, f.Size, kith.Invalid)
	case f.Size > 0 && len(root) != sha256.Size:
		return fmt.Errorf("%.80q has no digest of version 2: %w", raw, kith.Invalid)
	case f.Size == 0 && root != nil:
		return fmt.Errorf("%.80q is empty, and has a digest: %w", raw, kith.Invalid)
	case len(w.files) >= MaxFiles:
		return fmt.Errorf("it has more than %d files: %w", MaxFiles, kith.TooLarge)
	}
	copy(f.Root[:], root)
	if err := f.attributes(string(attr), &r); err != nil {
		return err
	}
	piece := w.in.PieceLength
	n := (f.Size + piece - 1) / piece
	if w.pieces += n; w.pieces > MaxPieces {
		return fmt.Errorf("it has more than %d pieces: %w", MaxPieces, kith.TooLarge)
	}
	if f.Size > 0 {
		w.end = w.off + f.Size
	}
	if w.off += n * piece; w.off > folder.MaxSize {
		return fmt.Errorf("its files are more than %d bytes together: %w", int64(folder.MaxSize), kith.TooLarge)
	}
	w.files = append(w.files, f)
	return nil
}

// compare refuses a hybrid whose two versions are of different files (BEP 52, "upgrade path").
func (in *Info) compare(v1, v2 []File) error {
	if len(v1) != len(v2) {
		return fmt.Errorf("version 1 has %d files and version 2 has %d: they are different content: %w", len(v1), len(v2), kith.Corrupt)
	}
	for i, a := range v1 {
		switch b := v2[i]; {
		case a.Raw != b.Raw:
			return fmt.Errorf("file %d is %.80q in version 1 and %.80q in version 2: they are different content: %w", i+1, a.Raw, b.Raw, kith.Corrupt)
		case a.Size != b.Size:
			return fmt.Errorf("%.80q has %d bytes in version 1 and %d in version 2: they are different content: %w", a.Raw, a.Size, b.Size, kith.Corrupt)
		case a.Link != b.Link:
			return fmt.Errorf("%.80q is a link to %.80q in version 1 and to %.80q in version 2: they are different content: %w", a.Raw, a.Link, b.Link, kith.Corrupt)
		case a.Size > 0 && a.Off != b.Off:
			return fmt.Errorf("%.80q begins at byte %d in version 1 and at %d in version 2, where its piece begins: %w", a.Raw, a.Off, b.Off, kith.Corrupt)
		}
		v2[i].Exec = a.Exec || v2[i].Exec
	}
	return nil
}

// settle gives every file a path that it can have everywhere, and checks where links lead.
func (in *Info) settle() error {
	if len(in.Files) == 0 {
		return fmt.Errorf("it has no files: %w", kith.Invalid)
	}
	names := folder.NewNames()
	for i := range in.Files {
		f := &in.Files[i]
		clean := make([]string, 0, 8)
		for n := range strings.SplitSeq(f.Raw, "/") {
			clean = append(clean, folder.CleanName(n))
		}
		f.Path = names.Spell(strings.Join(clean, "/")) // folders that are one on some systems are one everywhere
		dir, last := path.Split(f.Path)
		for n := 2; names.Add(f.Path) != nil; n++ {
			if n > maxAlike {
				return fmt.Errorf("%.80q cannot be beside a file or folder of nearly the same name: %w", f.Raw, kith.Corrupt)
			}
			ext := path.Ext(last)
			f.Path = dir + fmt.Sprintf("%s (%d)%s", strings.TrimSuffix(last, ext), n, ext)
		}
		if err := folder.CheckPath(f.Path); err != nil {
			return fmt.Errorf("%.80q: %w", f.Raw, err)
		}
		if f.Link != "" {
			if err := folder.CheckLink(f.Path, f.Link); err != nil {
				return fmt.Errorf("%.80q: %w", f.Raw, err)
			}
		}
	}
	return nil
}

const maxAlike = 100 // files whose names are the same on some systems

// A reader takes values of a dictionary, and keeps the first thing that is wrong.
type reader struct {
	d   dict
	err error
}

func (r *reader) wrong(key, want string) {
	if r.err == nil {
		r.err = fmt.Errorf("%q is no %s: %w", key, want, kith.Invalid)
	}
}

func (r *reader) number(key string) (int64, bool) {
	v := r.d.get(key)
	n, ok := v.(int64)
	if v != nil && !ok {
		r.wrong(key, "number")
	}
	return n, ok
}

// bestText returns a string, in UTF-8 if it is there in it.
func (r *reader) bestText(key string) string {
	for _, k := range []string{key + ".utf-8", key} {
		switch v := r.d.get(k).(type) {
		case text:
			return string(v)
		case nil:
		default:
			r.wrong(k, "string")
		}
	}
	return ""
}

// texts returns a list of strings, nil if it is not there.
func (r *reader) texts(key string) []string {
	v := r.d.get(key)
	if v == nil {
		return nil
	}
	l, ok := v.(list)
	out := make([]string, 0, len(l))
	for _, e := range l {
		t, isText := e.(text)
		ok = ok && isText
		out = append(out, string(t))
	}
	if !ok {
		r.wrong(key, "list of strings")
	}
	return out
}
