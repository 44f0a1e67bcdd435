package bittorrent

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"kith"
	"kith/bridge/bittorrent/courier"
	"kith/bridge/bittorrent/farewell"
	"kith/bridge/bittorrent/metainfo"
	"kith/bridge/bittorrent/udp"
	"kith/internal/lan"
	"kith/internal/plain"
)

// Limits of what a tracker may do.
const (
	announceMin      = 60 * time.Second // between two announcements, whatever it says …
	announceMax      = 2 * time.Hour    // … and at most
	trackerTime      = 30 * time.Second // for an answer
	trackerAgain     = 2 * time.Second  // until one where nobody listens is asked again, doubled each time while that time lasts
	maxTrackerURL    = 2048             // bytes
	leftFor          = 60               // seconds until a tracker that was told that this node has left is told that it is there again: the library keeps the interval
	maxTrackerReason = 200              // bytes of why it refuses, that are shown
)

// trackerHost is where the library asks HTTP trackers: what it reaches there is this package, which asks the real one. The library takes an answer of any length, of any depth,
// and of types that end the process; asks as often as it is told to; and dials whatever it is told to.
const trackerHost = "trackers.kith.invalid"

// trackers asks trackers for the library.
type trackers struct {
	b       *Bridge
	courier *courier.Courier
	conns   chan net.Conn // that the library has dialled
	server  *http.Server
	ended   chan struct{}
	left    farewell.Book
}

// newTrackers returns what asks trackers. What they say is believed by nobody, and so is their certificate: TLS is for those who listen.
func newTrackers(b *Bridge) *trackers {
	t := &trackers{b: b, courier: courier.New(b.o.Bind, true), conns: make(chan net.Conn), ended: make(chan struct{})}
	t.server = &http.Server{Handler: t, ReadHeaderTimeout: trackerTime, ErrorLog: log.New(io.Discard, "", 0)}
	go t.server.Serve(t)
	return t
}

// close ends all that is asked.
func (t *trackers) close() {
	t.server.Close()
	t.courier.Close()
}

