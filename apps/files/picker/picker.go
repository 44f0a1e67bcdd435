// Package picker lists the folders of this computer, so that a person can pick on the page what to share.
//
// It opens no file. Its one idea: what a picker shows is what a person would see, without hidden files, links followed.
package picker

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"kith"
	"kith/app"
)

// BrowseIn asks what is in a folder of this computer, to pick something to share.
type BrowseIn struct {
	Dir string `json:"dir,omitempty" path:"true" doc:"absolute path; default: the home folder"`
}

// BrowseOut is what is there.
type BrowseOut struct {
	Dir     string        `json:"dir"`
	Parent  string        `json:"parent,omitempty"`
	Entries []BrowseEntry `json:"entries"`
}

// BrowseEntry is one file or folder to pick.
type BrowseEntry struct {
	Name   string `json:"name"`
	Path   string `json:"path"`
	Folder bool   `json:"folder"`
	Size   int64  `json:"size"`
}

// Op returns the operation.
func Op() app.Op {
	o := app.NewOp("browse", "list a folder of this computer, to pick what to share", browse)
	o.Query, o.Hidden = true, true
	return o
}

// maxBrowse bounds the entries of one folder that browse lists.
const maxBrowse = 5000

func browse(_ context.Context, in BrowseIn) (BrowseOut, error) {
	dir := in.Dir
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			home = string(filepath.Separator)
		}
		dir = home
	}
	if !filepath.IsAbs(dir) {
		return BrowseOut{}, fmt.Errorf("files: browse %q: the path is not absolute: %w", dir, kith.Invalid)
	}
	entries, err := os.ReadDir(dir)
	switch {
	case os.IsNotExist(err):
		return BrowseOut{}, fmt.Errorf("files: browse %s: %w", dir, kith.NotFound)
	case os.IsPermission(err):
		return BrowseOut{}, fmt.Errorf("files: browse %s: not readable: %w", dir, kith.Denied)
	case err != nil:
		return BrowseOut{}, fmt.Errorf("files: browse %s: %w: %w", dir, err, kith.Invalid)
	}
	out := BrowseOut{Dir: dir, Entries: []BrowseEntry{}}
	if up := filepath.Dir(dir); up != dir {
		out.Parent = up
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") || len(out.Entries) == maxBrowse {
			continue
		}
		st, err := os.Stat(filepath.Join(dir, e.Name())) // follows links, as a person expects of a picker
		if err != nil || !st.IsDir() && !st.Mode().IsRegular() {
			continue
		}
		out.Entries = append(out.Entries, BrowseEntry{Name: e.Name(), Path: filepath.Join(dir, e.Name()), Folder: st.IsDir(), Size: st.Size()})
	}
	slices.SortStableFunc(out.Entries, func(a, b BrowseEntry) int {
		if a.Folder != b.Folder {
			if a.Folder {
				return -1
			}
			return 1
		}
		return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name))
	})
	return out, nil
}
