// Package spot puts files of the person's into places of the person's: it checks a place that was named, finds a free name, copies, and compares.
//
// It knows nothing of what is shared or fetched. Its one idea: nothing that is there is ever written over.
package spot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"kith"
	"kith/internal/room"
)

// Error gives the error of a write its kind.
func Error(what string, err error) error {
	switch {
	case room.Full(err):
		return fmt.Errorf("files: %s: %w", what, room.Explain(err))
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("files: %s: %w", what, kith.Exists)
	case errors.Is(err, syscall.EROFS):
		return kith.Hint(fmt.Errorf("files: %s: %w: %w", what, err, kith.Denied), "choose a place that can be written")
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("files: %s: %w: %w", what, err, kith.Denied)
	}
	return fmt.Errorf("files: %s: %w: %w", what, err, kith.Unavailable)
}

// maxNames bounds the search for a name that is free.
const maxNames = 10000

// Free returns p, or, if that exists, p with the first number in brackets that makes it a name of its own.
func Free(p string) (string, error) {
	ext := filepath.Ext(p)
	stem := strings.TrimSuffix(p, ext)
	for i := range maxNames {
		name := p
		if i > 0 {
			name = fmt.Sprintf("%s (%d)%s", stem, i, ext)
		}
		if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
			return name, nil
		}
	}
	return "", fmt.Errorf("files: no name is free beside %s: %w", p, kith.Exists)
}

// Copy copies a complete file or folder to a free name at to, and returns that.
func Copy(ctx context.Context, from, to string) (string, error) {
	to, err := Free(to)
	if err != nil {
		return "", err
	}
	st, err := os.Stat(from)
	if err != nil {
		return "", kith.Hint(fmt.Errorf("files: copy: %w: %w", err, kith.Gone), "it was moved since it came; forget it with kith rm, then get it again")
	}
	part := to + ".kith-copy" // not .kith-part: what is copied may be being fetched there
	defer os.RemoveAll(part)
	if st.IsDir() {
		err = os.CopyFS(part, os.DirFS(from))
	} else {
		err = copyFile(ctx, from, part)
	}
	if err == nil {
		err = os.Rename(part, to)
	}
	if err != nil {
		return "", Error("copy", err)
	}
	return to, nil
}

// Same reports whether b is a file with the same bytes as the file a.
func Same(ctx context.Context, a, b string) (bool, error) {
	as, err := os.Stat(a)
	if err != nil {
		return false, nil // Copy says why
	}
	if bs, err := os.Lstat(b); err != nil || !as.Mode().IsRegular() || !bs.Mode().IsRegular() || as.Size() != bs.Size() {
		return false, nil
	}
	af, err := os.Open(a)
	if err != nil {
		return false, Error("compare", err)
	}
	defer af.Close()
	bf, err := os.Open(b)
	if err != nil {
		return false, Error("compare", err)
	}
	defer bf.Close()
	x, y := make([]byte, 1<<18), make([]byte, 1<<18)
	for ctx.Err() == nil {
		n, err := io.ReadFull(af, x)
		m, _ := io.ReadFull(bf, y)
		switch {
		case !bytes.Equal(x[:n], y[:m]):
			return false, nil
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return true, nil
		case err != nil:
			return false, Error("compare", err)
		}
	}
	return false, ctx.Err()
}

func copyFile(ctx context.Context, from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err == nil {
		err = out.Sync()
	}
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = ctx.Err()
	}
	return err
}
