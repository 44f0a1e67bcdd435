package files

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"kith"
	"kith/blob/folder"
	"kith/bridge"
	"kith/internal/room"
)

// Limits of an upload from the page.
const (
	maxUploadPath = 1024 // bytes of a path

)

// uploads serves what browsers send, since they give no paths:
//
//	PUT  upload?batch=ID&path=REL                    one file of a batch, in the body
//	POST upload/done?batch=ID&for=link&private=true&network=ipfs  shares the batch; answers a Shared
//	POST upload/drop?batch=ID                        throws the batch away
//	POST torrent                                     reads a .torrent file, in the body; answers its link
//	GET  torrent/REF                                 the .torrent file of an item
//
// Files of a batch gather in a folder of their own below Files, and get their place when it is done.
func (f *Files) uploads() http.Handler {
	mux := http.NewServeMux()
	answer := func(run func(r *http.Request) (any, error)) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			out, err := run(r)
			if err != nil {
				problem(w, err)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			json.NewEncoder(w).Encode(out)
		}
	}
	mux.HandleFunc("PUT /upload", answer(f.uploadFile))
	mux.HandleFunc("POST /upload/done", answer(f.uploadDone))
	mux.HandleFunc("POST /upload/drop", answer(f.uploadDrop))
	mux.HandleFunc("POST /torrent", answer(f.torrent))
	mux.HandleFunc("GET /torrent/{ref}", f.written)
	return mux
}

// problem answers with an RFC 9457 document.
func problem(w http.ResponseWriter, err error) {
	kind := kith.KindOf(err)
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(kind.HTTPStatus())
	json.NewEncoder(w).Encode(map[string]any{"title": kind.Error(), "status": kind.HTTPStatus(), "detail": err.Error(), "kind": kind.Error(), "hint": kith.HintOf(err)})
}

var batchID = regexp.MustCompile(`^[a-zA-Z0-9-]{8,64}$`)

// batch returns the folder in which a batch gathers.
func (f *Files) batch(r *http.Request) (string, error) {
	id := r.URL.Query().Get("batch")
	if !batchID.MatchString(id) {
		return "", fmt.Errorf("files: upload: batch %.70q: want 8 to 64 letters and digits: %w", id, kith.Invalid)
	}
	return filepath.Join(f.env.Files, ".upload-"+id), nil
}

func (f *Files) uploadFile(r *http.Request) (any, error) {
	dir, err := f.batch(r)
	if err != nil {
		return nil, err
	}
	rel := r.URL.Query().Get("path")
	if rel == "" {
		rel = r.URL.Query().Get("name")
	}
	if !fs.ValidPath(rel) || rel == "." || len(rel) > maxUploadPath || strings.ContainsFunc(rel, func(c rune) bool { return c < ' ' || c == '\\' || c == 127 }) {
		return nil, fmt.Errorf("files: upload %.80q: not a path below the upload: %w", rel, kith.Invalid)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, diskError("upload", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, diskError("upload", err)
	}
	defer root.Close()
	if err := root.MkdirAll(path.Dir(rel), 0o755); err != nil {
		return nil, diskError("upload", err)
	}
	file, err := root.OpenFile(rel, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o644)
	if err != nil {
		return nil, diskError("upload", err)
	}
	n, err := io.Copy(file, r.Body)
	if err == nil && r.ContentLength >= 0 && n != r.ContentLength {
		err = io.ErrUnexpectedEOF
	}
	if cerr := file.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		root.Remove(rel)
		return nil, diskError("upload", err)
	}
	return map[string]int64{"size": n}, nil
}

