package lab

import (
	"context"
	"fmt"

	"kith"
	"kith/api"
	"kith/app"
)

// PageOut is where a neighbour's own page is.
type PageOut struct {
	URL string `json:"url" doc:"good for one use within a minute"`
}

// openPage opens the door of a neighbour: its own interface, with its own page, as kith up would have it. It stays open while the
// neighbour is here.
func (l *Lab) openPage(_ context.Context, in ShareIn) (PageOut, error) {
	list, err := l.find(in.Who)
	if err != nil {
		return PageOut{}, err
	}
	if l.o.Page == nil {
		return PageOut{}, fmt.Errorf("lab: this program has no page for a node: %w", kith.Unavailable)
	}
	p := list[0]
	p.change.Lock()
	defer p.change.Unlock()
	n := p.running()
	if n == nil {
		return PageOut{}, kith.Hint(fmt.Errorf("lab: %s is away: %w", p.name, kith.Unavailable), "bring it back first")
	}
	p.mu.Lock()
	door := p.door
	p.mu.Unlock()
	if door == nil {
		s, err := api.New(api.Options{Addr: "127.0.0.1:0", Dir: p.dir(), Apps: n.Apps(), Page: l.o.Page, Log: l.o.Log, Version: l.o.Version})
		if err != nil {
			return PageOut{}, err
		}
		if !l.start(func() { s.Serve(l.life) }) {
			s.Close()
			return PageOut{}, fmt.Errorf("lab: it has ended: %w", kith.Unavailable)
		}
		p.mu.Lock()
		p.door, door = s, s
		p.mu.Unlock()
	}
	return PageOut{URL: door.OpenURL()}, nil
}

// An entry mints content at a neighbour's own door if that is open, for its page may show nothing else, and at the lab's if not.
type entry struct{ p *neighbour }

// Mint implements app.Origin.
func (e entry) Mint(ctx context.Context, c app.Content) (string, error) {
	e.p.mu.Lock()
	door := e.p.door
	e.p.mu.Unlock()
	if door == nil {
		door = e.p.lab.server
	}
	return door.Mint(ctx, c)
}
