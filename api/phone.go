package api

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"kith/app"
	"kith/internal/atomicfile"
	"kith/internal/lan"
	"kith/internal/room"
)

// Limits of the way in for phones.
const (
	DefaultPhonePort = 4770                // of the page; content of others is at another one; if taken, the next free ones
	phoneCodeLife    = 5 * time.Minute     // of an address that lets a phone in once
	phoneLife        = 30 * 24 * time.Hour // of a phone's session that is not used
	maxPhones        = 16                  // with a session; the one not seen for longest goes first
	maxPhoneCodes    = 4
	phoneConns       = 64              // connections at once
	phoneConnsHost   = 32              // of which from one address
	phoneSaveEvery   = 5 * time.Minute // when a phone was last seen
	phoneLookEvery   = 5 * time.Second // at the addresses of this computer, while the way is open
	maxAgent         = 80              // bytes of what a phone says it is
)

// A Phone is the way in for the owner's phone: the page and the interface over HTTPS, on the local network, for who has a session. It is
// closed until kith phone opens it, and closes by itself when nobody has a session or a code that is good still.
type Phone struct {
	server *Server
	env    app.Env
	log    *slog.Logger
	path   string
	now    func() time.Time
	wake   chan struct{}
	cert   *certificate
	at     string        // the setting
	fails  *rate.Limiter // wrong codes

	mu    sync.Mutex
	state phoneState
	codes map[[32]byte]time.Time
	open  *phoneDoor // nil: closed
	saved time.Time
	dirty bool
	over  bool
}

// phoneSettings are the section [apps.phone] of config.toml.
type phoneSettings struct {
	At string `toml:"at"` // address of this computer that phones find, unless kith phone names one
}

// phoneState is what phone.json holds.
type phoneState struct {
	On     bool           `json:"on"`
	Port   int            `json:"port,omitempty"`
	At     string         `json:"at,omitempty"`
	Phones []phoneSession `json:"phones"`
}

// phoneDoor is the listening that goes with the way being open: one port for the page, one for what is of others.
type phoneDoor struct {
	page, content *lan.Listener
	servers       [2]*http.Server
}

// NewPhone returns the way in for phones. It goes into Options, and its App on the list of applications.
func NewPhone() *Phone {
	return &Phone{now: time.Now, wake: make(chan struct{}, 1), codes: map[[32]byte]time.Time{}, fails: rate.NewLimiter(failPerSec, failBurst), log: slog.New(slog.DiscardHandler)}
}

// App describes the operations; it is the table of contents of the phone's files.
func (p *Phone) App() app.App {
	return app.App{
		Name: "phone", Help: "the page on your own phone", Root: true,
		Ops: []app.Op{phoneOp(p.begun), phoneLsOp(p.list), phoneRmOp(p.remove), phoneOffOp(p.off)},
		Listens: func() (string, []string) {
			p.mu.Lock()
			defer p.mu.Unlock()
			if p.open == nil {
				return "phone", nil
			}
			return "phone", append(p.open.page.Hosts(), p.open.content.Hosts()...)
		},
		Start: p.start,
		Stop:  p.stop,
	}
}

func (p *Phone) start(_ context.Context, env app.Env) error {
	p.env, p.log, p.path = env, env.Log, filepath.Join(env.Dir, "phone.json")
	p.cert = &certificate{dir: env.Dir, now: p.now}
	var set phoneSettings
	if err := env.Config(&set); err != nil {
		return err
	}
	if _, err := lan.ParseAt(set.At); err != nil {
		return fmt.Errorf("phone: setting apps.phone.at: %w", err)
	}
	p.at = set.At
	data, err := os.ReadFile(p.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("phone: %w", err)
	case json.Unmarshal(data, &p.state) != nil:
		aside := p.path + ".corrupt-" + p.now().UTC().Format("20060102-150405")
		os.Rename(p.path, aside)
		p.state = phoneState{}
		env.Note("the list of phones could not be read, and none is let in; what was there is in " + aside)
	}
	if len(p.state.Phones) > maxPhones {
		p.state.Phones = p.state.Phones[:maxPhones]
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.unlock(); err != nil {
		env.Note("your phone cannot open the page: " + err.Error())
	}
	env.Go("phone.run", p.run)
	return nil
}

func (p *Phone) stop(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	p.shut()
	if p.dirty {
		return p.save()
	}
	return nil
}

// run closes the way when nobody is let in any more, and follows the addresses of this computer.
func (p *Phone) run(ctx context.Context) error {
	for {
		t := time.NewTimer(p.tidy())
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-p.wake:
		case <-t.C:
		}
		t.Stop()
	}
}

