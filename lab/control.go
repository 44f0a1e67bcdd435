package lab

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"kith"
	"kith/app"
)

// OpenIn names a sample that a neighbour has.
type OpenIn struct {
	Neighbour int `json:"neighbour"`
	Sample    int `json:"sample"`
}

// OpenOut is where a browser can see it.
type OpenOut struct {
	URL   string `json:"url"`
	Media string `json:"media"`
}

// WhoIn names neighbours.
type WhoIn struct {
	Who []string `json:"who" arg:"0" doc:"numbers or names of neighbours, a group, or all"`
}

// GetIn names who is to fetch what.
type GetIn struct {
	What string   `json:"what" arg:"0" doc:"name of something that is shared"`
	Who  []string `json:"who" arg:"1" doc:"numbers or names of neighbours, a group, or all"`
}

// ShareIn names who is to share something.
type ShareIn struct {
	Who string `json:"who" arg:"0" doc:"number or name of a neighbour"`
}

// DoneOut says to whom something was done.
type DoneOut struct {
	Done []string `json:"done" doc:"names; others were so already"`
	What string   `json:"what,omitempty" doc:"name of what was shared"`
}

// app is what the page, and kith lab, can ask of the lab.
func (l *Lab) app() app.App {
	watch := app.NewStreamOp("watch", "show the lab again and again", l.watch)
	watch.Query = true
	who := app.NewOp("who", "list the neighbours, and what they share", func(context.Context, struct{}) (Summary, error) { return l.Summary(), nil })
	who.Query = true
	return app.App{Name: "lab", Help: "pretend neighbours", Ops: []app.Op{watch, who, app.NewOp("open", "look at what a neighbour has", l.open),
		app.NewOp("kill", "take neighbours away, without a word to the others", func(ctx context.Context, in WhoIn) (DoneOut, error) {
			return l.toAll(in.Who, func(p *neighbour) (bool, error) { return l.kill(p), nil })
		}),
		app.NewOp("revive", "bring neighbours back", func(ctx context.Context, in WhoIn) (DoneOut, error) {
			return l.toAll(in.Who, func(p *neighbour) (bool, error) { return l.revive(ctx, p) })
		}),
		app.NewOp("share", "let a neighbour share another sample", l.shareMore),
		app.NewOp("get", "let neighbours fetch something that is shared", l.getMore),
		app.NewOp("page", "open a neighbour's own page", l.openPage),
	}}
}

func (l *Lab) open(ctx context.Context, in OpenIn) (OpenOut, error) {
	samples := l.shared()
	if in.Neighbour < 0 || in.Neighbour >= len(l.people) || in.Sample < 0 || in.Sample >= len(samples) {
		return OpenOut{}, fmt.Errorf("lab: open: no such neighbour or sample: %w", kith.NotFound)
	}
	return ask[OpenOut](ctx, l.people[in.Neighbour], "open", map[string]any{"ref": samples[in.Sample].Ref})
}

// find returns the neighbours that a text names.
func (l *Lab) find(text string) (list []*neighbour, err error) {
	number, _ := strconv.Atoi(text)
	for _, p := range l.people {
		if text == "all" || number == p.index+1 || strings.EqualFold(text, p.name) || text != "" && text == p.place.Group {
			list = append(list, p)
		}
	}
	if len(list) == 0 {
		err = kith.Hint(fmt.Errorf("lab: there is no neighbour %.40q: %w", text, kith.NotFound), "numbers go from 1 to %d; kith lab who lists them", len(l.people))
	}
	return list, err
}

// toAll does something to the neighbours that texts name, all at once.
func (l *Lab) toAll(texts []string, do func(*neighbour) (bool, error)) (DoneOut, error) {
	var who []*neighbour
	for _, text := range texts {
		list, err := l.find(text)
		if err != nil {
			return DoneOut{}, err
		}
		who = append(who, list...)
	}
	did := make([]bool, len(l.people))
	err := l.each(len(l.people), func(p *neighbour) (err error) {
		if slices.Contains(who, p) {
			did[p.index], err = do(p)
		}
		return err
	})
	out := DoneOut{Done: []string{}}
	for i, d := range did {
		if d {
			out.Done = append(out.Done, l.people[i].name)
		}
	}
	return out, err
}

// kill takes a neighbour away, and reports whether it was there.
func (l *Lab) kill(p *neighbour) bool {
	was := p.stop()
	if was {
		l.tell(Happening{Who: p.index, Verb: "killed", Sample: -1})
	}
	return was
}

// revive brings a neighbour back, and reports whether it was away. It is told of nobody: it finds the others by what it remembers.
func (l *Lab) revive(ctx context.Context, p *neighbour) (bool, error) {
	if p.running() != nil {
		return false, nil
	}
	if err := p.open(ctx); err != nil {
		return false, err
	}
	l.tell(Happening{Who: p.index, Verb: "revived", Sample: -1})
	return true, nil
}

// shareMore lets a neighbour share the next sample.
func (l *Lab) shareMore(ctx context.Context, in ShareIn) (DoneOut, error) {
	list, err := l.find(in.Who)
	if err != nil {
		return DoneOut{}, err
	}
	p := list[0]
	i, err := l.add(func(number int) (Sample, error) { return p.shareSample(ctx, number) })
	if err != nil {
		return DoneOut{}, err
	}
	return DoneOut{Done: []string{p.name}, What: l.shared()[i].Name}, nil
}

// add adds what make shares to the samples, and tells of it. make is given a number that no other sample has.
func (l *Lab) add(make func(number int) (Sample, error)) (int, error) {
	l.mu.Lock()
	number := max(l.sharing, len(l.samples))
	full := number >= maxSamples
	if !full {
		l.sharing = number + 1
	}
	l.mu.Unlock()
	if full {
		return 0, kith.Hint(fmt.Errorf("lab: %d things are shared: %w", maxSamples, kith.TooLarge), "that is all that a picture can show; start another lab")
	}
	s, err := make(number)
	if err != nil {
		return 0, err
	}
	l.mu.Lock()
	i := len(l.samples)
	l.samples = append(l.samples, s)
	l.mu.Unlock()
	l.tell(Happening{Who: s.Owner, Verb: "shared", Sample: i})
	return i, nil
}

// getMore lets neighbours fetch something.
func (l *Lab) getMore(_ context.Context, in GetIn) (DoneOut, error) {
	i := slices.IndexFunc(l.shared(), func(s Sample) bool { return strings.EqualFold(s.Name, in.What) })
	if i < 0 {
		return DoneOut{}, kith.Hint(fmt.Errorf("lab: nothing is shared that is called %.60q: %w", in.What, kith.NotFound), "kith lab who lists what there is")
	}
	return l.toAll(in.Who, func(p *neighbour) (bool, error) { return l.start(func() { p.fetch(l.life, i) }), nil })
}

// start runs something until it returns or the lab ends.
func (l *Lab) start(run func()) bool {
	if l.life.Err() != nil {
		return false
	}
	l.tasks.Go(run)
	return true
}
