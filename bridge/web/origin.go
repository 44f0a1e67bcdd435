package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"kith"
	"kith/transfer"
	"kith/transfer/engine"
)

// How a file is asked for.
const (
	unit   = 1 << 20  // bytes of a request: enough that its round trip does not matter
	window = 4 << 20  // bytes that are asked for before anything is known of its speed
	chunk  = 64 << 10 // bytes after which it is told that something has come
)

// An origin is one file on one or more servers.
type origin struct {
	b       *Bridge
	careful bool // the addresses were chosen by somebody else
	content transfer.Content

	mu      sync.Mutex
	servers []*server
	file    *version // once the Layout is known
	first   string   // the address that gave it
	pinned  bool     // it is written down what version is fetched
	spool   *spool   // of a server that gives no stretches
	closed  bool
}

// A server is one address of the file.
type server struct {
	url    string
	via    string
	fails  int // in a row
	broken error
	rate   engine.Meter
	bytes  int64
}

func newOrigin(b *Bridge, urls []string, careful bool, c transfer.Content) *origin {
	o := &origin{b: b, careful: careful, content: c}
	for _, u := range urls {
		o.servers = append(o.servers, &server{url: u})
	}
	return o
}

// Network implements transfer.Origin.
func (o *origin) Network() string { return Name }

// Layout implements transfer.Origin: one file, as the first server that answers says.
func (o *origin) Layout(ctx context.Context) (transfer.Layout, error) {
	var last error
	for _, s := range o.servers {
		resp, err := o.b.ask(ctx, s.url, o.careful, http.Header{"Range": {"bytes=0-0"}})
		if err != nil {
			last = better(last, err)
			continue
		}
		v, ranges, err := versionOf(resp)
		if err != nil {
			resp.Body.Close()
			last = better(last, err)
			continue
		}
		o.mu.Lock()
		o.file, o.first, s.via = &v, s.url, via(resp)
		if o.spool != nil {
			o.spool.close()
			o.spool = nil
		}
		if !ranges && v.Size > 0 { // all of it comes, or nothing
			o.spool, err = newSpool(resp.Body, v.Size, func(n int) { o.came(s, n) })
		} else {
			resp.Body.Close()
		}
		o.mu.Unlock()
		return transfer.Layout{Name: nameOf(resp, s.url), Files: []transfer.LayoutFile{{Path: nameOf(resp, s.url), Size: v.Size}}, Unit: unit, Window: window}, err
	}
	return transfer.Layout{}, last
}

// better returns which of two errors of two servers says more: one that may answer yet is waited for.
func better(a, b error) error {
	if a == nil || kith.KindOf(b) == kith.Unavailable {
		return b
	}
	return a
}

func via(resp *http.Response) string {
	return resp.Request.URL.Scheme + ", " + resp.Proto
}

// Fetch implements transfer.Origin.
func (o *origin) Fetch(ctx context.Context, sp transfer.Span, alive func()) ([]byte, error) {
	o.mu.Lock()
	v, spool := o.file, o.spool
	o.mu.Unlock()
	switch {
	case v == nil:
		return nil, fmt.Errorf("web: %w", kith.Unavailable)
	case sp.File != 0 || sp.Off < 0 || sp.N <= 0 || sp.N > maxSpan || sp.Off > v.Size-sp.N:
		return nil, fmt.Errorf("web: %d bytes from %d of %d: %w", sp.N, sp.Off, v.Size, kith.Invalid)
	}
	if err := o.pin(*v); err != nil {
		return nil, err
	}
	if spool != nil {
		return spool.read(ctx, sp.Off, sp.N, alive)
	}
	var last error
	for range o.servers {
		s := o.next()
		if s == nil {
			break
		}
		data, err := o.fetchFrom(ctx, s, *v, sp, alive)
		o.mu.Lock()
		if err == nil {
			s.fails = 0
		} else if s.fails++; kith.KindOf(err) == kith.Corrupt || kith.KindOf(err) == kith.Denied || kith.KindOf(err) == kith.Invalid {
			s.broken = err
		}
		o.mu.Unlock()
		if err == nil || ctx.Err() != nil {
			return data, err
		}
		last = better(last, err)
	}
	if last == nil {
		last = o.broken()
	}
	return nil, last
}

// next returns the server that has failed least, and of these the one that has given least; nil if all are broken.
func (o *origin) next() (best *server) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range o.servers {
		if s.broken == nil && (best == nil || s.fails < best.fails || s.fails == best.fails && s.bytes < best.bytes) {
			best = s
		}
	}
	return best
}

// broken says why no server is asked any more.
func (o *origin) broken() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range o.servers {
		if s.broken != nil {
			return s.broken
		}
	}
	return fmt.Errorf("web: %w", kith.NotFound)
}

// pin writes down what version of the file is fetched, before its first byte. If bytes of another version are here already, it is Corrupt.
func (o *origin) pin(v version) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.pinned || o.careful { // where other names check the bytes, those say whether they are right
		return nil
	}
	if old, ok := o.b.begun(o.first); ok && !old.same(v) && o.any(old.Size) {
		return changed(o.first)
	}
	if err := o.b.begin(o.first, &v); err != nil {
		return err
	}
	o.pinned = true
	return nil
}

// any reports whether any of the file is here.
func (o *origin) any(size int64) bool {
	for off := int64(0); off < size; off += unit {
		if o.content.Has(transfer.Span{Off: off, N: min(unit, size-off)}) {
			return true
		}
	}
	return false
}

