// Package guest gives a file or a folder to people in the same local network who have a browser and nothing else: a web link that ends.
//
// It is not the network of peers: nothing is hashed, announced or verified, and what is sent is not encrypted. Its one idea: a door that
// is there only while somebody is expected. There is no listener without a link that lives, and behind it is nothing but what the links
// name; a link is an unguessable path, and whoever has it needs nothing else.
package guest

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"kith"
	"kith/internal/atomicfile"
	"kith/internal/lan"
	"kith/internal/room"
)

// Limits of what is given.
const (
	MaxLinks    = 64                 // that live at once
	MaxLasts    = 7 * 24 * time.Hour // of a link
	DefaultPort = 4760               // if it is taken, the next free one
	keepEnded   = 24 * time.Hour     // how long one that has ended is remembered, to say so to who comes late
	maxDevices  = 1000               // of one link that are remembered
	maxState    = 1 << 20            // bytes of the file
)

// A Link is one thing that is given.
type Link struct {
	N       int       `json:"n"`
	Token   string    `json:"token"` // 128 random bits: what the path begins with
	Path    string    `json:"path"`
	Name    string    `json:"name"`
	Folder  bool      `json:"folder,omitempty"`
	Size    int64     `json:"size"` // bytes, of a folder when the link was made
	Changed time.Time `json:"changed,omitzero"`
	Made    time.Time `json:"made"`
	Until   time.Time `json:"until"`
	Most    int       `json:"most,omitempty"` // devices that may fetch it; 0: any number
	Devices []string  `json:"devices,omitempty"`
	Sent    int64     `json:"sent,omitempty"` // bytes

	URLs []string `json:"-"` // where it can be opened now, the best first
}

// Used reports whether nobody else may fetch it.
func (l Link) Used() bool { return l.Most > 0 && len(l.Devices) >= l.Most }

// Options say how to give. Path, Go and Secret are required.
type Options struct {
	Path    string // of the file in which links are kept
	Log     *slog.Logger
	Secret  func(path string) bool // what is never given: the node's own keys
	Go      func(name string, run func(context.Context) error)
	At      string // the address to be reached at unless a Wish has another; "": those of the local networks
	Changed func() // called when a link has changed; it must not call back
}

// A Desk gives links out, and serves those who come with one. Its methods may be called at once.
type Desk struct {
	o    Options
	wake chan struct{}
	now  func() time.Time

	mu    sync.Mutex
	links map[string]*given // by token
	port  int
	at    string
	door  *door
	dirty bool
	over  bool
}

// given is a Link with what ends its transfers.
type given struct {
	Link
	ctx  context.Context
	stop context.CancelFunc
}

type state struct {
	Port  int    `json:"port,omitempty"`
	At    string `json:"at,omitempty"`
	Links []Link `json:"links"`
}

// Open reads the links that live still and serves them. note says what a person should know; it is empty if all is well.
func Open(o Options) (d *Desk, note string, err error) {
	d = &Desk{o: o, wake: make(chan struct{}, 1), now: time.Now, links: map[string]*given{}, port: DefaultPort}
	data, err := os.ReadFile(o.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = nil
	case err == nil:
		note = d.load(data)
	}
	if err != nil {
		return nil, "", fmt.Errorf("guest: %w", err)
	}
	o.Go("files.guests", d.run)
	return d, note, nil
}

