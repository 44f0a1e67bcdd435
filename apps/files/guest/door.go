package guest

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"kith"
	"kith/internal/lan"
	"kith/internal/media"
)

// Limits of what guests may do.
const (
	maxConns      = 64 // at once
	maxConnsHost  = 16 // of one address
	maxZips       = 4  // at once
	maxHeader     = 8 << 10
	headerTimeout = 5 * time.Second
	idleTimeout   = 30 * time.Second
	writeTimeout  = 30 * time.Second // for somebody who takes nothing
	chunk         = 128 << 10        // bytes of one write
	failBurst     = 10               // wrong links of one address that are answered at once
	failPerSec    = 0.5              // and then
	maxGuessers   = 256              // addresses whose wrong links are counted
)

// A door serves guests while it is open.
type door struct {
	d    *Desk
	in   *lan.Listener
	srv  *http.Server
	zips chan struct{}

	mu       sync.Mutex
	guessers map[netip.Addr]*rate.Limiter
}

func openDoor(d *Desk, o lan.Options) (*door, error) {
	in, err := lan.Listen(o)
	if err != nil {
		return nil, err
	}
	r := &door{d: d, in: in, zips: make(chan struct{}, maxZips), guessers: map[netip.Addr]*rate.Limiter{}}
	r.srv = &http.Server{
		Handler: r, ReadHeaderTimeout: headerTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(d.o.Log.Handler(), slog.LevelDebug),
	}
	go r.srv.Serve(in)
	return r, nil
}

func (r *door) close() { r.srv.Close() }

// ServeHTTP answers a guest. Nothing is answered to another name than the addresses that it listens on, so that no web page from elsewhere
// can reach it through a name of its own (DNS rebinding).
func (r *door) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	protect(w.Header())
	if !slices.Contains(r.in.Hosts(), req.Host) {
		refuse(w, http.StatusMisdirectedRequest, "Wrong address", "Open the link exactly as it was given to you.")
		return
	}
	if req.Method != http.MethodGet && req.Method != http.MethodHead || req.ContentLength != 0 {
		http.NewResponseController(w).SetReadDeadline(time.Now().Add(headerTimeout)) // for a body that nobody wants
		w.Header().Set("Allow", "GET, HEAD")
		refuse(w, http.StatusMethodNotAllowed, "Only for reading", "Open the link in a browser.")
		return
	}
	token, rest, _ := strings.Cut(strings.TrimPrefix(req.URL.Path, "/"), "/")
	v, ended := r.d.find(token)
	v.from = caller(req)
	switch {
	case v.given == nil && !ended && !r.guess(v.from):
		w.Header().Set("Retry-After", "10")
		refuse(w, http.StatusTooManyRequests, "Too many wrong links", "Wait a moment, and open the link exactly as it was given to you.")
	case v.given == nil && !ended:
		refuse(w, http.StatusNotFound, "There is nothing here", "The link may be cut off: open it exactly as it was given to you.")
	case v.given == nil:
		refuse(w, http.StatusGone, "This link has ended", "Ask whoever gave it to you for a new one.")
	default:
		r.serve(w, req, v, rest)
	}
}

// protect sets the headers that every answer has: a page that runs no script, is framed by nobody, sets nothing and is told nobody.
func protect(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; style-src '"+styleHash+"'; img-src 'self' data:; media-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "private, no-store")
	h.Set("X-Robots-Tag", "noindex")
}

// caller returns the address that a request comes from.
func caller(req *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(req.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().WithZone("").Unmap()
}

// guess counts a wrong link, and reports whether it is answered. 128 bits are what keeps a guesser out; this keeps the noise down.
func (r *door) guess(from netip.Addr) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.guessers[from]
	if l == nil {
		if len(r.guessers) >= maxGuessers {
			clear(r.guessers)
		}
		l = rate.NewLimiter(failPerSec, failBurst)
		r.guessers[from] = l
	}
	return l.Allow()
}

// A visit is somebody who has come with a link.
type visit struct {
	Link         // as it was when they came
	given *given // nil: they have none
	from  netip.Addr
}

// find returns the visit of who has a token, if its link lives; ended says that it does not any more.
func (d *Desk) find(token string) (v visit, ended bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	g := d.links[token]
	switch {
	case g == nil:
		return visit{}, false
	case !d.now().Before(g.Until):
		return visit{}, true
	}
	return visit{Link: g.Link, given: g}, false
}

// arrive counts a device that begins to fetch; it is written down before the first byte. Its error is Gone if the link is used up.
func (d *Desk) arrive(v visit) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	g, who := v.given, v.from.String()
	switch {
	case slices.Contains(g.Devices, who), g.Most == 0 && len(g.Devices) >= maxDevices:
		return nil
	case g.Used():
		return fmt.Errorf("guest: used up: %w", kith.Gone)
	}
	g.Devices = append(g.Devices, who)
	d.o.Changed()
	return d.save()
}

// welcome reports whether they may fetch, without counting them.
func (v visit) welcome() bool { return !v.Used() || slices.Contains(v.Devices, v.from.String()) }

func (d *Desk) sent(g *given, n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	g.Sent += int64(n)
	d.dirty = true
	d.o.Changed()
}

