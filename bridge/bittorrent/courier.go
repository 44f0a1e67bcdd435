package bittorrent

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"syscall"
	"time"

	"kith"
	"kith/internal/lan"
)

// Limits of what a web server may do that a torrent or a link names: a tracker, a web seed, one that has the .torrent file.
const (
	maxHops    = 5                // addresses that it may send on to, one after the other
	maxHeader  = 64 << 10         // bytes of an answer's header
	dialTime   = 15 * time.Second // for a connection
	headerTime = 30 * time.Second // for an answer to begin
	perHost    = 10               // connections to one server
)

// courier asks web servers, from the address that is listened on. Whoever made the torrent chose theirs, and may have chosen that of something else: so nobody is led from HTTPS to HTTP, from the
// internet into the local network, or to what in the local network would do something when it is asked.
type courier struct{ any, public http.RoundTripper }

// newCourier returns a courier; blind: it takes any certificate.
func newCourier(at netip.Addr, blind bool) *courier {
	transport := func(public bool) *http.Transport {
		d := dialer(at)
		d.Timeout = dialTime
		if public {
			d.Control = func(_, address string, _ syscall.RawConn) error {
				if at, err := netip.ParseAddrPort(address); err != nil || lan.Local(at.Addr()) {
					return fmt.Errorf("it leads to %s, which is in this computer or its local network: %w", address, kith.Denied)
				}
				return nil
			}
		}
		return &http.Transport{
			DialContext: d.DialContext, TLSClientConfig: &tls.Config{InsecureSkipVerify: blind}, ForceAttemptHTTP2: true, TLSHandshakeTimeout: dialTime,
			ResponseHeaderTimeout: headerTime, MaxResponseHeaderBytes: maxHeader, MaxConnsPerHost: perHost, MaxIdleConnsPerHost: perHost, IdleConnTimeout: time.Minute,
		}
	}
	return &courier{transport(false), transport(true)}
}

// close ends all connections.
func (c *courier) close() {
	for _, t := range []http.RoundTripper{c.any, c.public} {
		t.(*http.Transport).CloseIdleConnections()
	}
}

// client returns a client for one request after another to the same address; local: it may be in the local network.
func (c *courier) client(local bool) *http.Client {
	return &http.Client{Transport: &errand{c: c, local: local}, CheckRedirect: func(req *http.Request, via []*http.Request) error {
		from := via[len(via)-1].URL
		switch to := req.URL; {
		case len(via) > maxHops:
			return fmt.Errorf("%s sends on more than %d times: %w", from.Host, maxHops, kith.Invalid)
		case to.Scheme != "https" && (to.Scheme != "http" || from.Scheme == "https"):
			return fmt.Errorf("%s sends on to %s, which is not encrypted: %w", from.Host, to.Host, kith.Denied)
		}
		return nil
	}}
}

// errand is a request, and those that follow where a server sends on to. It implements http.RoundTripper.
type errand struct {
	c      *courier
	local  bool
	inside bool // who was reached last is in this computer or its local network
}

// RoundTrip implements http.RoundTripper.
func (e *errand) RoundTrip(req *http.Request) (*http.Response, error) {
	t := e.c.public
	if e.local && (req.Response == nil || e.inside) {
		t = e.c.any
	}
	ctx := httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) {
		at, err := netip.ParseAddrPort(c.Conn.RemoteAddr().String())
		e.inside = err == nil && lan.Local(at.Addr())
	}})
	return t.RoundTrip(req.WithContext(ctx))
}

// unreached gives the error of a request its kind, and leaves out the address, of which a part may be secret.
func unreached(err error) error {
	if e := (*url.Error)(nil); errors.As(err, &e) {
		err = e.Err
	}
	if k := kith.KindOf(err); k == kith.Denied || k == kith.Invalid {
		return err
	}
	return fmt.Errorf("%w: %w", err, kith.Unavailable)
}