// load takes the links of a file. One that cannot be read is set aside: the links are lost, and nothing else.
func (d *Desk) load(data []byte) (note string) {
	var s state
	if len(data) > maxState || json.Unmarshal(data, &s) != nil {
		aside := d.o.Path + ".corrupt-" + d.now().UTC().Format("20060102-150405")
		os.Rename(d.o.Path, aside)
		return "the guest links could not be read and are gone; what was there is in " + aside
	}
	if s.Port > 0 && s.Port < 1<<16 {
		d.port = s.Port
	}
	d.at = s.At
	for _, l := range s.Links {
		d.keep(l)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.open(); err != nil {
		return "guest links are not served: " + err.Error()
	}
	return ""
}

func (d *Desk) keep(l Link) *given {
	g := &given{Link: l}
	g.ctx, g.stop = context.WithDeadline(context.Background(), l.Until)
	d.links[l.Token] = g
	return g
}

// Wish is what a person wants of a new link.
type Wish struct {
	Lasts time.Duration // until it ends
	Most  int           // devices that may fetch it; 0: any number
	At    string        // the only address to be reached at; "": those of the local networks
}

// Give makes a link for a file or a folder. Its error is Invalid, NotFound, Denied (the node's own keys), TooLarge (too many links) or
// Unavailable (no local network).
func (d *Desk) Give(path string, w Wish) (Link, error) {
	if _, err := lan.ParseAt(w.At); err != nil {
		return Link{}, err
	}
	if w.Lasts <= 0 || w.Lasts > MaxLasts || w.Most < 0 || w.Most > maxDevices {
		return Link{}, fmt.Errorf("guest: a link lasts up to 7 days, for up to %d devices: %w", maxDevices, kith.Invalid)
	}
	l, err := d.look(path)
	if err != nil {
		return Link{}, err
	}
	token := make([]byte, 16)
	rand.Read(token)
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	l.Token, l.Made, l.Until, l.Most = base64.RawURLEncoding.EncodeToString(token), now, now.Add(w.Lasts), w.Most
	live := d.live()
	if len(live) >= MaxLinks {
		return Link{}, kith.Hint(fmt.Errorf("guest: %d links live already: %w", MaxLinks, kith.TooLarge), "end some with: kith guest rm N")
	}
	for _, g := range d.links {
		l.N = max(l.N, g.N)
	}
	l.N++
	if to := cmp.Or(w.At, d.o.At); w.At != "" && to != d.at || len(live) == 0 { // one door for all: an address that is named moves them
		d.at = to
		d.shut()
	}
	g := d.keep(l)
	if err = d.open(); err == nil {
		err = d.save()
	}
	if err != nil {
		d.end(g)
		delete(d.links, l.Token)
		return Link{}, err
	}
	d.poke()
	return d.view(g), nil
}

// look finds out what is at a path.
func (d *Desk) look(path string) (Link, error) {
	info, err := os.Stat(path)
	if err != nil {
		kind := kith.Denied
		if errors.Is(err, fs.ErrNotExist) {
			return Link{}, kith.Hint(fmt.Errorf("guest: there is no %s: %w", path, kith.NotFound), "check the spelling; the path is taken from the folder you are in")
		}
		return Link{}, fmt.Errorf("guest: %w: %w", err, kind)
	}
	l := Link{Path: path, Name: filepath.Base(path), Folder: info.IsDir(), Size: info.Size(), Changed: info.ModTime()}
	switch {
	case d.secret(path):
		return l, fmt.Errorf("guest: %s is kith's own, with its keys in it: %w", path, kith.Denied)
	case l.Folder:
		list := d.list(l)
		l.Size, l.Changed = list.size, time.Time{}
	case !info.Mode().IsRegular():
		return l, fmt.Errorf("guest: %s is neither a file nor a folder: %w", path, kith.Invalid)
	}
	return l, nil
}

// secret reports whether a path, followed through its links, is of what is never given.
func (d *Desk) secret(path string) bool {
	to, err := filepath.EvalSymlinks(path)
	return err != nil || d.o.Secret(to)
}

// End ends a link: what is being fetched with it stops.
func (d *Desk) End(n int) (Link, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, g := range d.live() {
		if g.N == n {
			v := d.view(g)
			d.end(g)
			if err := d.save(); err != nil {
				return Link{}, err
			}
			d.poke()
			return v, nil
		}
	}
	return Link{}, kith.Hint(fmt.Errorf("guest: no link %d: %w", n, kith.NotFound), "see those that live with: kith guest")
}

// EndPath ends the links to what is at path.
func (d *Desk) EndPath(path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	ended := false
	for _, g := range d.live() {
		if g.Path == path {
			d.end(g)
			ended = true
		}
	}
	if !ended {
		return nil
	}
	d.poke()
	return d.save()
}

// end makes a link one that has ended. mu is held.
func (d *Desk) end(g *given) {
	if now := d.now(); g.Until.After(now) {
		g.Until = now
	}
	g.stop()
	d.o.Changed()
}

// Links returns those that live, in the order in which they were made.
func (d *Desk) Links() []Link {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := []Link{}
	for _, g := range d.live() {
		all = append(all, d.view(g))
	}
	return all
}

func (d *Desk) view(g *given) Link {
	v := g.Link
	v.Devices = slices.Clone(v.Devices)
	if d.door != nil {
		for _, host := range d.door.in.Hosts() {
			v.URLs = append(v.URLs, "http://"+host+address(v))
		}
	}
	return v
}

// address returns the path of a link's page.
func address(l Link) string {
	u := "/" + l.Token + "/" + url.PathEscape(l.Name)
	if l.Folder {
		u += "/"
	}
	return u
}

// live returns the links that live; mu is held.
func (d *Desk) live() []*given {
	now := d.now()
	all := slices.SortedFunc(maps.Values(d.links), func(a, b *given) int { return a.N - b.N })
	return slices.DeleteFunc(all, func(g *given) bool { return !now.Before(g.Until) })
}

// Listening returns the addresses that guests are served at now.
func (d *Desk) Listening() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.door == nil {
		return nil
	}
	return d.door.in.Hosts()
}

