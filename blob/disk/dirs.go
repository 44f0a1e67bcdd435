package disk

import (
	"os"
	"path"
	"path/filepath"
	"sync"
)

const maxDirs = 4 // folders that stay open; files come a few dozen neighbours at a time

// Dirs opens the folders that files are made in, below one that nothing may lead out of, and keeps the last few open: the way to a
// file would else be opened part by part for each. All methods may be called at once.
type Dirs struct {
	top *os.Root

	mu   sync.Mutex
	open []*Dir // the last used is the last
}

// NewDirs returns the folders below top, which it leaves open.
func NewDirs(top *os.Root) *Dirs { return &Dirs{top: top} }

// A Dir is a folder that is open.
type Dir struct {
	*os.Root
	name  string // slash-separated, below top
	users int    // and one while it is in open
}

// Use returns the folder that the file at name (slash-separated) is in, and what it is called there. Give it back with Done.
func (d *Dirs) Use(name string) (*Dir, string, error) {
	in, file := path.Dir(name), path.Base(name)
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, o := range d.open {
		if o.name == in {
			copy(d.open[i:], d.open[i+1:])
			d.open[len(d.open)-1] = o
			o.users++
			return o, file, nil
		}
	}
	root, err := d.top.OpenRoot(filepath.FromSlash(in))
	if err != nil {
		return nil, "", err
	}
	if len(d.open) == maxDirs {
		d.drop(d.open[0])
		d.open = append(d.open[:0], d.open[1:]...)
	}
	o := &Dir{root, in, 2}
	d.open = append(d.open, o)
	return o, file, nil
}

// Done gives back what Use returned.
func (d *Dirs) Done(o *Dir) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.drop(o)
}

// drop takes one user from o. d.mu is held.
func (d *Dirs) drop(o *Dir) {
	if o.users--; o.users == 0 {
		o.Close() // it was only opened to find files in it
	}
}

// Close closes the folders, those in use once they are given back.
func (d *Dirs) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, o := range d.open {
		d.drop(o)
	}
	d.open = nil
}
