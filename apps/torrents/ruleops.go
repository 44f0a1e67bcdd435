package torrents

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"kith"
	"kith/apps/torrents/feed"
	"kith/internal/human"
	"kith/internal/plain"
	"kith/internal/room"
)

// compile reads what a person says of a rule.
func (t *Torrents) compile(ctx context.Context, b RuleBody) (r rule, err error) {
	r.body = feed.Rule{Must: b.Must, MustNot: b.Not, Regex: b.Regex, Episodes: b.Episodes, Smart: b.Once}
	r.output = b.Output
	for _, f := range []struct {
		text string
		into *int64
	}{{b.Min, &r.body.MinSize}, {b.Max, &r.body.MaxSize}} {
		if f.text != "" {
			if *f.into, err = human.ParseBytes(f.text); err != nil {
				return r, err
			}
		}
	}
	if b.Ignore != "" {
		if r.body.Ignore, err = human.ParseDuration(b.Ignore); err != nil {
			return r, err
		}
	}
	if b.Feed != "" {
		s, err := t.find(ctx, b.Feed)
		if err != nil {
			return r, err
		}
		r.feed = s.id
	}
	if b.Output != "" {
		if st, err := os.Stat(b.Output); err != nil || !st.IsDir() {
			return r, kith.Hint(fmt.Errorf("torrents: there is no folder %s: %w", plain.Text(b.Output), kith.NotFound), "make it first: mkdir -p '%s'", plain.Text(b.Output))
		}
	}
	r.match, err = r.body.Compile()
	return r, err
}

func (t *Torrents) feedRules(ctx context.Context, _ None) (RulesOut, error) {
	all, err := t.rules(ctx)
	out := RulesOut{[]FeedRule{}}
	for _, r := range all {
		out.Rules = append(out.Rules, r.shown())
	}
	return out, err
}

func (r rule) shown() FeedRule {
	f := FeedRule{Name: r.name, LastMatch: r.state.LastMatch, RuleBody: RuleBody{
		Must: r.body.Must, Not: r.body.MustNot, Regex: r.body.Regex, Episodes: r.body.Episodes, Once: r.body.Smart, Output: r.output,
	}}
	if r.body.MinSize > 0 {
		f.Min = strconv.FormatInt(r.body.MinSize, 10)
	}
	if r.body.MaxSize > 0 {
		f.Max = strconv.FormatInt(r.body.MaxSize, 10)
	}
	if r.body.Ignore > 0 {
		f.Ignore = r.body.Ignore.String()
	}
	if r.feed != 0 {
		f.Feed = strconv.FormatInt(r.feed, 10)
	}
	return f
}

func (t *Torrents) ruleAdd(ctx context.Context, in RuleAddIn) (TryOut, error) {
	name := strings.TrimSpace(in.Name)
	if name == "" || len(name) > 200 || name != plain.Text(name) {
		return TryOut{}, fmt.Errorf("torrents: %.60q is no name of a rule: %w", in.Name, kith.Invalid)
	}
	r, err := t.compile(ctx, in.RuleBody)
	if err != nil {
		return TryOut{}, err
	}
	out, err := t.try(ctx, r)
	if err != nil {
		return TryOut{}, err
	}
	if all, err := t.rules(ctx); err != nil || len(all) >= maxRules {
		return TryOut{}, errors.Join(err, fmt.Errorf("torrents: at most %d rules: %w", maxRules, kith.TooLarge))
	}
	body, err := json.Marshal(r.body)
	if err != nil {
		return TryOut{}, err
	}
	if _, err := t.db.ExecContext(ctx, `INSERT INTO rules (name, feed, body, output) VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET feed = excluded.feed, body = excluded.body, output = excluded.output`,
		name, r.feed, string(body), r.output); err != nil {
		return TryOut{}, fmt.Errorf("torrents: save: %w", room.Explain(err))
	}
	if _, err := t.db.ExecContext(ctx, `UPDATE feeds SET next = 0 WHERE ?1 = 0 OR id = ?1`, r.feed); err != nil { // what they told of already is looked at too
		return TryOut{}, fmt.Errorf("torrents: save: %w", room.Explain(err))
	}
	t.wake.Ring()
	t.bell.Ring()
	out.Left = nil
	return out, nil
}

func (t *Torrents) ruleRm(ctx context.Context, in RuleIn) (RulesOut, error) {
	res, err := t.db.ExecContext(ctx, `DELETE FROM rules WHERE name = ?`, in.Name)
	if err != nil {
		return RulesOut{}, fmt.Errorf("torrents: save: %w", room.Explain(err))
	}
	if n, _ := res.RowsAffected(); n == 0 {
		return RulesOut{}, kith.Hint(fmt.Errorf("torrents: there is no rule %q: %w", plain.Text(in.Name), kith.NotFound), "see them with: kith feed rules")
	}
	t.bell.Ring()
	return t.feedRules(ctx, None{})
}

func (t *Torrents) feedTry(ctx context.Context, in TryIn) (TryOut, error) {
	if in.Name == "" {
		r, err := t.compile(ctx, in.RuleBody)
		if err != nil {
			return TryOut{}, err
		}
		return t.try(ctx, r)
	}
	all, err := t.rules(ctx)
	if err != nil {
		return TryOut{}, err
	}
	i := slices.IndexFunc(all, func(r rule) bool { return r.name == in.Name })
	if i < 0 {
		return TryOut{}, kith.Hint(fmt.Errorf("torrents: there is no rule %q: %w", plain.Text(in.Name), kith.NotFound), "see them with: kith feed rules")
	}
	return t.try(ctx, all[i])
}

// try runs a rule over all items that are remembered, as if each came now.
func (t *Torrents) try(ctx context.Context, r rule) (TryOut, error) {
	out := TryOut{Matches: []FeedItem{}, Left: []FeedItem{}}
	all, err := t.sources(ctx)
	if err != nil {
		return out, err
	}
	state := r.state
	now := time.Now()
	for _, s := range all {
		if r.feed != 0 && r.feed != s.id {
			continue
		}
		items, err := t.items(ctx, s.id, maxKept)
		if err != nil {
			return out, err
		}
		for i := len(items) - 1; i >= 0; i-- {
			it := items[i].shown()
			ok, why := r.match.Match(items[i].Item, state, now)
			if ok {
				state = r.match.Took(items[i].Item, state, now)
				out.Matches = append(out.Matches, it)
			} else if it.Why = why; len(out.Left) < maxShown {
				out.Left = append(out.Left, it)
			}
		}
	}
	return out, nil
}