func changed(address string) error {
	u, err := url.Parse(address)
	if err != nil {
		return kith.Corrupt
	}
	return kith.Hint(fmt.Errorf("web: the file at %s has changed since it was begun: %w", u.Host, kith.Corrupt), "take it off the list with kith rm, and fetch it again")
}

// fetchFrom asks one server for a stretch of the file.
func (o *origin) fetchFrom(ctx context.Context, s *server, v version, sp transfer.Span, alive func()) ([]byte, error) {
	header := http.Header{"Range": {fmt.Sprintf("bytes=%d-%d", sp.Off, sp.Off+sp.N-1)}}
	mine := s.url == o.first
	if tag := v.validator(); tag != "" && mine { // another server has names of its own for it
		header.Set("If-Range", tag)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(silence, func() { cancel(errSilent) })
	defer watch.Stop()
	resp, err := o.b.ask(ctx, s.url, o.careful, header)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	now, ranges, err := versionOf(resp)
	switch {
	case err != nil:
		return nil, err
	case mine && (!ranges || !now.same(v)):
		return nil, changed(s.url)
	case !ranges || now.Size != v.Size || !strings.HasPrefix(resp.Header.Get("Content-Range"), "bytes "+strconv.FormatInt(sp.Off, 10)+"-"):
		return nil, fmt.Errorf("web: %s has another file, or gives no stretches of it: %w", resp.Request.URL.Host, kith.Corrupt)
	}
	o.mu.Lock()
	s.via = via(resp)
	o.mu.Unlock()
	data := make([]byte, sp.N)
	for n := 0; n < len(data); {
		m, err := resp.Body.Read(data[n:min(len(data), n+chunk)])
		if n += m; m > 0 {
			watch.Reset(silence)
			o.came(s, m)
			alive()
		}
		if err != nil && n < len(data) {
			return nil, fmt.Errorf("web: %s broke off: %w: %w", resp.Request.URL.Host, cut(ctx, err), kith.Unavailable)
		}
	}
	return data, nil
}

var errSilent = errors.New("nothing came for a minute")

// cut returns why reading ended early.
func cut(ctx context.Context, err error) error {
	if c := context.Cause(ctx); c != nil {
		return c
	}
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (o *origin) came(s *server, n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s.bytes += int64(n)
	s.rate.Add(o.b.now(), int64(n))
}

// Here implements transfer.Origin: servers are given nothing.
func (o *origin) Here(transfer.Span) {}

// Verify implements transfer.Origin: the web names nothing by a digest, so there is nothing to compare. What was remembered of the file is forgotten.
func (o *origin) Verify(context.Context, func(n int64)) error {
	o.mu.Lock()
	first := o.first
	o.mu.Unlock()
	if first == "" || o.careful {
		return nil
	}
	return o.b.begin(first, nil)
}

// Peers implements transfer.Origin.
func (o *origin) Peers(max int) (list []transfer.OriginPeer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range o.servers {
		if u, err := url.Parse(s.url); err == nil && s.via != "" && s.broken == nil && len(list) < max {
			list = append(list, transfer.OriginPeer{Name: u.Host, Via: s.via, Have: 1, Down: s.rate.At(o.b.now()), Bytes: s.bytes})
		}
	}
	return list
}

// Close implements transfer.Origin.
func (o *origin) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	if o.spool != nil {
		o.spool.close()
		o.spool = nil
	}
	return nil
}

// A spool is a file that its server gives only as a whole, as it comes: kept aside so that stretches of it can be asked for in any order.
type spool struct {
	body io.ReadCloser
	file *os.File

	mu   sync.Mutex
	n    int64         // bytes that have come
	err  error         // why no more come
	news chan struct{} // closed and made anew whenever n or err changes
}

func newSpool(body io.ReadCloser, size int64, came func(int)) (*spool, error) {
	file, err := os.CreateTemp("", "kith-web-*")
	if err != nil {
		body.Close()
		return nil, fmt.Errorf("web: %w", err)
	}
	os.Remove(file.Name()) // where a file that is open can be removed, nothing stays after a crash
	s := &spool{body: body, file: file, news: make(chan struct{})}
	go s.pump(size, came)
	return s, nil
}

func (s *spool) pump(size int64, came func(int)) {
	buf := make([]byte, chunk)
	for {
		n, err := s.body.Read(buf)
		s.mu.Lock()
		if n > 0 {
			if _, werr := s.file.WriteAt(buf[:n], s.n); werr != nil {
				err = fmt.Errorf("web: %w", werr)
			}
			s.n += int64(n)
		}
		if s.n >= size {
			err = io.EOF
		} else if err == io.EOF {
			err = fmt.Errorf("web: %w: %w", io.ErrUnexpectedEOF, kith.Unavailable)
		}
		s.err = err
		close(s.news)
		s.news = make(chan struct{})
		s.mu.Unlock()
		came(n)
		if err != nil {
			s.body.Close()
			return
		}
	}
}

// read waits until n bytes at off have come.
func (s *spool) read(ctx context.Context, off, n int64, alive func()) ([]byte, error) {
	timer := time.NewTimer(silence)
	defer timer.Stop()
	for {
		s.mu.Lock()
		have, err, news := s.n, s.err, s.news
		s.mu.Unlock()
		switch {
		case have >= off+n:
			p := make([]byte, n)
			_, err := s.file.ReadAt(p, off)
			return p, err
		case err != nil:
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-timer.C:
			return nil, fmt.Errorf("web: %w: %w", errSilent, kith.Unavailable)
		case <-news:
			timer.Reset(silence)
			alive()
		}
	}
}

func (s *spool) close() {
	s.body.Close()
	s.file.Close()
	os.Remove(s.file.Name())
}