// tidy does what run is for, once, and returns when to do it again.
func (p *Phone) tidy() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return time.Hour
	}
	now := p.now()
	for key, ends := range p.codes {
		if now.After(ends) {
			delete(p.codes, key)
		}
	}
	kept := slices.DeleteFunc(slices.Clone(p.state.Phones), func(s phoneSession) bool { return now.Sub(s.Seen) > phoneLife })
	if len(kept) < len(p.state.Phones) {
		p.state.Phones, p.dirty = kept, true
	}
	if p.state.On && len(p.state.Phones) == 0 && len(p.codes) == 0 {
		p.state.On, p.dirty = false, true
	}
	if !p.state.On {
		p.shut()
	} else if err := p.unlock(); err != nil {
		p.log.Debug("phones wait", "err", err)
	} else {
		p.open.page.Refresh()
		p.open.content.Refresh()
	}
	if p.dirty && (now.Sub(p.saved) > phoneSaveEvery || !p.state.On) {
		if err := p.save(); err != nil {
			p.log.Warn("phones not saved", "err", err)
		}
	}
	if !p.state.On {
		return time.Hour
	}
	return phoneLookEvery
}

// save writes the state down; mu is held.
func (p *Phone) save() error {
	data, err := json.Marshal(p.state)
	if err == nil {
		err = atomicfile.Write(p.path, data, 0o600)
	}
	if err != nil {
		return fmt.Errorf("phone: save: %w", room.Explain(err))
	}
	p.saved, p.dirty = p.now(), false
	return nil
}

// unlock opens the way if it shall be open; mu is held.
func (p *Phone) unlock() error {
	if p.open != nil || p.over || !p.state.On {
		return nil
	}
	at, err := lan.ParseAt(p.state.At)
	if err != nil {
		return err
	}
	o := lan.Options{Port: p.state.Port, At: at, Conns: phoneConns, PerHost: phoneConnsHost}
	if o.Port <= 0 || o.Port >= 1<<16 {
		o.Port = DefaultPhonePort
	}
	d := &phoneDoor{}
	if d.page, err = lan.Listen(o); err != nil {
		return err
	}
	o.Port = d.page.Port() + 1
	if d.content, err = lan.Listen(o); err != nil {
		d.page.Close()
		return err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return p.cert.get(d.page.Hosts()) }}
	for i, l := range []*lan.Listener{d.page, d.content} {
		handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.servePage(d, w, r) })
		if l == d.content {
			handler = func(w http.ResponseWriter, r *http.Request) { p.serveContent(d, w, r) }
		}
		d.servers[i] = &http.Server{Handler: handler, TLSConfig: config.Clone(), ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: MaxHeader,
			ErrorLog: slog.NewLogLogger(p.log.Handler(), slog.LevelDebug)}
		go d.servers[i].ServeTLS(l, "", "")
	}
	p.open, p.state.Port = d, d.page.Port()
	return nil
}

// shut closes the way, and hangs up on who is inside; mu is held.
func (p *Phone) shut() {
	if p.open != nil {
		for _, s := range p.open.servers {
			s.Close()
		}
		p.open = nil
	}
}

// servePage answers a phone as the computer's own browser is answered, for who has a phone's session.
func (p *Phone) servePage(d *phoneDoor, w http.ResponseWriter, r *http.Request) {
	hosts := map[string]bool{}
	for _, h := range d.page.Hosts() {
		hosts[h] = true
	}
	host, _, _ := net.SplitHostPort(r.Host)
	content := "https://" + net.JoinHostPort(host, fmt.Sprint(d.content.Port()))
	hint := "scan the code again that this shows: kith phone"
	if !hosts[r.Host] {
		content = "'none'"
	}
	p.server.enter(&door{
		scheme: "https://", hosts: hosts, hint: hint, keeper: &caller{Phone: p}, content: content, far: true,
		mint: func(id, secret, name string) string {
			return content + "/" + id + "/" + secret + "/" + url.PathEscape(name)
		},
	}, w, r)
}

// serveContent shows what is of others, at a port of its own: another origin than the page's.
func (p *Phone) serveContent(d *phoneDoor, w http.ResponseWriter, r *http.Request) {
	id, rest, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if !ok || !slices.Contains(d.content.Hosts(), r.Host) {
		http.Error(w, "there is nothing here", http.StatusNotFound)
		return
	}
	in := r.Clone(r.Context())
	in.URL.Path, in.URL.RawPath = "/"+rest, ""
	p.server.contents.serve(w, in, id)
}
