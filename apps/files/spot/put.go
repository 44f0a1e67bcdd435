package spot

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"kith"
)

// maxPath bounds a path that somebody else names, in bytes.
const maxPath = 1024

// Put writes a new file at a path below a folder, with slashes in it, that somebody else names: size bytes of it, or as many as come if that is negative. It makes the folders
// on the way, and leaves nothing if it fails. It returns how many bytes came.
func Put(dir, rel string, from io.Reader, size int64) (n int64, err error) {
	if !fs.ValidPath(rel) || rel == "." || len(rel) > maxPath || strings.ContainsFunc(rel, func(c rune) bool { return c < ' ' || c == '\\' || c == 127 }) {
		return 0, fmt.Errorf("files: upload %.80q: not a path below the upload: %w", rel, kith.Invalid)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return 0, Error("upload", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return 0, Error("upload", err)
	}
	defer root.Close()
	if err := root.MkdirAll(path.Dir(rel), 0o755); err != nil {
		return 0, Error("upload", err)
	}
	file, err := root.OpenFile(rel, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o644)
	if err != nil {
		return 0, Error("upload", err)
	}
	n, err = io.Copy(file, from)
	if err == nil && size >= 0 && n != size {
		err = io.ErrUnexpectedEOF
	}
	if cerr := file.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		root.Remove(rel)
		return 0, Error("upload", err)
	}
	return n, nil
}
