// Package media reads what a file says of itself: the tags of a record, the length and size of a film, the title and pages of a book.
//
// It decodes no sound and no picture, and changes nothing. Its one idea: a file is a stranger's, so it is read through a [file] that counts: so many bytes, so many looks,
// so much time, and then everything ends with what is known by then. What is read is headers; pictures in tags, and all that was never asked for, are passed over
// unread. Where something was made is not read at all.
package media

import (
	"errors"
	"fmt"
	"io"
	"time"

	"kith/search/fact"
)

// Version is that of the rules here: what was read by others is read again.
const Version = 1

// Limits of reading one file.
const (
	maxBytes = 8 << 20          // read, in all
	maxLooks = 20_000           // pieces that are looked at
	maxTime  = 10 * time.Second // and then it is given up
	maxPiece = 256 << 10        // bytes that are looked at together
	window   = 16 << 10         // bytes that are read at once, at least: a group of blob/bao
)

// errMuch ends the reading of a file that is too much work.
var errMuch = errors.New("media: it is too much work")

// errShort is a file that ends before it should.
var errShort = errors.New("media: it ends too early")

// A file is what is being read.
type file struct {
	r     io.ReaderAt
	size  int64
	bytes int64 // read
	looks int
	end   time.Time
	err   error // of r

	buf []byte // the window
	off int64  // where it is
}

// Read returns what a file of the given name says of itself, as fact.Clean has it. A file that is broken, hostile or unknown is no error: what was found before is
// returned. The error is r's, if it cannot be read.
func Read(name string, r io.ReaderAt, size int64) (facts fact.Facts, err error) {
	f := &file{r: r, size: size, end: time.Now().Add(maxTime)}
	defer func() {
		if p := recover(); p != nil { // a library's, or ours: of this file nothing more is known
			facts, err = fact.Clean(facts), nil
		}
		if f.err != nil {
			err = fmt.Errorf("media: read %.80q: %w", name, f.err)
		}
	}()
	f.read(name, &facts)
	return fact.Clean(facts), nil
}

// at returns n bytes from off on.
func (f *file) at(off int64, n int) ([]byte, error) {
	if f.looks++; f.looks > maxLooks || n > maxPiece {
		return nil, errMuch
	}
	if off < 0 || n < 0 || off > f.size-int64(n) {
		return nil, errShort
	}
	if off < f.off || off+int64(n) > f.off+int64(len(f.buf)) {
		buf := make([]byte, min(int64(max(n, window)), f.size-off))
		if _, err := f.ReadAt(buf, off); err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		f.buf, f.off = buf, off
	}
	return f.buf[off-f.off:][:n:n], nil
}

// upTo returns n bytes from off on, or fewer where the file ends.
func (f *file) upTo(off int64, n int) []byte {
	b, err := f.at(off, int(max(0, min(int64(n), f.size-off))))
	if err != nil {
		return nil
	}
	return b
}

// ReadAt implements io.ReaderAt, for libraries.
func (f *file) ReadAt(p []byte, off int64) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	if off < 0 || off > f.size {
		return 0, errShort
	}
	if f.looks++; f.looks > maxLooks || f.bytes+int64(len(p)) > maxBytes || time.Now().After(f.end) {
		return 0, errMuch
	}
	n, err := f.r.ReadAt(p, off)
	f.bytes += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		f.err = err
	}
	return n, err
}

// reader returns the file for a library that reads and seeks.
func (f *file) reader() *io.SectionReader { return io.NewSectionReader(f, 0, f.size) }
