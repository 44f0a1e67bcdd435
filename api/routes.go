package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"kith"
)

// routes makes the handler of every request.
func (s *Server) routes() (http.Handler, error) {
	calls, doc, err := describe(s.o.Apps, s.o.Version)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/openapi.json", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-cache")
		w.Write(doc)
	})
	mux.Handle("GET /api/session", s.private(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusNoContent) // it lives
	})))
	mux.HandleFunc("POST /api/session", s.beginSession)
	mux.HandleFunc("DELETE /api/session", s.endSession)
	for _, c := range calls {
		mux.Handle(c.path, s.private(s.serveCall(c)))
	}
	for _, a := range s.o.Apps {
		if a.HTTP != nil {
			prefix := "/api/" + a.Name + "/-"
			mux.Handle(prefix+"/", s.private(http.StripPrefix(prefix, a.HTTP)))
		}
	}
	metrics, err := s.metrics()
	if err != nil {
		return nil, err
	}
	mux.Handle("GET /metrics", s.private(metrics))
	mux.Handle("/api/", s.private(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		writeProblem(w, kith.Hint(fmt.Errorf("api: no operation at %s: %w", r.URL.Path, kith.NotFound), "GET /api/openapi.json lists them"))
	})))
	mux.Handle("/", s.page())
	return mux, nil
}

// metrics shows the process and what the node counts.
func (s *Server) metrics() (http.Handler, error) {
	reg := prometheus.NewRegistry()
	for _, c := range append([]prometheus.Collector{
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	}, s.o.Metrics...) {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("api: register metrics: %w", err)
		}
	}
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{}), nil
}

// ServeHTTP answers what comes in on this computer, and sends content to where it is no danger.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if id, ok := s.contentHost(r.Host); ok {
		s.contents.serve(w, r, id)
		return
	}
	if s.atGateway(r) {
		s.serveGateway(w, r)
		return
	}
	s.enter(s.own, w, r)
}

// enter stands before everything that comes in by a door: it turns away what was sent to another name (DNS rebinding) or from another site.
func (s *Server) enter(d *door, w http.ResponseWriter, r *http.Request) {
	protect(w.Header(), d.content)
	if !d.hosts[r.Host] {
		writeProblem(w, kith.Hint(fmt.Errorf("api: this node does not answer to the name %.80q: %w", r.Host, kith.Denied), "%s", d.hint))
		return
	}
	if err := s.cross.Check(r); err != nil {
		writeProblem(w, fmt.Errorf("api: %w: %w", err, kith.Denied))
		return
	}
	if strings.EqualFold(r.Header.Get("Upgrade"), "websocket") && r.Header.Get("Origin") != d.scheme+r.Host {
		writeProblem(w, fmt.Errorf("api: WebSocket from another origin: %w", kith.Denied))
		return
	}
	s.mux.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), doorKey{}, d)))
}

// private lets only those in whom the keeper of the door knows.
func (s *Server) private(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := s.doorOf(r.Context()).keeper.check(w, r); err != nil {
			writeProblem(w, err)
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// protect sets the headers that every answer on the page's origin has. content is where the page may take pictures and films from.
func protect(h http.Header, content string) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; connect-src 'self'; "+
		"manifest-src 'self'; worker-src 'self'; img-src 'self' data: blob: "+content+"; media-src 'self' blob: "+content+
		"; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "geolocation=(), microphone=(), payment=(), usb=()")
}

// beginSession spends the code of an address that kith open or kith phone made, and answers with the proof that goes with the cookie.
func (s *Server) beginSession(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Code string `json:"code"`
	}
	if err := readJSON(w, r, &in); err != nil {
		writeProblem(w, err)
		return
	}
	proof, err := s.doorOf(r.Context()).keeper.begin(w, r, in.Code)
	if err != nil {
		writeProblem(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]string{"proof": proof})
}

func (s *Server) endSession(w http.ResponseWriter, r *http.Request) {
	s.doorOf(r.Context()).keeper.end(w, r)
	w.WriteHeader(http.StatusNoContent)
}

// readJSON reads a small body that must be one JSON value.
func readJSON(w http.ResponseWriter, r *http.Request, into any) error {
	data, err := readBody(w, r)
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		return fmt.Errorf("api: read body: %w: %w", err, kith.Invalid)
	}
	return nil
}