// diskError gives the error of a write its kind.
func diskError(what string, err error) error {
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

func (f *Files) uploadDone(r *http.Request) (any, error) {
	dir, err := f.batch(r)
	if err != nil {
		return nil, err
	}
	q := r.URL.Query()
	in, note, err := f.checkShare(ShareIn{For: q.Get("for"), Private: q.Get("private") == "true", Networks: q["network"], Paths: []string{dir}})
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) == 0 {
		return nil, fmt.Errorf("files: upload: nothing has come for this batch: %w", kith.NotFound)
	}
	var from, name string
	if len(entries) == 1 { // a file or a folder
		name = entries[0].Name()
		from = filepath.Join(dir, name)
	} else { // several at once become a folder
		from, name = dir, entries[0].Name()+" and more"
	}
	to, err := freeName(filepath.Join(f.env.Files, name))
	if err != nil {
		return nil, err
	}
	if err := os.Rename(from, to); err != nil {
		return nil, diskError("upload", err)
	}
	os.Remove(dir) // empty, or already renamed
	done, err := f.shareOne(r.Context(), to, in, newKey(in), func(ShareOut) bool { return r.Context().Err() == nil })
	done.Note = note
	return done, err
}

// torrent answers the link that a .torrent file is.
func (f *Files) torrent(r *http.Request) (any, error) {
	data, err := io.ReadAll(io.LimitReader(r.Body, maxTorrent+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("files: upload: %w: %w", err, kith.Unavailable)
	case len(data) > maxTorrent:
		return nil, fmt.Errorf("files: upload: a .torrent file of more than %d bytes: %w", maxTorrent, kith.TooLarge)
	}
	l, err := f.addTorrent(r.Context(), data)
	if err != nil {
		return nil, err
	}
	return map[string]string{"link": l.String()}, nil
}

// written serves the .torrent file of an item that is served to BitTorrent, or came from there.
func (f *Files) written(w http.ResponseWriter, r *http.Request) {
	it, err := f.find(r.PathValue("ref"))
	if err != nil {
		problem(w, err)
		return
	}
	b, ok := f.bridge(netTorrent).(bridge.Torrents)
	if !ok {
		problem(w, fmt.Errorf("files: this node has no BitTorrent: %w", kith.NotFound))
		return
	}
	data, err := b.Torrent(r.Context(), it.Ref)
	if err != nil {
		problem(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/x-bittorrent")
	w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": folder.CleanName(it.Name) + ".torrent"}))
	w.Write(data)
}

func (f *Files) uploadDrop(r *http.Request) (any, error) {
	dir, err := f.batch(r)
	if err != nil {
		return nil, err
	}
	if err := os.RemoveAll(dir); err != nil {
		return nil, diskError("upload", err)
	}
	return struct{}{}, nil
}

// uploadLife is how long a batch that nobody finished is kept.
const uploadLife = 24 * time.Hour

// dropUploads removes batches that were begun and never finished.
func (f *Files) dropUploads() {
	dirs, _ := filepath.Glob(filepath.Join(f.env.Files, ".upload-*"))
	for _, dir := range dirs {
		if st, err := os.Stat(dir); err == nil && time.Since(st.ModTime()) > uploadLife {
			os.RemoveAll(dir)
		}
	}
}

// maxNames bounds the search for a name that is free.
const maxNames = 10000

// freeName returns p, or, if that exists, p with the first number in brackets that makes it a name of its own.
func freeName(p string) (string, error) {
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

// copyTree copies a complete file or folder to a free name at to, and returns that.
func copyTree(ctx context.Context, from, to string) (string, error) {
	to, err := freeName(to)
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
		return "", diskError("copy", err)
	}
	return to, nil
}

// sameBytes reports whether b is a file with the same bytes as the file a.
func sameBytes(ctx context.Context, a, b string) (bool, error) {
	as, err := os.Stat(a)
	if err != nil {
		return false, nil // copyTree says why
	}
	if bs, err := os.Lstat(b); err != nil || !as.Mode().IsRegular() || !bs.Mode().IsRegular() || as.Size() != bs.Size() {
		return false, nil
	}
	af, err := os.Open(a)
	if err != nil {
		return false, diskError("compare", err)
	}
	defer af.Close()
	bf, err := os.Open(b)
	if err != nil {
		return false, diskError("compare", err)
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
			return false, diskError("compare", err)
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
