package api

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"kith"
	"kith/app"
	"kith/internal/media"
)

// Limits of the content origin.
const (
	contentLife = 24 * time.Hour
	maxContents = 4096 // addresses at once; the one that ends first goes first
	maxReaders  = 256  // requests at once
)

// contents serves bytes that came from peers. Each has a host name of its own, <id>.localhost, because cookies and storage of the page
// belong to a host name whatever the port: what is served here can reach neither, nor other content.
type contents struct {
	readers chan struct{}

	mu   sync.Mutex
	byID map[string]*content
}

type content struct {
	app.Content
	ctx    context.Context
	secret string
	ends   time.Time
}

func newContents() *contents {
	return &contents{readers: make(chan struct{}, maxReaders), byID: map[string]*content{}}
}

// Mint implements app.Origin.
func (s *Server) Mint(ctx context.Context, c app.Content) (string, error) {
	if c.Open == nil || c.Size < 0 {
		return "", fmt.Errorf("api: mint %q: size %d: %w", c.Name, c.Size, kith.Invalid)
	}
	return s.contents.mint(ctx, c, s.doorOf(ctx).mint), nil
}

func (cs *contents) mint(ctx context.Context, c app.Content, address func(id, secret, name string) string) string {
	raw := make([]byte, 15)
	rand.Read(raw)
	id := strings.ToLower(base32.StdEncoding.EncodeToString(raw))
	e := &content{Content: c, ctx: ctx, secret: secret(), ends: time.Now().Add(contentLife)}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for len(cs.byID) >= maxContents {
		first := ""
		for k, v := range cs.byID {
			if first == "" || v.ends.Before(cs.byID[first].ends) {
				first = k
			}
		}
		delete(cs.byID, first)
	}
	cs.byID[id] = e
	context.AfterFunc(ctx, func() { cs.drop(id) })
	return address(id, e.secret, fileName(c.Name))
}

func (cs *contents) drop(id string) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	delete(cs.byID, id)
}

func (cs *contents) find(id string) *content {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	e := cs.byID[id]
	if e != nil && time.Now().After(e.ends) {
		delete(cs.byID, id)
		return nil
	}
	return e
}

// contentHost reports whether a Host value is of the content origin.
func (s *Server) contentHost(host string) (id string, ok bool) {
	name, port, err := net.SplitHostPort(host)
	if err != nil || port != s.port {
		return "", false
	}
	id, ok = strings.CutSuffix(name, ".localhost")
	return id, ok && !strings.Contains(id, ".")
}

func (cs *contents) serve(w http.ResponseWriter, r *http.Request, id string) {
	h := w.Header()
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin") // the page shows it
	h.Set("Cache-Control", "private, no-store")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "content is only for reading", http.StatusMethodNotAllowed)
		return
	}
	e := cs.find(id)
	given, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if e == nil || subtle.ConstantTimeCompare([]byte(given), []byte(e.secret)) != 1 {
		http.Error(w, "no such content, or its address has ended: open it again", http.StatusNotFound)
		return
	}
	select {
	case cs.readers <- struct{}{}:
		defer func() { <-cs.readers }()
	default:
		http.Error(w, "too many at once", http.StatusServiceUnavailable)
		return
	}
	e.serve(w, r, id)
}

func (e *content) serve(w http.ResponseWriter, r *http.Request, id string) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(e.ctx, cancel)()
	body := &sized{size: e.Size}
	if r.Method == http.MethodGet {
		f, err := e.Open(ctx)
		if err != nil {
			http.Error(w, err.Error(), kith.KindOf(err).HTTPStatus())
			return
		}
		defer f.Close()
		body.r = f
	}
	media, how := mediaOf(e.Name)
	h := w.Header()
	h.Set("Content-Type", media)
	h.Set("Content-Disposition", mime.FormatMediaType(how, map[string]string{"filename": fileName(e.Name)}))
	h.Set("ETag", `"`+id+`"`) // what an address serves never changes
	http.ServeContent(eager{w}, r, "", time.Time{}, body)
}

// eager sends the header at once, so that a player knows what it will get while the first bytes are still to come.
type eager struct{ http.ResponseWriter }

func (e eager) WriteHeader(status int) {
	e.ResponseWriter.WriteHeader(status)
	http.NewResponseController(e.ResponseWriter).Flush()
}

// sized knows its size without asking, so that nothing waits for the last byte of what has not come yet.
type sized struct {
	r    io.ReadSeeker // nil: nothing will be read
	size int64
	at   int64
}

func (s *sized) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += s.at
	case io.SeekEnd:
		offset += s.size
	}
	if offset < 0 {
		return 0, errors.New("api: seek before the beginning")
	}
	s.at = offset
	if s.r == nil || whence == io.SeekEnd {
		return offset, nil
	}
	return s.r.Seek(offset, io.SeekStart)
}

func (s *sized) Read(p []byte) (int, error) {
	if s.r == nil {
		return 0, io.EOF
	}
	n, err := s.r.Read(p)
	s.at += int64(n)
	return n, err
}

// mediaOf returns how a name is served: what a browser only shows or plays is shown, all else is saved.
func mediaOf(name string) (mediaType, disposition string) {
	if t, ok := media.Shown(name); ok {
		return t, "inline"
	}
	return "application/octet-stream", "attachment"
}

// fileName returns the last element of a peer's name, safe in a header and a URL.
func fileName(name string) string {
	name = path.Base("/" + strings.ReplaceAll(name, `\`, "/"))
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '_'
		}
		return r
	}, strings.ToValidUTF8(name, "_"))
	if name == "/" || name == "." || name == ".." {
		return "file"
	}
	return name
}