// serve answers somebody who has a link. A browser that shows pages gets a page; whatever else asks gets the file.
func (r *door) serve(w http.ResponseWriter, req *http.Request, v visit, rest string) {
	first, below, inside := strings.Cut(rest, "/")
	page := strings.Contains(req.Header.Get("Accept"), "text/html") && req.URL.RawQuery != "download"
	w.Header().Set("Vary", "Accept")
	switch {
	case !v.welcome():
		refuse(w, http.StatusGone, "This link is used up", "It was for a number of devices, which have it now. Ask whoever gave it to you for another one.")
	case rest == "" || rest == v.Name && v.Folder:
		http.Redirect(w, req, address(v.Link), http.StatusFound)
	case v.Folder && rest == v.Name+".zip":
		r.zip(w, req, v)
	case v.Folder && first == v.Name && inside && below == "":
		r.folderPage(w, v.Link)
	case v.Folder && first == v.Name && inside:
		r.file(w, req, v, below, page)
	case !v.Folder && rest == v.Name:
		r.file(w, req, v, "", page)
	default:
		refuse(w, http.StatusNotFound, "There is nothing here", "Open the link exactly as it was given to you.")
	}
}

// file serves one file, or the page about it.
func (r *door) file(w http.ResponseWriter, req *http.Request, v visit, rel string, page bool) {
	f, info, err := r.d.openFile(v.Link, rel)
	if err != nil {
		status, title, text := http.StatusNotFound, "There is no such file", "It may have been moved. Go back to the list."
		if errors.Is(err, kith.Gone) {
			status, title, text = http.StatusGone, "It is not there any more", "The file was changed or moved since the link was made. Ask for a new link."
		}
		refuse(w, status, title, text)
		return
	}
	defer f.Close()
	name := path.Base(rel)
	if rel == "" {
		name = v.Name
	}
	if page {
		r.filePage(w, v.Link, rel, name, info)
		return
	}
	if req.Method == http.MethodGet {
		if err := r.d.arrive(v); err != nil {
			refuse(w, kith.KindOf(err).HTTPStatus(), "It cannot be fetched now", "The link may be used up. Ask whoever gave it to you for another one.")
			return
		}
	}
	kind, how := "application/octet-stream", "attachment"
	if t, ok := media.Shown(name); ok {
		kind = t
		if req.URL.RawQuery != "download" {
			how = "inline"
		}
	}
	h := w.Header()
	h.Set("Content-Security-Policy", "sandbox; "+h.Get("Content-Security-Policy"))
	h.Set("Content-Type", kind)
	h.Set("Content-Disposition", mime.FormatMediaType(how, map[string]string{"filename": name}))
	body, done := r.body(w, v.given)
	defer done()
	http.ServeContent(body, req, "", info.ModTime(), f)
}

// zip sends a folder as one file, made while it is sent. What goes wrong on the way cuts the connection, since an archive that ends too
// early must not look whole.
func (r *door) zip(w http.ResponseWriter, req *http.Request, v visit) {
	select {
	case r.zips <- struct{}{}:
		defer func() { <-r.zips }()
	default:
		refuse(w, http.StatusServiceUnavailable, "Too many at once", "Others are fetching it just now. Try again in a while.")
		return
	}
	w.Header().Set("Content-Type", "application/zip")
	w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": v.Name + ".zip"}))
	if req.Method == http.MethodHead {
		return
	}
	if err := r.d.arrive(v); err != nil {
		refuse(w, kith.KindOf(err).HTTPStatus(), "It cannot be fetched now", "The link may be used up. Ask whoever gave it to you for another one.")
		return
	}
	body, done := r.body(w, v.given)
	defer done()
	archive := zip.NewWriter(body)
	for _, e := range r.d.list(v.Link).files {
		if err := r.pack(archive, v.Link, e); err != nil {
			r.d.o.Log.Debug("guest's archive cut", "err", err)
			panic(http.ErrAbortHandler)
		}
	}
	if archive.Close() != nil {
		panic(http.ErrAbortHandler)
	}
}

// pack adds one file, as it is now; one that is not there any more is left out.
func (r *door) pack(archive *zip.Writer, l Link, e entry) error {
	f, info, err := r.d.openFile(l, e.path)
	if err != nil {
		return nil
	}
	defer f.Close()
	to, err := archive.CreateHeader(&zip.FileHeader{Name: l.Name + "/" + e.path, Method: zip.Store, Modified: info.ModTime()})
	if err == nil {
		_, err = io.CopyBuffer(struct{ io.Writer }{to}, io.LimitReader(f, info.Size()), make([]byte, chunk))
	}
	return err
}

// body returns where the bytes of a file go: counted, for as long as the link lives and somebody takes them. done must be called.
func (r *door) body(w http.ResponseWriter, g *given) (body *counted, done func() bool) {
	rc := http.NewResponseController(w)
	stop := context.AfterFunc(g.ctx, func() { rc.SetWriteDeadline(time.Unix(1, 0)) })
	return &counted{ResponseWriter: w, rc: rc, d: r.d, g: g}, stop
}

type counted struct {
	http.ResponseWriter
	rc *http.ResponseController
	d  *Desk
	g  *given
}

// Write implements io.Writer, a chunk at a time, so that who takes bytes slowly is told from who takes none.
func (c *counted) Write(p []byte) (n int, err error) {
	for err == nil && n < len(p) {
		if c.g.ctx.Err() != nil {
			return n, net.ErrClosed
		}
		c.rc.SetWriteDeadline(time.Now().Add(writeTimeout))
		var m int
		m, err = c.ResponseWriter.Write(p[n:min(len(p), n+chunk)])
		n += m
		c.d.sent(c.g, m)
	}
	return n, err
}
