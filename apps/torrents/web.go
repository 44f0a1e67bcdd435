package torrents

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"kith"
)

// Limits of what is fetched from the web.
const (
	webTime      = 30 * time.Second // for all of one answer
	maxRedirects = 5
	maxRetry     = 24 * time.Hour // what a server may ask to be left alone for
)

// An answer is what a web server gave.
type answer struct {
	body           []byte
	same           bool // it has not changed since
	etag, modified string
	magnet         string        // it redirects to a magnet link
	retry          time.Duration // with an error: when to ask again, 0 if it does not say
}

// errMagnet ends redirects.
var errMagnet = errors.New("a magnet link")

// fetchWeb gets what is at an address, at most max bytes of it. home says that the address may be one of this computer or a local network: of what strangers name in a feed, only
// where the feed itself comes from such.
func fetchWeb(ctx context.Context, at, etag, modified string, max int64, home bool) (a answer, err error) {
	ctx, cancel := context.WithTimeout(ctx, webTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil || req.URL.Scheme != "http" && req.URL.Scheme != "https" {
		return a, fmt.Errorf("torrents: %.200q is no address of the web: %w", at, kith.Invalid)
	}
	req.Header.Set("User-Agent", "kith")
	req.Header.Set("Accept", "application/rss+xml, application/atom+xml, application/feed+json, application/x-bittorrent, */*;q=0.5")
	if etag != "" {
		req.Header.Set("If-None-Match", etag)
	}
	if modified != "" {
		req.Header.Set("If-Modified-Since", modified)
	}
	transport := &http.Transport{
		Proxy:             http.ProxyFromEnvironment,
		DialContext:       (&net.Dialer{Timeout: webTime, Control: func(_, addr string, _ syscall.RawConn) error { return mayDial(addr, home) }}).DialContext,
		DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10, ForceAttemptHTTP2: true,
	}
	client := http.Client{Transport: transport, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		switch {
		case r.URL.Scheme == "magnet":
			a.magnet = r.URL.String()
			return errMagnet
		case r.URL.Scheme != "http" && r.URL.Scheme != "https":
			return fmt.Errorf("it leads to %.60q: %w", r.URL.Scheme, kith.Invalid)
		case len(via) > maxRedirects:
			return fmt.Errorf("it leads on more than %d times: %w", maxRedirects, kith.Invalid)
		}
		return nil
	}}
	res, err := client.Do(req)
	if errors.Is(err, errMagnet) {
		return a, nil
	}
	if err != nil {
		kind := kith.KindOf(err)
		if kind == kith.Internal {
			kind = kith.Unavailable
		}
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return a, fmt.Errorf("torrents: %s: %w: %w", host(at), err, kind)
	}
	defer res.Body.Close()
	a.etag, a.modified = cutHeader(res.Header.Get("ETag")), cutHeader(res.Header.Get("Last-Modified"))
	switch {
	case res.StatusCode == http.StatusNotModified && (etag != "" || modified != ""):
		a.same = true
		return a, nil
	case res.StatusCode != http.StatusOK:
		if n, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && n > 0 {
			a.retry = min(time.Duration(n)*time.Second, maxRetry)
		}
		return a, fmt.Errorf("torrents: %s answers %d %s: %w", host(at), res.StatusCode, http.StatusText(res.StatusCode), kith.Unavailable)
	}
	a.body, err = io.ReadAll(io.LimitReader(res.Body, max+1))
	switch {
	case err != nil:
		return a, fmt.Errorf("torrents: %s: %w: %w", host(at), err, kith.Unavailable)
	case int64(len(a.body)) > max:
		return a, fmt.Errorf("torrents: what %s has is more than %d bytes: %w", host(at), max, kith.TooLarge)
	}
	return a, nil
}

func cutHeader(s string) string {
	if len(s) > 512 {
		return ""
	}
	return s
}

// mayDial refuses addresses that only this computer or its networks have, unless home.
func mayDial(addr string, home bool) error {
	a, err := netip.ParseAddrPort(addr)
	if err != nil {
		return err
	}
	if ip := a.Addr().WithZone("").Unmap(); !home && !worldwide(ip) {
		return fmt.Errorf("%s is an address of a local network, where feeds from outside may not send this node: %w", ip, kith.Denied)
	}
	return nil
}

var carrier = netip.MustParsePrefix("100.64.0.0/10") // RFC 6598

func worldwide(a netip.Addr) bool {
	return a.IsGlobalUnicast() && !a.IsPrivate() && !carrier.Contains(a)
}

// atHome reports whether the address of a feed, which a person gave, is of this computer or a local network.
func atHome(ctx context.Context, at string) bool {
	u, err := url.Parse(at)
	if err != nil {
		return false
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname())
	if err != nil || len(ips) == 0 {
		return false
	}
	for _, ip := range ips {
		if worldwide(ip.Unmap()) {
			return false
		}
	}
	return true
}

// host returns what of an address may stand in a message: feeds have secrets in theirs.
func host(at string) string {
	if u, err := url.Parse(at); err == nil && u.Host != "" {
		return u.Host
	}
	return "the address"
}

// fetchItem returns what an item of a feed is: a link, or a .torrent file.
func fetchItem(ctx context.Context, link string, home bool) (torrent []byte, magnet string, err error) {
	if strings.HasPrefix(strings.ToLower(link), "magnet:") {
		return nil, link, nil
	}
	a, err := fetchWeb(ctx, link, "", "", maxWatched, home)
	if err != nil || a.magnet != "" {
		return nil, a.magnet, err
	}
	return a.body, "", nil
}
