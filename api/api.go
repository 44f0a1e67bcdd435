// Package api is a node's local interface: its operations as HTTP with an OpenAPI document, and the client that speaks to it.
//
// It is for the person at this computer: the command line, their page in their browser, their own scripts. It is not a way for peers
// to reach a node. Its one idea: whoever holds the token file of the data directory may do everything, and nobody else gets past the
// page's shell, whatever their browser was talked into sending.
package api

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kith"
	"kith/app"
)

// DefaultPort is where the interface listens when it is told nothing; if it is taken, at the next free one.
const DefaultPort = 4748

// Limits of what a caller may send, and of how long it may take.
const (
	MaxBody       = 1 << 20          // bytes of an operation's input
	MaxHeader     = 16 << 10         // bytes of a request's header
	headerTimeout = 5 * time.Second  // until the header is complete
	bodyTimeout   = 30 * time.Second // until an operation's input is complete
	writeTimeout  = 30 * time.Second // for a caller that reads nothing, for each write of an operation's output
	idleTimeout   = 2 * time.Minute  // between two requests
	stopTimeout   = 2 * time.Second  // for what runs when the node stops
	portTries     = 100              // ports tried above DefaultPort
)

// Options says what a Server serves. Dir is required.
type Options struct {
	Addr    string                 // host:port; "" for loopback at DefaultPort or the next free one; port 0 for any
	Before  *Server                // which has ended, and whose address and sessions this one takes over; nil for none
	Remote  bool                   // Addr may be reachable from other computers; there is no TLS, so a proxy must add it
	Hosts   []string               // further host:port that a browser may call it by, with Remote
	Dir     string                 // data directory: the token and node.json are written to it
	Apps    []app.App              // what can be called
	Page    fs.FS                  // the page's files, index.html at its root; nil for none
	Log     *slog.Logger           // nil for none
	Version string                 // of the program
	Metrics []prometheus.Collector // shown at /metrics beside those of the process
	Phone   *Phone                 // the way in for the owner's phone; nil for none
}

// Server answers at one address. It is made by New, which listens, and works while Serve runs.
type Server struct {
	o         Options
	log       *slog.Logger
	listeners []net.Listener
	port      string
	auth      *auth
	own       *door
	contents  *contents
	mux       http.Handler // behind the doors
	cross     *http.CrossOriginProtection
	closing   sync.Once
}

var _ app.Origin = (*Server)(nil)

// New listens, makes a fresh token and says in Dir where it is. Its error is Denied when Addr is not of this computer alone and Remote
// is not set, and Unavailable when Addr is taken.
func New(o Options) (*Server, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Before != nil {
		o.Addr = o.Before.Addr()
	}
	listeners, err := listen(o.Addr, o.Remote)
	if err != nil {
		return nil, err
	}
	s := &Server{o: o, log: o.Log, listeners: listeners, cross: http.NewCrossOriginProtection()}
	_, s.port, _ = net.SplitHostPort(s.Addr())
	s.contents = newContents()
	if s.auth, err = newAuth(o.Dir, "kith-"+s.port); err == nil {
		err = announce(o.Dir, dialable(s.Addr()))
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	if o.Before != nil {
		s.auth.takeOver(o.Before.auth)
	}
	s.own = s.ownDoor()
	if s.mux, err = s.routes(); err != nil {
		s.Close()
		return nil, err
	}
	if o.Phone != nil {
		o.Phone.server = s
	}
	return s, nil
}

// listen opens addr, and for the default also its IPv6 twin.
func listen(addr string, remote bool) ([]net.Listener, error) {
	if addr != "" {
		if err := checkAddr(addr, remote); err != nil {
			return nil, err
		}
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return nil, kith.Hint(fmt.Errorf("api: listen on %s: %w: %w", addr, err, kith.Unavailable),
				"choose another address with --api, or leave it out for the next free port")
		}
		return withTwin(l), nil
	}
	var err error
	for port := DefaultPort; port < DefaultPort+portTries; port++ {
		var l net.Listener
		if l, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err != nil {
			continue
		}
		return withTwin(l), nil
	}
	return nil, fmt.Errorf("api: no free port from %d on: %w: %w", DefaultPort, err, kith.Unavailable)
}

// withTwin adds [::1] at the same port to a listener on 127.0.0.1, where there is IPv6 and the port is free.
func withTwin(l net.Listener) []net.Listener {
	host, port, _ := net.SplitHostPort(l.Addr().String())
	if host != "127.0.0.1" {
		return []net.Listener{l}
	}
	twin, err := net.Listen("tcp", net.JoinHostPort("::1", port))
	if err != nil {
		return []net.Listener{l}
	}
	return []net.Listener{l, twin}
}

// checkAddr refuses an address that other computers can reach, unless that is wanted.
func checkAddr(addr string, remote bool) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return kith.Hint(fmt.Errorf("api: address %q is not host:port: %w", addr, kith.Invalid), "give one such as 127.0.0.1:%d", DefaultPort)
	}
	ip, err := netip.ParseAddr(host)
	if remote || host == "localhost" || err == nil && ip.IsLoopback() {
		return nil
	}
	return kith.Hint(fmt.Errorf("api: address %s can be reached from other computers: %w", addr, kith.Denied),
		"use 127.0.0.1, and ssh -L to reach it from elsewhere")
}

// allowedHosts lists every Host value that the page and the interface answer to.
func allowedHosts(addr string, more []string) map[string]bool {
	host, port, _ := net.SplitHostPort(addr)
	hosts := map[string]bool{}
	for _, h := range []string{"127.0.0.1", "::1", "localhost"} {
		hosts[net.JoinHostPort(h, port)] = true
	}
	if ip, err := netip.ParseAddr(host); err == nil && !ip.IsUnspecified() {
		hosts[net.JoinHostPort(host, port)] = true
	}
	for _, h := range more {
		hosts[h] = true
	}
	return hosts
}

// dialable returns addr as this computer can call it.
func dialable(addr string) string {
	host, port, _ := net.SplitHostPort(addr)
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// Addr returns the address that the interface listens on, as host:port.
func (s *Server) Addr() string { return s.listeners[0].Addr().String() }

// Addrs returns every address that the interface listens on, as host:port.
func (s *Server) Addrs() []string {
	var all []string
	for _, l := range s.listeners {
		all = append(all, l.Addr().String())
	}
	return all
}

// Serve answers until ctx ends, then gives what runs a moment to end. It may be called once, and closes the Server.
func (s *Server) Serve(ctx context.Context) error {
	defer s.Close()
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	srv := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    MaxHeader,
		BaseContext:       func(net.Listener) context.Context { return base },
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	failed := make(chan error, len(s.listeners))
	for _, l := range s.listeners {
		go func() { failed <- srv.Serve(l) }()
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	cancel()
	grace, done := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer done()
	if srv.Shutdown(grace) != nil {
		srv.Close()
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Close stops listening and withdraws what says in Dir where the interface is.
func (s *Server) Close() error {
	s.closing.Do(func() {
		for _, l := range s.listeners {
			l.Close()
		}
		if s.auth != nil {
			withdraw(s.o.Dir, dialable(s.Addr()))
		}
	})
	return nil
}

// OpenURL returns an address of the page that is good for one use within a minute, and gives the browser that opens it a session.
func (s *Server) OpenURL() string {
	return "http://" + dialable(s.Addr()) + "/#open=" + s.auth.newCode()
}
