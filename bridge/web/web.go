// Package web fetches from web servers: HTTP and HTTPS, with ranges.
//
// It publishes nothing, and believes nothing but TLS: what an https:// address alone names is checked by nobody else, and where a link has other names the bytes are
// checked with those. Its one idea: a file on a web server is one more source of a download, asked for stretches of it like any other.
package web

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"kith"
	"kith/blob"
	"kith/blob/folder"
	"kith/bridge"
	"kith/internal/atomicfile"
	"kith/internal/lan"
	"kith/transfer"
)

// Name is what commands call it.
const Name = "web"

// Limits of what a server may do.
const (
	maxRedirects = 5                // addresses that a server may send on to, one after the other
	maxHeader    = 64 << 10         // bytes of an answer's header
	maxSize      = 1 << 50          // bytes of a file
	maxSpan      = 16 << 20         // bytes that are asked for at once
	maxKept      = 1000             // files of which it is remembered what they were when they were begun
	perHost      = 6                // connections to one server, as browsers have them
	dialTime     = 15 * time.Second // for a connection
	headerTime   = 30 * time.Second // for an answer to begin
	silence      = 60 * time.Second // for the next bytes of one
)

// Options are what a Bridge is made of.
type Options struct {
	Dir   string // where it keeps what it knows; it is made if it is not there
	Log   *slog.Logger
	Agent string      // what it says it is; "" for kith
	TLS   *tls.Config // nil: the certificates that this computer trusts
}

// Bridge is the web as a network of others. It implements bridge.Bridge.
type Bridge struct {
	o      Options
	any    *http.Client // goes wherever it is sent
	public *http.Client // goes to no address of this computer or its local network

	base time.Time

	mu   sync.Mutex
	kept map[string]version // by URL
}

// A version is what a file on a server was when it was begun to be fetched.
type version struct {
	Size     int64     `json:"size"`
	ETag     string    `json:"etag,omitempty"`
	Modified string    `json:"modified,omitempty"`
	At       time.Time `json:"at"`
}

var _ bridge.Bridge = (*Bridge)(nil)

