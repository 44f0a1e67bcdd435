// Package folder says what a folder consists of: the manifest that its Ref names, in deterministic CBOR (dag-cbor), and the names that
// are good on every system.
//
// It touches no disk. Its one idea: a manifest from a stranger is checked whole when it is decoded, so that nobody who has one need ask
// again whether a path is safe.
package folder

import (
	"bytes"
	"cmp"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/fxamacker/cbor/v2"
	"github.com/ipfs/go-cid"

	"kith"
)

// Limits of a manifest, whoever made it. What is over is refused as TooLarge.
const (
	MaxEntries = 1_000_000
	MaxEncoded = 128 << 20 // bytes of its encoding
	MaxSize    = 1 << 44   // bytes of its files in all, 16 TiB
	MaxPath    = 4096      // bytes of a path
	MaxName    = 255       // bytes of one name in it
	MaxDepth   = 128       // names in it
)

// A Manifest is what a folder consists of: its files, links and empty folders, sorted by the bytes of their paths.
type Manifest struct {
	Name    string // what the folder is called: only in a private share, whose link does not tell; "" there if it is a single file
	Entries []Entry
	Sealed  bool // it is of a private share: every Ref names ciphertext. Not in the encoding
}

// An Entry is a file, a link, or an empty folder.
type Entry struct {
	Path string      // slash-separated, relative, valid on every system
	Ref  kith.Ref    // what is in the file: raw; zero for a link or folder
	Size int64       // bytes of the plain file
	Mode fs.FileMode // permission bits; fs.ModeDir: an empty folder; fs.ModeSymlink: a link
	Link string      // where a link points: relative, and within the tree
}

// File reports whether the entry is a file.
func (e Entry) File() bool { return e.Mode.IsRegular() }

// Single reports whether it is the manifest of a private share of one file.
func (m *Manifest) Single() bool {
	return m.Sealed && m.Name == "" && len(m.Entries) == 1 && m.Entries[0].File()
}

// Every blob of a private share is an age file with one X25519 stanza, whose header always has the same length.
const (
	sealedHeader  = 168 + 16 // bytes before the first segment
	sealedSegment = 64 << 10 // bytes of plaintext that become one segment
	sealedTag     = 16       // bytes that each segment is longer
)

// BlobSize returns the bytes of the blob that Entries[i].Ref names: the file's, or those of its ciphertext.
func (m *Manifest) BlobSize(i int) int64 {
	size := m.Entries[i].Size
	if !m.Sealed {
		return size
	}
	return sealedHeader + size + max(1, (size+sealedSegment-1)/sealedSegment)*sealedTag
}

// Size returns the bytes of all plain files, and how many there are.
func (m *Manifest) Size() (bytes int64, files int) {
	for _, e := range m.Entries {
		if e.File() {
			bytes += e.Size
			files++
		}
	}
	return bytes, files
}

// What is encoded: maps with keys in the order of deterministic CBOR, links to blobs as dag-cbor has them.
type (
	manifestWire struct {
		Kith    int         `cbor:"kith"` // version of the format
		Name    string      `cbor:"name,omitempty"`
		Entries []entryWire `cbor:"entries"`
	}
	entryWire struct {
		Ref  *link  `cbor:"ref,omitempty"`
		Dir  bool   `cbor:"dir,omitempty"`
		Link string `cbor:"link,omitempty"`
		Mode uint32 `cbor:"mode"`
		Path string `cbor:"path"`
		Size int64  `cbor:"size,omitempty"`
	}
)

const manifestVersion = 1

// A link is a CID in dag-cbor: tag 42 of a zero byte and the CID's bytes.
type link kith.Ref

const (
	linkTag  = 42
	linkHead = "\xd8\x2a\x58\x25\x00" // tag 42, 37 bytes, the zero byte
)

// MarshalCBOR implements cbor.Marshaler.
func (l link) MarshalCBOR() ([]byte, error) {
	return append([]byte(linkHead), kith.Ref(l).CID().Bytes()...), nil
}

// UnmarshalCBOR implements cbor.Unmarshaler.
func (l *link) UnmarshalCBOR(data []byte) error {
	rest, ok := bytes.CutPrefix(data, []byte(linkHead))
	if !ok {
		return fmt.Errorf("ref is no link: %w", kith.Corrupt)
	}
	c, err := cid.Cast(rest)
	if err != nil {
		return fmt.Errorf("ref: %w", kith.Corrupt)
	}
	r, err := kith.RefOfCID(c)
	if err == nil {
		*l = link(r)
	}
	return err
}

var (
	encodeMode = must(cbor.CoreDetEncOptions().EncMode())
	decodeMode = must(cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden, ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		MaxArrayElements: MaxEntries, MaxMapPairs: 16, MaxNestedLevels: 8,
	}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // options that are constant
	}
	return v
}

// Encode returns the manifest as deterministic dag-cbor. Entries that are not sorted yet are sorted. Errors as Decode.
func (m *Manifest) Encode() ([]byte, error) {
	slices.SortFunc(m.Entries, func(a, b Entry) int { return cmp.Compare(a.Path, b.Path) })
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("folder: encode manifest: %w", err)
	}
	data, err := m.encode()
	if err != nil {
		return nil, fmt.Errorf("folder: encode manifest: %w", err)
	}
	if len(data) > MaxEncoded {
		return nil, fmt.Errorf("folder: encode manifest: %d bytes: %w", len(data), kith.TooLarge)
	}
	return data, nil
}

