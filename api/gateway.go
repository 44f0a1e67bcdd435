package api

import (
	"fmt"
	"net"
	"net/http"
	"strings"

	"kith"
)

// gateway returns the application that has pages of a public network; nil if there is none.
func (s *Server) gateway() http.Handler {
	for _, a := range s.o.Apps {
		if a.Gateway != nil {
			return a.Gateway
		}
	}
	return nil
}

// atGateway reports whether a request is for the gateway: for a path of it under a name of this computer, or for a host that is an origin of its own. Any other name
// (DNS rebinding) is not, whatever the path.
func (s *Server) atGateway(r *http.Request) bool {
	if gatewayHost(r.Host, s.port) {
		return true
	}
	path := r.URL.Path
	return s.own.hosts[r.Host] && (strings.HasPrefix(path, "/ipfs/") || strings.HasPrefix(path, "/ipns/"))
}

// gatewayHost reports whether host is NAME.ipfs.localhost or NAME.ipns.localhost at port. The name may have dots: domains are names of IPNS.
func gatewayHost(host, port string) bool {
	name, p, err := net.SplitHostPort(host)
	if err != nil || p != port {
		return false
	}
	for _, end := range []string{".ipfs.localhost", ".ipns.localhost"} {
		if label, ok := strings.CutSuffix(name, end); ok && label != "" {
			return true
		}
	}
	return false
}

// serveGateway hands a request to the gateway, unless a foreign web site sent it. What comes from the public network is never on the page's origin: what is asked for under a
// name of this computer is redirected by the gateway to an origin of its own, or is a download of bytes that no browser shows.
func (s *Server) serveGateway(w http.ResponseWriter, r *http.Request) {
	next := s.gateway()
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "SAMEORIGIN")
	if next == nil {
		writeProblem(w, fmt.Errorf("api: this node has no gateway: %w", kith.NotFound))
		return
	}
	if foreign(r) {
		writeProblem(w, kith.Hint(fmt.Errorf("api: another web site asked for it: %w", kith.Denied), "open the address yourself: copy it into the address bar"))
		return
	}
	if !gatewayHost(r.Host, s.port) {
		r = r.Clone(r.Context())
		r.Host = "localhost:" + s.port // to whose subdomains it redirects, since an address of numbers has none
	}
	next.ServeHTTP(w, r)
}

// foreign reports whether a browser sent a request for a web site of another origin, and not because a person clicked on a link there.
// What is no browser says nothing of where it comes from, and is let in: it is a program on this computer.
func foreign(r *http.Request) bool {
	switch site := r.Header.Get("Sec-Fetch-Site"); site {
	case "none", "same-origin":
		return false
	case "":
		o := r.Header.Get("Origin")
		return o != "" && o != "http://"+r.Host
	}
	clicked := r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document" && r.Header.Get("Sec-Fetch-User") == "?1"
	return !clicked || r.Method != http.MethodGet
}