// New returns a Bridge. It opens no socket before something is fetched.
func New(o Options) (*Bridge, error) {
	if o.Agent == "" {
		o.Agent = "kith"
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	b := &Bridge{o: o, base: time.Now(), kept: map[string]version{}}
	b.any, b.public = b.client(false), b.client(true)
	data, err := os.ReadFile(b.path())
	if err == nil && json.Unmarshal(data, &b.kept) != nil {
		b.kept = map[string]version{} // at the worst a file that has changed meanwhile is noticed later
	}
	return b, nil
}

func (b *Bridge) path() string { return filepath.Join(b.o.Dir, "web.json") }

// client returns a client that follows no redirects by itself.
func (b *Bridge) client(public bool) *http.Client {
	dialer := &net.Dialer{Timeout: dialTime}
	if public {
		dialer.Control = func(_, address string, _ syscall.RawConn) error {
			if at, err := netip.ParseAddrPort(address); err != nil || lan.Local(at.Addr()) {
				return fmt.Errorf("web: it leads to %s, which is in this computer or its local network: %w", address, kith.Denied)
			}
			return nil
		}
	}
	t := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, TLSClientConfig: b.o.TLS, ForceAttemptHTTP2: true, DisableCompression: true,
		TLSHandshakeTimeout: dialTime, ResponseHeaderTimeout: headerTime, MaxResponseHeaderBytes: maxHeader, MaxConnsPerHost: perHost, MaxIdleConnsPerHost: perHost, IdleConnTimeout: time.Minute,
	}
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// now is the time for meters, which know none.
func (b *Bridge) now() time.Duration { return time.Since(b.base) }

// Start does nothing: there is nothing that goes on by itself.
func (b *Bridge) Start(context.Context) error { return nil }

// Close ends all connections.
func (b *Bridge) Close() error {
	b.any.CloseIdleConnections()
	b.public.CloseIdleConnections()
	return nil
}

// Name implements bridge.Bridge.
func (b *Bridge) Name() string { return Name }

// Taps implements bridge.Bridge: it wants to see nothing.
func (b *Bridge) Taps(int, int64) blob.Tap { return nil }

// Publish implements bridge.Bridge: nothing is published on the web.
func (b *Bridge) Publish(context.Context, bridge.Share) (kith.Names, error) {
	return kith.Names{}, kith.Hint(fmt.Errorf("web: nothing is published there: %w", kith.Invalid), "kith share --guest gives it to browsers in the local network")
}

// Withdraw implements bridge.Bridge.
func (b *Bridge) Withdraw(context.Context, kith.Ref) error { return nil }

// Status implements bridge.Bridge.
func (b *Bridge) Status(kith.Ref) (bridge.Status, error) {
	return bridge.Status{}, fmt.Errorf("web: %w", kith.NotFound)
}

// Open implements bridge.Bridge: a web address that nothing else names, or, of a single file that Kith names, the addresses in its link. Web seeds of torrents are asked by
// BitTorrent, which checks each piece.
func (b *Bridge) Open(l kith.Link) transfer.Opener {
	torrent := l.V1 != (kith.InfoHash{}) || l.V2 != [32]byte{}
	var urls []string
	if l.Source != "" && !torrent && l.Torrent() == "" && !strings.HasSuffix(strings.ToLower(l.Source), ".torrent") {
		urls = append(urls, l.Source)
	}
	alone := l.Ref.IsZero()
	switch {
	case torrent, l.Key != nil:
		return nil
	case alone && (l.IPFS.Defined() || l.IPNS != ""), !alone && l.Ref.Codec != kith.Raw:
		return nil
	case !alone:
		urls = append(urls, l.WebSeeds...)
	}
	if len(urls) == 0 {
		return nil
	}
	return func(_ context.Context, c transfer.Content) (transfer.Origin, error) {
		return newOrigin(b, urls, !alone, c), nil
	}
}

// ReadTorrent returns the .torrent file that an address is, of at most max bytes; nil if it is something else.
func (b *Bridge) ReadTorrent(ctx context.Context, address string, max int64) ([]byte, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("web: %w: %w", err, kith.Invalid)
	}
	named := strings.HasSuffix(strings.ToLower(u.Path), ".torrent")
	resp, err := b.ask(ctx, address, false, nil)
	if err != nil || resp.StatusCode != http.StatusOK {
		if err == nil {
			resp.Body.Close()
			err = refusal(resp)
		}
		if named {
			return nil, err
		}
		return nil, nil // the download says it, and asks again
	}
	defer resp.Body.Close()
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); !named && kind != "application/x-bittorrent" {
		return nil, nil
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, max+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("web: read %s: %w: %w", u.Host, err, kith.Unavailable)
	case int64(len(data)) > max:
		return nil, fmt.Errorf("web: the .torrent file has more than %d bytes: %w", max, kith.TooLarge)
	}
	return data, nil
}

// ask sends a GET, and follows where the server sends on to: not from HTTPS to HTTP, and not from the internet into the local network. careful: the address was chosen by
// somebody else; if it has a query, it leads to no local address, since it may make something there do something.
func (b *Bridge) ask(ctx context.Context, address string, careful bool, header http.Header) (*http.Response, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("web: %w: %w", err, kith.Invalid)
	}
	client := b.any
	if careful && u.RawQuery != "" {
		client = b.public
	}
	for hop := 0; ; hop++ {
		inside := false
		ctx := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) {
			at, err := netip.ParseAddrPort(c.Conn.RemoteAddr().String())
			inside = err == nil && lan.Local(at.Addr())
		}})
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
		if err != nil {
			return nil, fmt.Errorf("web: %w: %w", err, kith.Invalid)
		}
		for k, v := range header {
			req.Header[k] = v
		}
		req.Header.Set("User-Agent", b.o.Agent)
		resp, err := client.Do(req)
		if err != nil {
			return nil, failed(u, err)
		}
		to, err := resp.Location()
		if resp.StatusCode < 300 || resp.StatusCode > 399 || err != nil {
			return resp, nil
		}
		resp.Body.Close()
		switch {
		case hop == maxRedirects:
			return nil, fmt.Errorf("web: %s sends on more than %d times: %w", u.Host, maxRedirects, kith.Invalid)
		case to.Scheme != "https" && (to.Scheme != "http" || u.Scheme == "https"):
			return nil, fmt.Errorf("web: %s sends on to %s, which is not encrypted: %w", u.Host, to.Host, kith.Denied)
		case !inside:
			client = b.public
		}
		u = to
	}
}

// failed gives the error of a request its kind: a server that cannot be reached now may be tomorrow.
func failed(u *url.URL, err error) error {
	if kith.KindOf(err) == kith.Denied {
		return err
	}
	return fmt.Errorf("web: %s cannot be reached: %w: %w", u.Host, cause(err), kith.Unavailable)
}

