package blob

import (
	"io/fs"

	"kith"
)

// Limits of a manifest, whoever made it. What is over is refused as TooLarge.
const (
	MaxEntries      = 1_000_000
	MaxManifestSize = 128 << 20 // bytes of its encoding
	MaxPath         = 4096      // bytes of a path
	MaxName         = 255       // bytes of one name in it
	MaxDepth        = 128       // names in it
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
func (e Entry) File() bool { return false }

// Single reports whether it is the manifest of a private share of one file.
func (m *Manifest) Single() bool { return false }

// BlobSize returns the bytes of the blob that Entries[i].Ref names: the file's, or those of its ciphertext.
func (m *Manifest) BlobSize(i int) int64 { return 0 }

// Size returns the bytes of all plain files, and how many there are.
func (m *Manifest) Size() (bytes int64, files int) { return 0, 0 }

// Encode returns the manifest as deterministic dag-cbor. Errors as DecodeManifest.
func (m *Manifest) Encode() ([]byte, error) { return nil, errSkeleton }

// DecodeManifest reads what Encode wrote, and nothing else: anything that could escape the folder, clash in it on some system, or be
// written in two ways is refused. Errors: Corrupt, TooLarge.
func DecodeManifest(data []byte) (*Manifest, error) { return nil, errSkeleton }

// CleanName makes of a name that a stranger chose one that a file can have on every system.
func CleanName(name string) string { return name }
