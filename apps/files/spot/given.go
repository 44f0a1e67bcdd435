package spot

import (
	"fmt"
	"os"
	"path/filepath"

	"kith"
)

// Given checks where a person wants a download: it returns a folder with a slash at its end, in which it gets its own name, or a full path. Nothing is put where own holds, which
// is asked of paths without links.
func Given(output string, own func(path string) bool) (string, error) {
	if !filepath.IsAbs(output) {
		return "", fmt.Errorf("files: get: output %q is not an absolute path: %w", output, kith.Invalid)
	}
	to, folder := output, filepath.Dir(output)
	if st, err := os.Stat(output); err == nil && st.IsDir() {
		folder = filepath.Clean(output)
		to = folder + string(filepath.Separator)
	}
	if st, err := os.Stat(folder); err != nil || !st.IsDir() {
		return "", kith.Hint(fmt.Errorf("files: get: there is no folder %s: %w", folder, kith.NotFound), "make it first: mkdir -p '%s'", folder)
	}
	real, err := filepath.EvalSymlinks(folder)
	if err != nil {
		return "", Error("get", err)
	}
	if own(filepath.Join(real, "file")) {
		return "", kith.Hint(fmt.Errorf("files: get: %s is where the node keeps what is its own: %w", folder, kith.Denied), "choose another folder with --output, or none")
	}
	return to, nil
}

// Is reports whether a place, as Given returns it, is path.
func Is(path, to string) bool {
	return path == to || filepath.Clean(to) == path || filepath.Dir(path)+string(filepath.Separator) == to
}
