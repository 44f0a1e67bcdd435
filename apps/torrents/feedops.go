package torrents

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"kith"
	"kith/app"
	"kith/internal/human"
	"kith/internal/plain"
	"kith/internal/room"
)

// FeedAddIn names a feed to follow.
type FeedAddIn struct {
	URL   string `json:"url" arg:"0" doc:"dht, or the address of an RSS, Atom or JSON feed, perhaps with {searchTerms} where words stand that are looked for (OpenSearch)"`
	Every string `json:"every,omitempty" default:"30m" doc:"how often it is asked, from 5m to 30d"`
	Ask   bool   `json:"ask,omitempty" doc:"it is an indexer, such as Jackett or Prowlarr give the address of (Torznab), and is asked too when you search; so is every address with {searchTerms}"`
}

// FeedIn names a feed that is followed.
type FeedIn struct {
	Feed string `json:"feed" arg:"0" suggest:"feed ls" doc:"its number, or a part of its title or address that only it has"`
}

// FeedGetIn names an item of a feed.
type FeedGetIn struct {
	Feed string `json:"feed" arg:"0" suggest:"feed ls" doc:"number, or a part of title or address"`
	Item string `json:"item" arg:"1" doc:"the item's title or GUID, or a part of its title that only it has"`
}

// Feed is a feed that is followed.
type Feed struct {
	N       int64     `json:"n" doc:"number by which it is named"`
	URL     string    `json:"url"`
	Title   string    `json:"title" doc:"as it says itself, or its host"`
	Every   string    `json:"every"`
	Looked  time.Time `json:"looked,omitzero" doc:"when it was asked last"`
	Next    time.Time `json:"next,omitzero"`
	Items   int       `json:"items" doc:"items that are remembered"`
	Fetched int       `json:"fetched" doc:"of which were fetched"`
	Asked   bool      `json:"asked,omitempty" doc:"it is asked when you search, and so learns what you look for"`
	Trouble string    `json:"trouble,omitempty"`
}

// FeedsOut lists feeds.
type FeedsOut struct {
	Feeds []Feed `json:"feeds"`
}

// FeedItem is an item of a feed, and what a rule makes of it.
type FeedItem struct {
	GUID      string    `json:"guid"`
	Title     string    `json:"title"`
	Link      string    `json:"link"`
	Page      string    `json:"page,omitempty"`
	Size      int64     `json:"size" doc:"bytes; -1 if the feed does not say"`
	Published time.Time `json:"published,omitzero"`
	State     string    `json:"state,omitempty" enum:",fetched,failed"`
	Rule      string    `json:"rule,omitempty" doc:"the rule that took it"`
	Why       string    `json:"why,omitempty" doc:"what went wrong; in a dry run, why the rule leaves it"`
}

// FeedItems lists items of a feed.
type FeedItems struct {
	Feed  Feed       `json:"feed"`
	Items []FeedItem `json:"items" doc:"the newest first, at most 500"`
}

// maxShown bounds the items that are listed.
const maxShown = 500

// RuleBody is what a rule says.
type RuleBody struct {
	Must     string `json:"must,omitempty" doc:"what a title must contain: words, all of them in any order, with ? and *; alternatives between |"`
	Not      string `json:"not,omitempty" doc:"what it must not contain, in the same way"`
	Regex    bool   `json:"regex,omitempty" doc:"both are regular expressions"`
	Episodes string `json:"episodes,omitempty" doc:"season and episodes, such as 1x2;8-15;30-;"`
	Once     bool   `json:"once,omitempty" doc:"each episode once, whatever else is told of it"`
	Min      string `json:"min,omitempty" doc:"smallest size, such as 100MB; what does not say its size passes"`
	Max      string `json:"max,omitempty" doc:"largest size"`
	Ignore   string `json:"ignore,omitempty" doc:"after a match nothing more for so long, such as 7d"`
	Feed     string `json:"feed,omitempty" suggest:"feed ls" doc:"the only feed that it is for; default: every feed"`
	Output   string `json:"output,omitempty" short:"o" path:"true" doc:"folder to put downloads in; default: the node's files folder"`
}

