package api

import (
	"context"
	"net/http"
	"net/url"
)

// A door is a way in to the page and the interface, as a request finds it. There are two: this computer's own, and that of the owner's
// phone while it is open.
type door struct {
	scheme  string                               // with ://
	hosts   map[string]bool                      // exact Host values that it answers to
	hint    string                               // what to do about another one
	keeper  keeper                               // who lets in
	content string                               // where the page may take pictures and films from (CSP)
	mint    func(id, secret, name string) string // makes the address of content
	far     bool                                 // whoever comes in by it may be away from this computer
}

// A keeper knows who may come in by a door.
type keeper interface {
	// check lets a request in, or says why not.
	check(w http.ResponseWriter, r *http.Request) error
	// begin spends a one-time code for a session: it sets the cookie, and returns the proof that goes with it.
	begin(w http.ResponseWriter, r *http.Request, code string) (proof string, err error)
	// end ends the session of a request.
	end(w http.ResponseWriter, r *http.Request)
}

type doorKey struct{}

// doorOf returns the door that a request came in by; what comes in by none is of this computer itself.
func (s *Server) doorOf(ctx context.Context) *door {
	if d, ok := ctx.Value(doorKey{}).(*door); ok {
		return d
	}
	return s.own
}

// ownDoor returns the door of this computer.
func (s *Server) ownDoor() *door {
	return &door{
		scheme: "http://", hosts: allowedHosts(s.Addr(), s.o.Hosts), hint: "use http://" + dialable(s.Addr()), keeper: s.auth, content: "http://*.localhost:" + s.port,
		mint: func(id, secret, name string) string {
			return "http://" + id + ".localhost:" + s.port + "/" + secret + "/" + url.PathEscape(name)
		},
	}
}