func (m *Manifest) encode() ([]byte, error) {
	w := manifestWire{Kith: manifestVersion, Name: m.Name, Entries: make([]entryWire, len(m.Entries))}
	for i, e := range m.Entries {
		w.Entries[i] = entryWire{Path: e.Path, Mode: uint32(e.Mode.Perm()), Link: e.Link, Dir: e.Mode.IsDir(), Size: e.Size}
		if e.File() {
			ref := link(e.Ref)
			w.Entries[i].Ref = &ref
		}
	}
	return encodeMode.Marshal(w)
}

// Decode reads what Encode wrote, and nothing else: anything that could escape the folder, clash in it on some system, or be
// written in two ways is refused. Errors: Corrupt, TooLarge.
func Decode(data []byte) (*Manifest, error) {
	m, err := decode(data)
	if err != nil {
		return nil, fmt.Errorf("folder: decode manifest: %w", err)
	}
	return m, nil
}

func decode(data []byte) (*Manifest, error) {
	if len(data) > MaxEncoded {
		return nil, fmt.Errorf("%d bytes, at most %d: %w", len(data), MaxEncoded, kith.TooLarge)
	}
	var w manifestWire
	if err := decodeMode.Unmarshal(data, &w); err != nil {
		return nil, fmt.Errorf("%w: %w", err, kith.Corrupt)
	}
	if w.Kith != manifestVersion {
		return nil, fmt.Errorf("version %d, want %d: %w", w.Kith, manifestVersion, kith.Corrupt)
	}
	m := &Manifest{Name: w.Name, Entries: make([]Entry, len(w.Entries))}
	for i, e := range w.Entries {
		entry := Entry{Path: e.Path, Size: e.Size, Link: e.Link, Mode: fs.FileMode(e.Mode)}
		if e.Mode > uint32(fs.ModePerm) {
			return nil, fmt.Errorf("%q: mode %o is more than permissions: %w", e.Path, e.Mode, kith.Corrupt)
		}
		if e.Dir {
			entry.Mode |= fs.ModeDir
		}
		if e.Link != "" {
			entry.Mode |= fs.ModeSymlink
		}
		if e.Ref != nil {
			entry.Ref = kith.Ref(*e.Ref)
		}
		m.Entries[i] = entry
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	// One manifest, one name: the encoding must be the one that Encode makes.
	if again, err := m.encode(); err != nil || !bytes.Equal(again, data) {
		return nil, fmt.Errorf("its encoding is not the deterministic one: %w", kith.Corrupt)
	}
	return m, nil
}

// check is the law that every manifest keeps, whether made here or by somebody else.
func (m *Manifest) check() error {
	if len(m.Entries) > MaxEntries {
		return fmt.Errorf("%d entries, at most %d: %w", len(m.Entries), MaxEntries, kith.TooLarge)
	}
	if m.Name != "" {
		if err := checkName(m.Name); err != nil {
			return fmt.Errorf("name %q: %w", m.Name, err)
		}
	}
	names := NewNames()
	var total int64
	for i, e := range m.Entries {
		if i > 0 && e.Path <= m.Entries[i-1].Path {
			return fmt.Errorf("%q comes after %q: %w", e.Path, m.Entries[i-1].Path, kith.Corrupt)
		}
		if err := e.check(); err != nil {
			return fmt.Errorf("%q: %w", e.Path, err)
		}
		if err := names.Add(e.Path); err != nil {
			return fmt.Errorf("%q: %w", e.Path, err)
		}
		if e.Size > MaxSize-total {
			return fmt.Errorf("more than %d bytes in all: %w", int64(MaxSize), kith.TooLarge)
		}
		total += e.Size
	}
	return nil
}

func (e Entry) check() error {
	if err := CheckPath(e.Path); err != nil {
		return err
	}
	if e.Size < 0 {
		return fmt.Errorf("size %d: %w", e.Size, kith.Corrupt)
	}
	switch e.Mode.Type() {
	case 0:
		if e.Ref.IsZero() || e.Ref.Codec != kith.Raw || e.Link != "" {
			return fmt.Errorf("a file needs a raw ref and no link: %w", kith.Corrupt)
		}
	case fs.ModeDir, fs.ModeSymlink:
		if !e.Ref.IsZero() || e.Size != 0 || (e.Link != "") != (e.Mode.Type() == fs.ModeSymlink) {
			return fmt.Errorf("a link or folder with a ref or size: %w", kith.Corrupt)
		}
	default:
		return fmt.Errorf("it is %v: %w", e.Mode, kith.Corrupt)
	}
	if e.Link != "" {
		return CheckLink(e.Path, e.Link)
	}
	return nil
}

// CheckLink refuses a link that leaves the tree, by itself or by way of another link: it may go up only at its beginning, where
// its place is known, and no further than to the top.
func CheckLink(at, target string) error {
	if len(target) > MaxPath {
		return fmt.Errorf("link of %d bytes: %w", len(target), kith.TooLarge)
	}
	if strings.HasPrefix(target, "/") {
		return fmt.Errorf("link to %q leaves the folder: %w", target, kith.Corrupt)
	}
	up, down := 0, false
	for _, name := range strings.Split(target, "/") {
		switch {
		case name == ".." && !down:
			up++
		case name == "." && !down && up == 0 && target == ".":
		default:
			if err := checkName(name); err != nil {
				return fmt.Errorf("link to %q: %w", target, err)
			}
			down = true
		}
	}
	if up > strings.Count(at, "/") {
		return fmt.Errorf("link to %q leaves the folder: %w", target, kith.Corrupt)
	}
	return nil
}