// RuleAddIn makes a rule, or changes the one of that name.
type RuleAddIn struct {
	Name string `json:"name" arg:"0" doc:"what to call it"`
	RuleBody
}

// RuleIn names a rule.
type RuleIn struct {
	Name string `json:"name" arg:"0" suggest:"feed rules" doc:"the rule's name"`
}

// TryIn is a dry run.
type TryIn struct {
	Name string `json:"name,omitempty" arg:"0" suggest:"feed rules" doc:"a rule; without one, what the flags say"`
	RuleBody
}

// FeedRule is a rule.
type FeedRule struct {
	Name string `json:"name"`
	RuleBody
	LastMatch time.Time `json:"last_match,omitzero"`
}

// RulesOut lists rules.
type RulesOut struct {
	Rules []FeedRule `json:"rules"`
}

// TryOut says what a rule would do.
type TryOut struct {
	Matches []FeedItem `json:"matches" doc:"what it would fetch, or would have fetched"`
	Left    []FeedItem `json:"left" doc:"what it leaves, and why; at most 500"`
}

func feedAddOp(run func(context.Context, FeedAddIn) (FeedItems, error)) app.Op {
	o := app.NewOp("feed add", "follow a feed that tells of new torrents", run)
	o.Long = "It is asked now, and then at its interval; nothing is fetched until a rule says so (kith feed rules add), or you do (kith feed get). Its server sees your address, and when\n" +
		"this node is up. What the BitTorrent DHT has is a feed too (dht): its nodes are asked which infohashes they keep, one node a second, and somebody who has each what it is called.\n" +
		"With --ask a feed is asked too what kith search looks for, and its server learns that."
	o.Example = "  kith feed add https://example.org/new.rss --every 1h\n  kith feed add --ask 'http://127.0.0.1:9117/api/v2.0/indexers/all/results/torznab/api?apikey=KEY'\n  kith feed rules add debian --must 'debian netinst' --not i386\n  kith feed try debian"
	return o
}

func feedLsOp(run func(context.Context, None) (FeedsOut, error)) app.Op {
	o := app.NewOp("feed ls", "list the feeds that are followed", run)
	o.Query = true
	return o
}

func feedRmOp(run func(context.Context, FeedIn) (FeedsOut, error)) app.Op {
	o := app.NewOp("feed rm", "follow a feed no more", run)
	o.Long = "What was fetched stays. Rules that are for this feed alone go with it."
	return o
}

func feedShowOp(run func(context.Context, FeedIn) (FeedItems, error)) app.Op {
	o := app.NewOp("feed show", "list what a feed tells of", run)
	o.Query = true
	return o
}

func feedRefreshOp(run func(context.Context, FeedIn) (FeedItems, error)) app.Op {
	return app.NewOp("feed refresh", "ask a feed now", run)
}

func feedGetOp(run func(context.Context, FeedGetIn) (FeedItem, error)) app.Op {
	o := app.NewOp("feed get", "fetch an item of a feed", run)
	o.Example = "  kith feed get images 'Debian 13 amd64 netinst'"
	return o
}

func feedRulesOp(run func(context.Context, None) (RulesOut, error)) app.Op {
	o := app.NewOp("feed rules", "list the rules by which items of feeds are fetched", run)
	o.Query = true
	return o
}

func feedRulesAddOp(run func(context.Context, RuleAddIn) (TryOut, error)) app.Op {
	o := app.NewOp("feed rules add", "fetch by itself what a rule takes, of what feeds tell", run)
	o.Long = "A rule of the same name is changed. See first what it would take with: kith feed try\n" +
		"Nothing is fetched twice: not the same item, nor the same torrent by another feed, nor, with --once, another release of the same episode."
	o.Example = "  kith feed rules add show --must 'the show 1080p' --not cam --episodes '1x5-;' --once -o ~/films/show\n  kith feed rules add weekly --must '^news (daily|weekly)' --regex --max 2GB --ignore 6d"
	return o
}