// Accept implements net.Listener, with connections of this process alone.
func (t *trackers) Accept() (net.Conn, error) {
	select {
	case c := <-t.conns:
		return c, nil
	case <-t.ended:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. It is called once.
func (t *trackers) Close() error {
	close(t.ended)
	return nil
}

// Addr implements net.Listener.
func (t *trackers) Addr() net.Addr { return &net.UnixAddr{Net: "pipe", Name: trackerHost} }

// urlFor returns what the library is given of a tracker, "" for one that it does not survive or nobody can ask.
func (t *trackers) urlFor(tracker string) string {
	u, err := url.Parse(tracker)
	if err != nil || u.Host == "" || len(tracker) > maxTrackerURL {
		return ""
	}
	switch u.Scheme {
	case "http", "https":
		return "http://" + trackerHost + "/" + base64.RawURLEncoding.EncodeToString([]byte(tracker))
	case "ws", "wss":
		return "ws://" + trackerHost + "/" + base64.RawURLEncoding.EncodeToString([]byte(tracker))
	case "udp":
		u.User, u.Fragment, u.RawFragment = nil, "", "" // the library ends the process at a user's name, and at an address that is not as it would write it
		again, err := url.Parse(u.String())
		if err != nil || again.String() != u.String() {
			return ""
		}
		return u.String()
	}
	return ""
}

// nameOf returns the tracker of which the library was given url.
func (t *trackers) nameOf(url string) string {
	_, rest, _ := strings.Cut(url, "://")
	if rest, ok := strings.CutPrefix(rest, trackerHost+"/"); ok {
		if name, err := base64.RawURLEncoding.DecodeString(rest); err == nil {
			return string(name)
		}
	}
	return url
}

// dial is what the library dials trackers with.
func (t *trackers) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	if host, _, err := net.SplitHostPort(addr); err != nil || host != trackerHost {
		return nil, fmt.Errorf("bittorrent: dial tracker at %s: %w", addr, kith.Internal)
	}
	near, far := net.Pipe()
	select {
	case t.conns <- far:
		return near, nil
	case <-t.ended:
		return nil, fmt.Errorf("bittorrent: dial tracker: %w", net.ErrClosed)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// ServeHTTP answers the library.
func (t *trackers) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	name, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(req.URL.Path, "/"))
	u, perr := url.Parse(string(name))
	if err = errors.Join(err, perr); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	known := slices.Contains(t.b.o.Config.Trackers, string(name)) // the person's own
	if u.Scheme == "ws" || u.Scheme == "wss" {
		t.socket(w, req, u, known)
		return
	}
	if a, ok := t.b.away(string(name)); ok {
		w.Write(a.Encode())
		return
	}
	var s *swarm
	stops := req.URL.Query().Get("event") == "stopped"
	if hash := req.URL.Query().Get("info_hash"); len(hash) == len(kith.InfoHash{}) {
		if s = t.b.swarmOf(kith.InfoHash([]byte(hash))); !t.left.Tell(string(name), hash, s != nil, stops) {
			w.Write(metainfo.Answer{Interval: leftFor}.Encode())
			return
		}
	}
	ctx, cancel := context.WithTimeout(req.Context(), trackerTime)
	defer cancel()
	a, err := t.announce(ctx, req, u, known)
	if err != nil {
		a = metainfo.Answer{Failure: err.Error()}
	} else if s != nil {
		s.named(a.Peers)
	}
	if stops {
		a.Interval = leftFor
	}
	w.Write(a.Encode())
}

// announce asks an HTTP tracker what a request of the library asks. One where nobody listens is asked again: the library would wait a minute, and perhaps the network has only just
// come, or that tracker.
func (t *trackers) announce(ctx context.Context, req *http.Request, u *url.URL, known bool) (a metainfo.Answer, err error) {
	say := func(said string) {
		if hash := req.URL.Query().Get("info_hash"); len(hash) == len(kith.InfoHash{}) && ctx.Err() == nil {
			if s := t.b.swarmOf(kith.InfoHash([]byte(hash))); s != nil {
				s.mu.Lock()
				s.tracked = said
				s.mu.Unlock()
			}
		}
	}
	plainly := u.RawQuery == "" && strings.HasPrefix(path.Base(u.Path), "announce")
	if u.RawQuery != "" { // some want what is in their address to come first
		u.RawQuery += "&"
	}
	u.RawQuery += req.URL.RawQuery
	for wait := trackerAgain; ; wait *= 2 {
		var nobody *net.OpError
		if a, err = t.ask(ctx, u, known || plainly); err == nil {
			break
		}
		say("the tracker " + plain.Text(u.Host) + " does not answer: " + plain.Text(err.Error()))
		if !errors.As(err, &nobody) || nobody.Op != "dial" || errors.Is(err, kith.Denied) {
			return a, fmt.Errorf("bittorrent: ask tracker: %w", err)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return a, fmt.Errorf("bittorrent: ask tracker: %w", err)
		}
	}
	said := ""
	if len(a.Failure) > 0 {
		said = "the tracker " + plain.Text(u.Host) + " refuses: " + plain.Text(a.Failure[:min(len(a.Failure), maxTrackerReason)])
	}
	say(said)
	a.Interval = min(max(a.Interval, int64(announceMin.Seconds())), int64(announceMax.Seconds()))
	return a, nil
}

// ask asks a tracker once; local: it may be in the local network.
func (t *trackers) ask(ctx context.Context, u *url.URL, local bool) (a metainfo.Answer, err error) {
	data, inside, err := t.get(ctx, u, local)
	if err != nil {
		return a, err
	}
	good := func(a netip.Addr) bool { return !lan.Local(a) }
	if inside {
		good = nil // one in the local network knows who else is there
	}
	return metainfo.ParseAnswer(data, good)
}

// get asks one address; local: it may be in the local network. Inside reports whether what answered is.
func (t *trackers) get(ctx context.Context, u *url.URL, local bool) (data []byte, inside bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, false, fmt.Errorf("%w: %w", err, kith.Invalid)
	}
	req.Header.Set("User-Agent", "Kith/"+t.b.o.Version)
	client := t.courier.Client(local)
	resp, err := client.Do(req)
	if err != nil {
		return nil, false, courier.Explain(err)
	}
	defer resp.Body.Close()
	data, err = io.ReadAll(io.LimitReader(resp.Body, metainfo.MaxAnswer+1))
	switch {
	case err != nil:
		return nil, false, fmt.Errorf("%w: %w", err, kith.Unavailable)
	case resp.StatusCode != http.StatusOK:
		return nil, false, fmt.Errorf("it says %s: %w", resp.Status, kith.Unavailable)
	}
	return data, courier.Inside(client), nil
}

// listen is what the library listens with for what UDP trackers answer.
func (t *trackers) listen(network, addr string) (net.PacketConn, error) {
	if at := t.b.o.Bind; at.IsValid() {
		addr = netip.AddrPortFrom(at, 0).String()
	}
	c, err := net.ListenPacket(network, addr)
	if err != nil {
		return nil, err
	}
	return udp.New(c, udp.Options{V6: network == "udp6", Min: announceMin, Max: announceMax, After: leftFor * time.Second, Left: &t.left, Swarms: swarms{t.b}}), nil
}

// swarms implements udp.Swarms.
type swarms struct{ b *Bridge }

func (w swarms) There(h kith.InfoHash) bool { return w.b.swarmOf(h) != nil }

func (w swarms) Named(h kith.InfoHash, peers []netip.AddrPort) {
	if s := w.b.swarmOf(h); s != nil {
		s.named(peers)
	}
}
