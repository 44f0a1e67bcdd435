// Package courier asks web servers that a torrent or a link names: a tracker, a web seed, one that has the .torrent file.
//
// It knows nothing of what is asked. Its one idea: whoever made the torrent chose the address, and may have chosen that of something else; so nobody is led from HTTPS to
// HTTP, from the internet into the local network, or to what in the local network would do something when it is asked.
package courier

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"syscall"
	"time"

	"kith"
	"kith/internal/lan"
)

// MaxHops is how many addresses a server may send on to, one after the other.
const MaxHops = 5

// Limits of what a server may do.
const (
	maxHeader  = 64 << 10         // bytes of an answer's header
	dialTime   = 15 * time.Second // for a connection
	headerTime = 30 * time.Second // for an answer to begin
	perHost    = 10               // connections to one server
)

// A Courier asks web servers.
type Courier struct{ any, public http.RoundTripper }

// New returns a Courier that dials from an address of this computer, if that is valid; blind: it takes any certificate.
func New(at netip.Addr, blind bool) *Courier {
	transport := func(public bool) *http.Transport {
		d := &net.Dialer{Timeout: dialTime}
		if at.IsValid() {
			d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(at, 0))
		}
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
	return &Courier{transport(false), transport(true)}
}

// Close ends all connections that wait for a request.
func (c *Courier) Close() {
	for _, t := range []http.RoundTripper{c.any, c.public} {
		t.(*http.Transport).CloseIdleConnections()
	}
}

// Client returns a client for one request after another to the same address; local: it may be in the local network. An error of it says what is wrong by Explain.
func (c *Courier) Client(local bool) *http.Client {
	return &http.Client{Transport: &errand{c: c, local: local}, CheckRedirect: func(req *http.Request, via []*http.Request) error {
		from := via[len(via)-1].URL
		switch to := req.URL; {
		case len(via) > MaxHops:
			return fmt.Errorf("%s sends on more than %d times: %w", from.Host, MaxHops, kith.Invalid)
		case to.Scheme != "https" && (to.Scheme != "http" || from.Scheme == "https"):
			return fmt.Errorf("%s sends on to %s, which is not encrypted: %w", from.Host, to.Host, kith.Denied)
		}
		return nil
	}}
}

// errand is a request, and those that follow where a server sends on to. It implements http.RoundTripper.
type errand struct {
	c      *Courier
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

// Inside reports whether what a Client reached last is in this computer or its local network.
func Inside(client *http.Client) bool { return client.Transport.(*errand).inside }

// Explain gives the error of a request its kind, which is Denied, Invalid or Unavailable, and leaves out the address, of which a part may be secret.
func Explain(err error) error {
	if e := (*url.Error)(nil); errors.As(err, &e) {
		err = e.Err
	}
	if k := kith.KindOf(err); k == kith.Denied || k == kith.Invalid {
		return err
	}
	return fmt.Errorf("%w: %w", err, kith.Unavailable)
}