func feedRulesRmOp(run func(context.Context, RuleIn) (RulesOut, error)) app.Op {
	return app.NewOp("feed rules rm", "remove a rule", run)
}

func feedTryOp(run func(context.Context, TryIn) (TryOut, error)) app.Op {
	o := app.NewOp("feed try", "show what a rule would take, and fetch nothing", run)
	o.Query = true
	o.Example = "  kith feed try show\n  kith feed try --must 'debian' --min 100MB"
	return o
}

// Suggest implements app.Suggester.
func (o FeedsOut) Suggest() (all []string) {
	for _, f := range o.Feeds {
		all = append(all, strconv.FormatInt(f.N, 10))
	}
	return all
}

// Suggest implements app.Suggester.
func (o RulesOut) Suggest() (all []string) {
	for _, r := range o.Rules {
		all = append(all, r.Name)
	}
	return all
}

// WriteText implements app.Texter.
func (o FeedsOut) WriteText(w io.Writer, _ int) error {
	if len(o.Feeds) == 0 {
		_, err := fmt.Fprintln(w, "No feed is followed. Follow one with: kith feed add URL")
		return err
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range o.Feeds {
		every := "every " + f.Every
		if f.URL == dhtFeed {
			every = "all the time"
		}
		if f.Asked {
			every += ", and when you search"
		}
		fmt.Fprintf(tw, "%d\t%s\t%s, %d fetched\t%s\t%s\n", f.N, plain.Text(f.Title), human.Count(f.Items, "item"), f.Fetched, every, plain.Text(f.Trouble))
	}
	return tw.Flush()
}

// WriteText implements app.Texter.
func (o FeedItems) WriteText(w io.Writer, width int) error {
	fmt.Fprintf(w, "%d  %s\n", o.Feed.N, plain.Text(o.Feed.Title))
	if o.Feed.Trouble != "" {
		fmt.Fprintf(w, "%s\n", plain.Text(o.Feed.Trouble))
	}
	return writeItems(w, o.Items)
}

func writeItems(w io.Writer, items []FeedItem) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, i := range items {
		size := ""
		if i.Size >= 0 {
			size = human.Bytes(i.Size)
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", plain.Fit(i.Title, 80), size, i.State, plain.Text(i.Why))
	}
	return tw.Flush()
}

// WriteText implements app.Texter.
func (o FeedItem) WriteText(w io.Writer, _ int) error {
	_, err := fmt.Fprintf(w, "%s is being fetched; see how it goes with: kith ls\n", plain.Text(o.Title))
	return err
}

// WriteText implements app.Texter.
func (o RulesOut) WriteText(w io.Writer, _ int) error {
	if len(o.Rules) == 0 {
		_, err := fmt.Fprintln(w, "There is no rule. Make one with: kith feed rules add NAME --must WORDS")
		return err
	}
	for _, r := range o.Rules {
		fmt.Fprintf(w, "%s:%s\n", plain.Text(r.Name), plain.Text(r.flags()))
	}
	return nil
}

// flags writes a rule as the flags that make it.
func (r FeedRule) flags() (s string) {
	for _, f := range []struct{ name, value string }{
		{"must", r.Must}, {"not", r.Not}, {"episodes", r.Episodes}, {"min", r.Min}, {"max", r.Max}, {"ignore", r.Ignore}, {"feed", r.Feed}, {"output", r.Output},
	} {
		if f.value != "" {
			s += fmt.Sprintf(" --%s %q", f.name, f.value)
		}
	}
	if r.Regex {
		s += " --regex"
	}
	if r.Once {
		s += " --once"
	}
	if !r.LastMatch.IsZero() {
		s += fmt.Sprintf("  (last match %s ago)", human.Duration(time.Since(r.LastMatch)))
	}
	return s
}

// WriteText implements app.Texter.
func (o TryOut) WriteText(w io.Writer, _ int) error {
	fmt.Fprintf(w, "It takes %s:\n", human.Count(len(o.Matches), "item"))
	if err := writeItems(w, o.Matches); err != nil || len(o.Left) == 0 {
		return err
	}
	fmt.Fprintf(w, "It leaves %s:\n", human.Count(len(o.Left), "item"))
	return writeItems(w, o.Left)
}

func (t *Torrents) feedAdd(ctx context.Context, in FeedAddIn) (FeedItems, error) {
	u, err := url.Parse(strings.TrimSpace(in.URL))
	if err == nil && (in.URL == "dht" || in.URL == dhtFeed) {
		if _, err := t.torrents(); err != nil {
			return FeedItems{}, err
		}
		u = &url.URL{Scheme: "dht"}
	} else if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || len(in.URL) > 8192 {
		return FeedItems{}, fmt.Errorf("torrents: %.100q is no address of a feed: want https://…: %w", in.URL, kith.Invalid)
	}
	if in.Ask && !asks(in.URL) {
		u.RawQuery = strings.TrimPrefix(u.RawQuery+"&t=search&q="+searchTerms, "&")
	}
	every, err := human.ParseDuration(in.Every)
	if err != nil {
		return FeedItems{}, err
	}
	if every < minEvery || every > maxEvery {
		return FeedItems{}, fmt.Errorf("torrents: every %s: a feed is asked every 5 minutes at most, and every 30 days at least: %w", in.Every, kith.Invalid)
	}
	all, err := t.sources(ctx)
	if err != nil {
		return FeedItems{}, err
	}
	known := slices.ContainsFunc(all, func(s source) bool { return s.url == u.String() })
	if len(all) >= maxFeeds && !known {
		return FeedItems{}, fmt.Errorf("torrents: at most %d feeds can be followed: %w", maxFeeds, kith.TooLarge)
	}
	var id int64
	err = t.db.QueryRowContext(ctx, `INSERT INTO feeds (url, every, next) VALUES (?, ?, ?) ON CONFLICT (url) DO UPDATE SET every = excluded.every RETURNING id`,
		u.String(), int64(every/time.Second), time.Now().Add(every).Unix()).Scan(&id)
	if err != nil {
		return FeedItems{}, fmt.Errorf("torrents: save: %w", room.Explain(err))
	}
	defer t.wake.Ring()
	if err := t.lookAt(ctx, id); err != nil {
		if kind := kith.KindOf(err); !known && (kind == kith.Invalid || kind == kith.TooLarge || kind == kith.Denied) { // it is no feed, or not for this address
			_, gone := t.db.ExecContext(context.WithoutCancel(ctx), `DELETE FROM feeds WHERE id = ?`, id)
			return FeedItems{}, errors.Join(err, gone)
		}
		if ctx.Err() != nil {
			return FeedItems{}, ctx.Err()
		}
	}
	return t.shown(ctx, id)
}

// shown returns a feed with its items.
func (t *Torrents) shown(ctx context.Context, id int64) (FeedItems, error) {
	out, err := t.feedLs(ctx, None{})
	if err != nil {
		return FeedItems{}, err
	}
	i := slices.IndexFunc(out.Feeds, func(f Feed) bool { return f.N == id })
	if i < 0 {
		return FeedItems{}, fmt.Errorf("torrents: there is no such feed: %w", kith.NotFound)
	}
	items, err := t.items(ctx, id, maxShown)
	res := FeedItems{Feed: out.Feeds[i], Items: []FeedItem{}}
	for _, k := range items {
		res.Items = append(res.Items, k.shown())
	}
	return res, err
}

func (k kept) shown() FeedItem {
	return FeedItem{GUID: k.GUID, Title: k.Title, Link: k.Link, Page: k.Page, Size: k.Size, Published: k.Published, State: k.state, Rule: k.rule, Why: k.trouble}
}

func (t *Torrents) feedLs(ctx context.Context, _ None) (FeedsOut, error) {
	all, err := t.sources(ctx)
	out := FeedsOut{[]Feed{}}
	for _, s := range all {
		f := Feed{N: s.id, URL: s.url, Title: s.name(), Every: human.Duration(s.every), Trouble: s.trouble, Next: s.next, Asked: asks(s.url)}
		if s.looked.Unix() > 0 {
			f.Looked = s.looked
		}
		if err := t.db.QueryRowContext(ctx, `SELECT count(*), count(*) FILTER (WHERE state = 'fetched') FROM items WHERE feed = ?`, s.id).Scan(&f.Items, &f.Fetched); err != nil {
			return out, fmt.Errorf("torrents: feeds: %w", err)
		}
		out.Feeds = append(out.Feeds, f)
	}
	return out, err
}

// find returns the feed that a person means.
func (t *Torrents) find(ctx context.Context, text string) (source, error) {
	all, err := t.sources(ctx)
	if err != nil {
		return source{}, err
	}
	var found []source
	for _, s := range all {
		if strconv.FormatInt(s.id, 10) == text || s.url == text || s.title == text {
			return s, nil
		}
		if text != "" && (strings.Contains(strings.ToLower(s.title), strings.ToLower(text)) || strings.Contains(s.url, text)) {
			found = append(found, s)
		}
	}
	if len(found) == 1 {
		return found[0], nil
	}
	err = fmt.Errorf("torrents: no feed is %q: %w", plain.Text(text), kith.NotFound)
	if len(found) > 1 {
		err = fmt.Errorf("torrents: %d feeds are %q: %w", len(found), plain.Text(text), kith.Invalid)
	}
	return source{}, kith.Hint(err, "see them with: kith feed ls")
}

func (t *Torrents) feedRm(ctx context.Context, in FeedIn) (FeedsOut, error) {
	s, err := t.find(ctx, in.Feed)
	if err != nil {
		return FeedsOut{}, err
	}
	t.looking.Lock()
	defer t.looking.Unlock()
	for _, q := range []string{`DELETE FROM rules WHERE feed = ?`, `DELETE FROM items WHERE feed = ?`, `DELETE FROM feeds WHERE id = ?`} {
		if _, err := t.db.ExecContext(ctx, q, s.id); err != nil {
			return FeedsOut{}, fmt.Errorf("torrents: save: %w", room.Explain(err))
		}
	}
	t.bell.Ring()
	t.heard.Ring()
	return t.feedLs(ctx, None{})
}

func (t *Torrents) feedShow(ctx context.Context, in FeedIn) (FeedItems, error) {
	s, err := t.find(ctx, in.Feed)
	if err != nil {
		return FeedItems{}, err
	}
	return t.shown(ctx, s.id)
}

func (t *Torrents) feedRefresh(ctx context.Context, in FeedIn) (FeedItems, error) {
	s, err := t.find(ctx, in.Feed)
	if err != nil {
		return FeedItems{}, err
	}
	if err := t.lookAt(ctx, s.id); err != nil {
		return FeedItems{}, err
	}
	t.wake.Ring()
	return t.shown(ctx, s.id)
}

func (t *Torrents) feedGet(ctx context.Context, in FeedGetIn) (FeedItem, error) {
	s, err := t.find(ctx, in.Feed)
	if err != nil {
		return FeedItem{}, err
	}
	items, err := t.items(ctx, s.id, maxKept)
	if err != nil {
		return FeedItem{}, err
	}
	var found []kept
	for _, k := range items {
		if k.GUID == in.Item || k.Title == in.Item {
			found = []kept{k}
			break
		}
		if in.Item != "" && strings.Contains(strings.ToLower(k.Title), strings.ToLower(in.Item)) {
			found = append(found, k)
		}
	}
	if len(found) != 1 {
		err := fmt.Errorf("torrents: %s of %s are %q: %w", human.Count(len(found), "item"), plain.Text(s.name()), plain.Text(in.Item), kith.NotFound)
		return FeedItem{}, kith.Hint(err, "see them with: kith feed show %d", s.id)
	}
	t.looking.Lock()
	defer t.looking.Unlock()
	if err := t.take(ctx, found[0], nil, atHome(ctx, s.url), time.Now()); err != nil {
		return FeedItem{}, err
	}
	out := found[0].shown()
	out.State = stateFetched
	return out, nil
}
