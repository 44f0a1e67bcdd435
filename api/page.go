package api

import (
	"bytes"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"

	"kith"
)

// hashed is the folder of the page's files whose names change with what is in them.
const hashed = "assets/"

// page serves the page's files, which hold nothing private. A path that is no file and has no extension is a place inside the page.
func (s *Server) page() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			writeProblem(w, &statusError{http.StatusMethodNotAllowed, fmt.Errorf("api: the page is only for reading: %w", kith.Invalid)})
			return
		}
		name := strings.TrimPrefix(r.URL.Path, "/")
		if name == "" || path.Ext(name) == "" {
			name = "index.html"
		}
		if s.o.Page == nil || !fs.ValidPath(name) || !isFile(s.o.Page, name) {
			writeProblem(w, fmt.Errorf("api: the page has no file %.80q: %w", r.URL.Path, kith.NotFound))
			return
		}
		cache := "no-cache"
		if strings.HasPrefix(name, hashed) {
			cache = "public, max-age=31536000, immutable"
		}
		w.Header().Set("Cache-Control", cache)
		data, err := fs.ReadFile(s.o.Page, name)
		if err != nil {
			writeProblem(w, fmt.Errorf("api: read page: %w", err))
			return
		}
		if kind := pageTypes[path.Ext(name)]; kind != "" {
			w.Header().Set("Content-Type", kind)
		}
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(data))
	})
}

// pageTypes are here because those of the system may be wrong: Windows lets any program change them, and nosniff makes a wrong one fatal.
var pageTypes = map[string]string{
	".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
	".json": "application/json", ".webmanifest": "application/manifest+json", ".svg": "image/svg+xml", ".png": "image/png",
	".ico": "image/x-icon", ".woff2": "font/woff2", ".txt": "text/plain; charset=utf-8", ".wasm": "application/wasm",
}

func isFile(fsys fs.FS, name string) bool {
	info, err := fs.Stat(fsys, name)
	return err == nil && info.Mode().IsRegular()
}