// save writes the links down; mu is held.
func (d *Desk) save() error {
	s := state{Port: d.port, At: d.at, Links: []Link{}}
	for _, g := range slices.SortedFunc(maps.Values(d.links), func(a, b *given) int { return a.N - b.N }) {
		s.Links = append(s.Links, g.Link)
	}
	data, err := json.Marshal(s)
	if err == nil {
		err = atomicfile.Write(d.o.Path, data, 0o600)
	}
	if err != nil {
		return fmt.Errorf("guest: save: %w", room.Explain(err))
	}
	d.dirty = false
	return nil
}

// open begins to serve if there is a link that lives; mu is held.
func (d *Desk) open() error {
	if d.door != nil || d.over || len(d.live()) == 0 {
		return nil
	}
	at, err := lan.ParseAt(d.at)
	if err != nil {
		return err
	}
	d.door, err = openDoor(d, lan.Options{Port: d.port, At: at, Conns: maxConns, PerHost: maxConnsHost})
	if err == nil {
		d.port = d.door.in.Port()
	}
	return err
}

// shut stops serving; mu is held.
func (d *Desk) shut() {
	if d.door != nil {
		d.door.close()
		d.door = nil
	}
}

func (d *Desk) poke() {
	d.o.Changed()
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// lookEvery is how often the addresses of this computer are looked at while somebody is expected.
const lookEvery = 5 * time.Second

// run ends what is over, follows the addresses of this computer, and serves no longer than a link lives.
func (d *Desk) run(ctx context.Context) error {
	for {
		wait := d.tidy()
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-d.wake:
		case <-t.C:
		}
		t.Stop()
	}
}

// tidy does what run is for, once, and returns when to do it again.
func (d *Desk) tidy() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	now, wait := d.now(), time.Hour
	for token, g := range d.links {
		if now.Before(g.Until) {
			wait = min(wait, g.Until.Sub(now), lookEvery)
			continue
		}
		if g.ctx.Err() == nil {
			d.end(g)
		}
		if now.Sub(g.Until) > keepEnded {
			delete(d.links, token)
			d.dirty = true
		}
	}
	if d.over || len(d.live()) == 0 {
		d.shut()
	} else if err := d.open(); err != nil {
		d.o.Log.Debug("guests wait", "err", err) // for a network; Give has said so to the person
	} else {
		d.door.in.Refresh()
	}
	if d.dirty {
		if err := d.save(); err != nil {
			d.o.Log.Warn("guest links not saved", "err", err)
		}
	}
	return wait
}

// Close stops serving. Links that live are served again when the node is.
func (d *Desk) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.over {
		return nil
	}
	d.over = true
	d.shut()
	for _, g := range d.links {
		g.stop()
	}
	if d.dirty {
		return d.save()
	}
	return nil
}
