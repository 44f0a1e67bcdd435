package files

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"kith"
	"kith/apps/files/spot"
	"kith/blob/folder"
	"kith/bridge"
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
	n, err := spot.Put(dir, rel, r.Body, r.ContentLength)
	if err != nil {
		return nil, err
	}
	return map[string]int64{"size": n}, nil
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
	to, err := spot.Free(filepath.Join(f.env.Files, name))
	if err != nil {
		return nil, err
	}
	if err := os.Rename(from, to); err != nil {
		return nil, spot.Error("upload", err)
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
		return nil, spot.Error("upload", err)
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