// cause returns what url.Error wraps, which need not repeat the address.
func cause(err error) error {
	if e, ok := err.(*url.Error); ok {
		return e.Err
	}
	return err
}

// refusal says what an answer that is none means.
func refusal(resp *http.Response) error {
	kind := kith.Unavailable
	switch code := resp.StatusCode; {
	case code == http.StatusNotFound, code == http.StatusGone:
		kind = kith.NotFound
	case code == http.StatusTooManyRequests, code == http.StatusRequestTimeout:
	case code == http.StatusUnauthorized, code == http.StatusForbidden, code == http.StatusProxyAuthRequired:
		kind = kith.Denied
	case code >= 400 && code < 500:
		kind = kith.Invalid
	}
	return fmt.Errorf("web: %s answers %s: %w", resp.Request.URL.Host, resp.Status, kind)
}

// nameOf returns what a file is called: as its server says, or as its address ends.
func nameOf(resp *http.Response, first string) string {
	if _, params, err := mime.ParseMediaType(resp.Header.Get("Content-Disposition")); err == nil && params["filename"] != "" {
		return folder.CleanName(params["filename"])
	}
	u, err := url.Parse(first)
	if err != nil {
		return ""
	}
	name := strings.TrimSuffix(u.Path, "/")
	if name = name[strings.LastIndex(name, "/")+1:]; name == "" {
		name = u.Hostname()
	}
	return folder.CleanName(name)
}

// versionOf returns what a file is, by the header of an answer to a request for its first byte; ranges: stretches of it can be asked for.
func versionOf(resp *http.Response) (v version, ranges bool, err error) {
	v = version{Size: resp.ContentLength, Modified: resp.Header.Get("Last-Modified"), At: time.Now()}
	if tag := resp.Header.Get("ETag"); !strings.HasPrefix(tag, "W/") { // a weak one says nothing of the bytes
		v.ETag = tag
	}
	switch resp.StatusCode {
	case http.StatusPartialContent:
		_, total, _ := strings.Cut(resp.Header.Get("Content-Range"), "/")
		if v.Size, err = strconv.ParseInt(total, 10, 64); err != nil {
			v.Size = -1
		}
		ranges = true
	case http.StatusRequestedRangeNotSatisfiable: // of an empty file
		v.Size = 0
	case http.StatusOK:
	default:
		return v, false, refusal(resp)
	}
	switch {
	case v.Size < 0:
		return v, false, kith.Hint(fmt.Errorf("web: %s does not say how large it is: %w", resp.Request.URL.Host, kith.Invalid), "fetch it with a browser, and share the file")
	case v.Size > maxSize:
		return v, false, fmt.Errorf("web: %s says that it has %d bytes: %w", resp.Request.URL.Host, v.Size, kith.TooLarge)
	}
	return v, ranges, nil
}

// same reports whether two versions are one, as far as the server says.
func (v version) same(w version) bool {
	switch {
	case v.Size != w.Size:
		return false
	case v.ETag != "" && w.ETag != "":
		return v.ETag == w.ETag
	}
	return v.Modified == w.Modified
}

// validator returns what makes a server answer with a stretch only of this version; "" if it has nothing for that.
func (v version) validator() string {
	if v.ETag != "" {
		return v.ETag
	}
	return v.Modified
}

// begun returns what a file was when it was begun.
func (b *Bridge) begun(address string) (version, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	v, ok := b.kept[address]
	return v, ok
}

// begin writes down what a file is, so that after a restart a file that has changed is noticed; v of no size: it is complete, and forgotten.
func (b *Bridge) begin(address string, v *version) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if v == nil {
		delete(b.kept, address)
	} else {
		b.kept[address] = *v
	}
	for len(b.kept) > maxKept {
		oldest := ""
		for k, w := range b.kept {
			if oldest == "" || w.At.Before(b.kept[oldest].At) {
				oldest = k
			}
		}
		delete(b.kept, oldest)
	}
	data, err := json.Marshal(b.kept)
	if err != nil {
		return fmt.Errorf("web: %w", err)
	}
	if err := os.MkdirAll(b.o.Dir, 0o700); err != nil {
		return fmt.Errorf("web: %w", err)
	}
	return atomicfile.Write(b.path(), data, 0o600)
}
