// Package blob keeps content: bytes once, under the digest that everybody calls them by.
//
// It is for whole files and folders that are shared where they are, for downloads that come group by group and survive being
// killed, and for small objects of Kith's own. It is no network: it asks nobody for anything. Its one idea: nothing leaves it, and nothing
// counts as here, that was not checked against its BLAKE3 tree at that moment; so a file that its owner changed is never served
// wrong, and a file that Kith did not download is never written to nor deleted.
package blob

import (
	"context"
	"fmt"
	"iter"
	"log/slog"

	"kith"
	"kith/blob/seal"
)

// Limits of what is kept.
const (
	MaxSize = 1 << 44 // bytes of one blob, 16 TiB: a have-map is held in memory
)

// PartSuffix ends the name of a file or folder that is still being downloaded.
const PartSuffix = ".kith-part"

// Options says where a Store is and how much it may keep.
type Options struct {
	Dir   string // its folder; it is made if missing
	Quota int64  // bytes that Kith may keep itself; 0: no limit. Files shared in place and downloads to a path do not count
	Log   *slog.Logger
}

// A Store keeps content in one folder and remembers content elsewhere. All methods may be called at once.
type Store struct{}

// Open opens the store in o.Dir. One process at a time may have it open; that is for the caller to see to.
func Open(ctx context.Context, o Options) (*Store, error) { return nil, errSkeleton }

// Close saves the state of what is being downloaded. Blobs that are still open fail from then on.
func (s *Store) Close() error { return errSkeleton }

// Notes returns what a person should know since Open: a database that was set aside.
func (s *Store) Notes() []string { return nil }

// ImportOptions says how to share a file or folder.
type ImportOptions struct {
	Key      *seal.Key                            // nil: as it is; otherwise all that leaves is encrypted for it
	Progress func(file string, done, total int64) // bytes read; called often, from one goroutine at a time; total grows while folders are walked
}

// A Tree is a file or folder that is shared, or being or been downloaded, as a whole.
type Tree struct {
	Root  kith.Ref
	Name  string
	Size  int64  // bytes of its plain files
	Files int    // files, without folders and links
	Path  string // where it is, or will be

	Folder   bool
	Private  bool
	Download bool // Kith fetched it; otherwise it was here before
	Complete bool
	Gone     bool // at least one of its files was changed or removed by its owner
	Pinned   bool

	Skipped   int    // by Import: how many things inside the folder were left out
	SkipNotes []Skip // the first MaxSkips of them
}

// A Skip is something inside a shared folder that was left out.
type Skip struct{ Path, Why string }

// MaxSkips is how many things that were left out are named.
const MaxSkips = 100

// Import shares the file or folder at path where it is; nothing is copied. What has not changed since it was last read is not read again.
// Inside a folder, what is no file, folder or link, cannot be read, or has a name that other systems cannot have is left out
// and named in Skips. The tree is pinned. Errors: NotFound, Denied, Invalid (a device, a socket), Unavailable (a file that changes
// all the time; over quota). If ctx ends, nothing stays behind.
func (s *Store) Import(ctx context.Context, path string, o ImportOptions) (Tree, error) {
	return Tree{}, errSkeleton
}

// Put keeps data in the store itself, and returns its name. It goes with the next GC but one hour if no pinned tree has it by then.
func (s *Store) Put(ctx context.Context, data []byte, codec kith.Codec) (kith.Ref, error) {
	return kith.Ref{}, errSkeleton
}

// Blob opens what ref names, complete or partial; Close it. Errors: NotFound, Gone.
func (s *Store) Blob(ctx context.Context, ref kith.Ref) (*Blob, error) { return nil, errSkeleton }

// Create begins or resumes the download of ref, of size bytes, which will be at path (absolute), or within the store if path is "".
// Its directory is made. While it comes the bytes are in path+PartSuffix. If path is taken when it is finished, it gets a free name beside it,
// unless what is there has the very content. If ref is already being downloaded, that download is returned, wherever it
// goes. If ref is already here, it is copied from there. Errors: Invalid, TooLarge, Unavailable (no room; over quota), Denied.
func (s *Store) Create(ctx context.Context, ref kith.Ref, size int64, path string) (*Blob, error) {
	return nil, errSkeleton
}

// BeginTree begins or resumes the download of the folder root, whose manifest is here already (Put or Create; for a private one, sealed). It will
// be at path (absolute), and is built in path+PartSuffix until Finish. For a private tree, key opens it: blobs come as ciphertext and are
// decrypted into place. A private share of one file becomes that file. Errors as Create, and Corrupt for a manifest that breaks the rules.
func (s *Store) BeginTree(ctx context.Context, root kith.Ref, path string, key *seal.Key) (*TreeDownload, error) {
	return nil, errSkeleton
}

// Contains reports whether ref is root or one of the files of the folder root, as far as they are here.
func (s *Store) Contains(ctx context.Context, root, ref kith.Ref) (bool, error) {
	return false, errSkeleton
}

// Manifest reads the manifest that root names; key opens that of a private share. Errors: NotFound (also if it is not complete), Corrupt, Denied (wrong key).
func (s *Store) Manifest(ctx context.Context, root kith.Ref, key *seal.Key) (*Manifest, error) {
	return nil, errSkeleton
}

// State returns what is known of a tree. Errors: NotFound.
func (s *Store) State(ctx context.Context, root kith.Ref) (Tree, error) { return Tree{}, errSkeleton }

// Trees returns all trees, in the order in which they were added.
func (s *Store) Trees(ctx context.Context) ([]Tree, error) { return nil, errSkeleton }

// Changes yields what becomes gone, or comes back, until ctx ends. A slow reader misses some: State always tells the truth.
func (s *Store) Changes(ctx context.Context) iter.Seq[Change] { return func(func(Change) bool) {} }

// A Change says that a shared file of a tree was changed or removed by its owner, or is there again.
type Change struct {
	Root kith.Ref
	Path string // the file
	Gone bool   // false: it is back
}

// Pin keeps a tree from GC. Import and a finished download pin theirs.
func (s *Store) Pin(ctx context.Context, root kith.Ref) error { return errSkeleton }

// Unpin lets GC forget a tree.
func (s *Store) Unpin(ctx context.Context, root kith.Ref) error { return errSkeleton }

// GC removes what Kith keeps itself and no pinned tree has: never a file outside the store. It works in small steps between which others go on.
func (s *Store) GC(ctx context.Context) error { return errSkeleton }

// Stored returns the bytes that Kith keeps itself.
func (s *Store) Stored(ctx context.Context) (int64, error) { return 0, errSkeleton }

// Delete forgets a tree, and removes what was there of an unfinished download. With files it also deletes the files that Kith downloaded for
// it, as long as nobody has changed them since and no other tree has them; never any other. It reports whether files were deleted.
func (s *Store) Delete(ctx context.Context, root kith.Ref, files bool) (deleted bool, err error) {
	return false, errSkeleton
}

var errSkeleton = fmt.Errorf("blob: not yet: %w", kith.Unavailable)
