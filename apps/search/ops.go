package search

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"kith"
	"kith/app"
	"kith/internal/human"
	"kith/internal/plain"
	"kith/network"
	"kith/search/ask"
	"kith/search/fact"
	"kith/search/index"
	"kith/search/plan"
	"kith/search/query"
)

// SearchIn asks what is shared that answers some words.
type SearchIn struct {
	Words []string `json:"words,omitempty" arg:"0" doc:"words, \"phrases\", -words that must not be there, and filters such as size:>10MB"`
	Type  string   `json:"type,omitempty" doc:"audio, video, image, text, archive, program or other; several with commas between"`
	Size  string   `json:"size,omitempty" doc:"+10MB is at least, -1GB at most, 10MB..1GB between"`
	Age   string   `json:"age,omitempty" doc:"-30d is published in the last 30 days, +1y before that"`
	Lang  string   `json:"lang,omitempty" doc:"language, such as de"`
	Tag   string   `json:"tag,omitempty" doc:"a tag that it has"`
	By    string   `json:"by,omitempty" doc:"a contact who shares it, such as @anna"`
	Sort  string   `json:"sort,omitempty" enum:"relevance,size,age,sources" default:"relevance" doc:"what comes first"`
	Limit int      `json:"limit,omitempty" default:"20" doc:"so many results at most, up to 500"`
	Get   int      `json:"get,omitempty" doc:"fetch the result of this number"`
	Save  string   `json:"save,omitempty" doc:"keep this search under a name, and tell when something new answers it"`

	Length     string `json:"length,omitempty" doc:"how long it plays: +3m is at least, 4:33..5:00 between"`
	Year       string `json:"year,omitempty" doc:"of a recording, film or photo: 1959, 1950..1960"`
	Resolution string `json:"resolution,omitempty" doc:"of a film or picture: 1080p, +720p, 4k"`

	Local    bool `json:"local,omitempty" doc:"ask nobody: look only in what is here and in what others have published to everybody"`
	Reported bool `json:"reported,omitempty" doc:"also what contacts report as spam or the like, as the last of the results"`

	Typing bool `json:"typing,omitempty" doc:"the last word is perhaps not typed to its end; nobody is asked"`
}

const (
	defaultLimit = 20
	maxLimit     = 500
)

// SearchOut is what was found.
type SearchOut struct {
	Results    []Result `json:"results"`
	Reported   []Result `json:"reported,omitempty" doc:"what was found beside them and set aside, since several contacts report it"`
	Total      int      `json:"total" doc:"contents that were found; results has the first of them"`
	More       bool     `json:"more,omitempty" doc:"there are more than total"`
	Query      string   `json:"query" doc:"what was looked for"`
	Corrected  bool     `json:"corrected,omitempty" doc:"which is not what was asked for: a word of that is nowhere"`
	DidYouMean string   `json:"did_you_mean,omitempty" doc:"what may have been meant"`
	Rebuilding bool     `json:"rebuilding,omitempty" doc:"the index is being made anew: there may be more"`
	Known      int      `json:"known" doc:"publications that this node knows"`
	Told       int      `json:"told,omitempty" doc:"if nothing was found: what feeds have told of, which was looked through too"`
	Hides      int      `json:"hides,omitempty" doc:"if nothing was found: how many publishers and contents are hidden, by hand or by block lists, of which nothing is found"`
	Asked      int      `json:"asked" doc:"others who were asked"`
	Answered   int      `json:"answered" doc:"of these those who answered"`
	Volunteers int      `json:"volunteers,omitempty" doc:"of those asked, who were asked for what they have of all others"`
	Feeds      int      `json:"feeds,omitempty" doc:"feeds that were asked"`
	Trouble    []string `json:"trouble,omitempty" doc:"why some of these did not answer"`
	Asking     bool     `json:"asking,omitempty" doc:"answers may still come"`
	Publishing int      `json:"publishing,omitempty" doc:"publications of this node that are still being made, which takes work"`
	Took       float64  `json:"took" doc:"milliseconds"`
	Saved      string   `json:"saved,omitempty" doc:"with save: the name under which it is kept"`
	Fetching   string   `json:"fetching,omitempty" doc:"with get: the name of what is being fetched now"`
}

// Result is one content.
type Result struct {
	Ref       kith.Ref  `json:"ref"`
	Name      string    `json:"name"`
	Names     []string  `json:"names,omitempty" doc:"what else it is called"`
	Size      int64     `json:"size" doc:"bytes; -1: not known"`
	Type      string    `json:"type" enum:"audio,video,image,text,archive,program,other"`
	Tags      []string  `json:"tags,omitempty"`
	Files     []string  `json:"files,omitempty" doc:"of a folder, some of its files"`
	Language  string    `json:"language,omitempty"`
	Published time.Time `json:"published"`
	Sources   int       `json:"sources" doc:"devices that share it"`
	From      []string  `json:"from,omitempty" doc:"contacts among them, as the person calls them"`
	Strangers []peer.ID `json:"strangers,omitempty" doc:"the others among them, as peer IDs"`
	Elsewhere []string  `json:"elsewhere,omitempty" doc:"where this node has heard that other networks have it: titles of feeds"`
	Contacts  bool      `json:"contacts,omitempty" doc:"it is not public: those who share it do so with their contacts alone, and this node has asked them"`
	Here      bool      `json:"here,omitempty" doc:"it is in the person's own library"`
	Missing   []string  `json:"missing,omitempty" doc:"words that were looked for and that it does not have"`
	Link      string    `json:"link"`

	Facts  fact.Facts `json:"facts,omitzero" doc:"what it says of itself: read here if it is here, else as who shares it says"`
	Claims []string   `json:"claims,omitempty" doc:"types that it is said to be, while its bytes, which are here, are of another"`

	Live string    `json:"live,omitempty" enum:"now,seen,unknown" doc:"whether a device that shares it is there: connected now; seen, and not now; or not since this node was started"`
	Seen time.Time `json:"seen,omitzero" doc:"when, if it was seen"`

	Reports []Word `json:"reports,omitempty" doc:"contacts who would not have it found: they report it, or all who share it"`
}

func searchOp(run func(context.Context, SearchIn) iter.Seq2[SearchOut, error]) app.Op {
	o := app.NewStreamOp("search", "find what is shared, by words", run)
	o.Long = "Looks in what is here, in what others have published (kith share --for public, kith publish --for public), as far as it has come to this node, and in what feeds have\n" +
		"told of (kith feed add); then it asks your contacts who are connected, also for what they share with contacts alone, those who publish more than has come here and may have what you look for,\n" +
		"and feeds that can be asked (kith feed add --ask): they learn the words. With --local nobody is asked.\n" +
		"The same bytes under several names are one result.\n" +
		"\"A phrase\" stands together, -word must not be there, and filters may stand among the words too: type:audio size:>10MB lang:de tag:vinyl by:@anna age:<30d sort:age."
	o.Example = "  kith search jazz 1959 flac --type audio --size +10MB\n  kith search '\"kind of blue\" -live'\n  kith search debian netinst --get 1\n  kith search --local diary\n  kith search --save jazz jazz flac --by @anna"
	return o
}

// query returns what is looked for.
func (in SearchIn) query() (query.Query, error) {
	var flags []query.Flag
	for _, f := range []query.Flag{{Name: "type", Value: in.Type}, {Name: "size", Value: in.Size}, {Name: "age", Value: in.Age}, {Name: "lang", Value: in.Lang},
		{Name: "length", Value: in.Length}, {Name: "year", Value: in.Year}, {Name: "resolution", Value: in.Resolution}, {Name: "tag", Value: in.Tag}, {Name: "by", Value: in.By}, {Name: "sort", Value: in.Sort}} {
		if f.Value != "" {
			flags = append(flags, f)
		}
	}
	return query.Parse(strings.Join(in.Words, " "), flags...)
}

// search yields what is found here at once, and then what others answer, as it comes; the last value has all.
func (s *Search) search(ctx context.Context, in SearchIn) iter.Seq2[SearchOut, error] {
	return func(yield func(SearchOut, error) bool) {
		begun := time.Now()
		a, err := s.begin(ctx, in)
		if err != nil {
			yield(SearchOut{}, err)
			return
		}
		out := func(asking bool) (SearchOut, error) {
			out, err := s.outcome(ctx, in, a)
			out.Asking, out.Took = asking, float64(time.Since(begun).Microseconds())/1000
			return out, err
		}
		if !in.Local && !in.Typing && !s.local {
			if !yield(out(true)) {
				return
			}
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			left := false
			feeds, answered := s.askFeeds(ctx, a.q)
			a.feeds = feeds
			a.report = s.asker.Ask(ctx, asked(a.q), whole(a.found), func(so ask.Report, list []ask.Found) (fit, fresh int) {
				if left {
					return len(list), 0
				}
				fit, fresh = a.take(so, list)
				if fresh > 0 && !yield(out(true)) {
					left = true
					cancel()
				}
				return fit, fresh
			})
			if left {
				return
			}
			if feeds > 0 {
				select {
				case why := <-answered:
					a.again(why)
				case <-ctx.Done():
				}
			}
		}
		last, err := out(false)
		if err = cmp.Or(err, a.err, ctx.Err()); err == nil {
			err = s.fetch(ctx, in, &last)
		}
		if err != nil {
			last = SearchOut{}
		}
		yield(last, err)
	}
}

// begin looks in what is here.
func (s *Search) begin(ctx context.Context, in SearchIn) (*asking, error) {
	q, err := in.query()
	if err != nil {
		return nil, err
	}
	limit := cmp.Or(in.Limit, defaultLimit)
	if limit < 0 || limit > maxLimit || in.Get < 0 {
		return nil, kith.Hint(fmt.Errorf("search: %d results: %w", limit, kith.Invalid), "1 to %d", maxLimit)
	}
	text := q.String()
	if err := s.whose(&q); err != nil {
		return nil, err
	}
	if in.Save != "" {
		if err := s.save(ctx, in.Save, text); err != nil {
			return nil, err
		}
	}
	a := &asking{s: s, ctx: ctx, q: q, asides: map[kith.Ref][]peer.ID{}, o: index.SearchOptions{Limit: max(limit, in.Get, plan.Enough), Typing: in.Typing, Trust: s.trust()}}
	a.doubt()
	a.prefer()
	a.found, err = s.index.Search(ctx, q, a.o)
	return a, err
}

// outcome returns what was found so far, as a person sees it.
func (s *Search) outcome(ctx context.Context, in SearchIn, a *asking) (SearchOut, error) {
	found := a.found
	out := SearchOut{Results: []Result{}, Total: found.Total, More: found.More, Query: found.Query.String(), Corrected: found.Corrected, DidYouMean: found.DidYouMean,
		Rebuilding: found.Rebuilding, Known: s.spread.Len(), Publishing: s.spread.Publishing(), Saved: in.Save, Asked: a.report.Asked, Answered: a.report.Answered, Volunteers: a.report.Volunteers,
		Feeds: a.feeds, Trouble: a.trouble}
	limit := max(cmp.Or(in.Limit, defaultLimit), in.Get)
	for i := range found.Hits {
		if len(out.Results) == limit {
			break
		}
		r, err := s.result(ctx, &found.Hits[i])
		if err != nil {
			return SearchOut{}, err
		}
		r.Contacts = a.confided(&found.Hits[i])
		if r.aside(a.voices, &found.Hits[i]) {
			out.Reported = append(out.Reported, r)
		} else {
			out.Results = append(out.Results, r)
		}
	}
	if in.Reported {
		out.Results, out.Reported = append(out.Results, out.Reported...), nil
		out.Results = out.Results[:min(len(out.Results), limit)]
	}
	if len(out.Results) == 0 {
		var err error
		if out.Told, err = s.offerCount(ctx); err != nil {
			return SearchOut{}, err
		}
		out.Hides = s.hides()
	}
	return out, nil
}

// fetch begins to fetch the result that is wanted, if one is.
func (s *Search) fetch(ctx context.Context, in SearchIn, out *SearchOut) error {
	if in.Get > len(out.Results) {
		return kith.Hint(fmt.Errorf("search: there is no result %d of %d: %w", in.Get, len(out.Results), kith.NotFound), "see which there are: the same search without --get")
	}
	if in.Get > 0 {
		r := out.Results[in.Get-1]
		out.Results, out.Fetching = []Result{r}, r.Name
		if _, err := s.files.Fetch(ctx, r.Link, ""); err != nil {
			return err
		}
	}
	out.Results = out.Results[:min(len(out.Results), cmp.Or(in.Limit, defaultLimit))]
	return nil
}

// whose puts devices in the place of the contacts in a query.
func (s *Search) whose(q *query.Query) error {
	for _, list := range []*[]string{&q.By.In, &q.By.Out} {
		var devices []string
		for _, name := range *list {
			all := s.env.People.Devices(name)
			if all == nil {
				return kith.Hint(fmt.Errorf("search: by %s: there is no such contact: %w", plain.Text(name), kith.NotFound), "see who they are with: kith people")
			}
			for _, p := range all {
				devices = append(devices, p.String())
			}
		}
		*list = devices
	}
	return nil
}

// What trust is worth, where a word that few documents have is worth about 10: of what has as many of the words, what a contact shares comes first.
const (
	ofContact = 1000.0
	isHere    = 1.0
)

// trust returns what it is worth who publishes.
func (s *Search) trust() map[string]float64 {
	worth := map[string]float64{ofMine: isHere, forContacts: isHere}
	for _, p := range append(s.spread.Publishers(), s.contacts()...) {
		if p != s.me && s.env.People.Contact(p) {
			worth[p.String()] = ofContact
		}
	}
	return worth
}

// result returns a hit as a person sees it.
func (s *Search) result(ctx context.Context, h *index.Hit) (Result, error) {
	r := Result{Ref: h.Root, Name: h.Name, Size: h.Size, Type: h.Type, Tags: h.Tags, Files: h.Files, Language: h.Language, Published: h.Published, Missing: h.Missing,
		Facts: h.Facts, Claims: h.Claims}
	if len(h.Names) > 1 {
		r.Names = h.Names[1:]
	}
	l := kith.Link{Ref: h.Root, Name: h.Name, Size: h.Size}
	if name := s.env.Host.Name(); name != network.DefaultName {
		l.Network = name
	}
	seen := map[string]bool{}
	heard := false
	var sources []peer.ID
	for _, text := range h.Publishers {
		if isOffer(text) {
			heard = true
			continue
		}
		p, err := peer.Decode(text)
		if err != nil {
			r.Here = true
			continue
		}
		if p == s.me {
			continue
		}
		r.Sources++
		sources = append(sources, p)
		if name := s.env.People.Name(p); name == "" {
			r.Strangers = append(r.Strangers, p)
		} else if !seen[name] {
			seen[name] = true
			r.From = append(r.From, name)
		}
		l.Peers = append(l.Peers, s.whereIs(p)...)
	}
	r.Link = l.String()
	s.alive(&r, sources)
	if !heard {
		return r, nil
	}
	best, feeds, err := s.offersOf(ctx, h.Root)
	if err != nil {
		return Result{}, err
	}
	r.Elsewhere = feeds
	if h.Root.Codec == kith.Pending {
		r.Link, r.Size = best.Link, best.Size
	}
	return r, nil
}

// maxWhere is how many addresses of one source a link has.
const maxWhere = 2

// whereIs returns where a peer that is connected can be reached.
func (s *Search) whereIs(p peer.ID) (list []ma.Multiaddr) {
	info, ok := s.env.Host.Peer(p)
	if !ok {
		return nil
	}
	id, err := ma.NewComponent("p2p", p.String())
	if err != nil {
		return nil
	}
	for _, a := range info.Addrs[:min(len(info.Addrs), maxWhere)] {
		list = append(list, a.Encapsulate(id))
	}
	return list
}

// Progress implements app.Progresser.
func (out SearchOut) Progress() app.Progress {
	return app.Progress{Label: "asking others", Note: human.Count(out.Total, "result")}
}

// Preview implements app.Previewer.
func (out SearchOut) Preview() bool { return len(out.Results) > 0 && out.Fetching == "" }

// WriteText implements app.Texter.
func (out SearchOut) WriteText(w io.Writer, width int) error {
	if out.Fetching != "" {
		_, err := fmt.Fprintf(w, "%s is being fetched; see how it goes with: kith ls\n", plain.Text(out.Fetching))
		return err
	}
	var b strings.Builder
	if out.Rebuilding {
		b.WriteString("The index is being made anew: there may be more than this.\n")
	}
	if out.Corrected {
		fmt.Fprintf(&b, "Looked for: %s\n", plain.Text(out.Query))
	}
	for i, r := range out.Results {
		fmt.Fprintf(&b, "%3d  %s\n     %s\n", i+1, plain.Text(r.Name), r.about())
		if facts := r.Facts.String(); facts != "" {
			fmt.Fprintf(&b, "     %s\n", facts)
		}
		if said := r.said(); said != "" {
			fmt.Fprintf(&b, "     %s\n", said)
		}
	}
	if !out.Corrected && out.DidYouMean != "" {
		fmt.Fprintf(&b, "Did you mean: %s\n", plain.Text(out.DidYouMean))
	}
	out.asideText(&b)
	switch {
	case len(out.Results) == 0 && len(out.Reported) > 0:
	case len(out.Results) == 0:
		b.WriteString(out.nothing())
	case out.More:
		fmt.Fprintf(&b, "The first %d of more than %d; fetch one with --get and its number.\n", len(out.Results), out.Total)
	default:
		fmt.Fprintf(&b, "%d of %d; fetch one with --get and its number.\n", len(out.Results), out.Total)
	}
	if out.Asked > 0 {
		helped := ""
		if out.Volunteers > 0 {
			helped = ", " + human.Count(out.Volunteers, "volunteer") + " among them"
		}
		fmt.Fprintf(&b, "Asked %s who may have more%s; %d answered.\n", human.Count(out.Asked, "other"), helped, out.Answered)
	}
	if out.Feeds > 0 {
		fmt.Fprintf(&b, "Asked %s.\n", human.Count(out.Feeds, "feed"))
	}
	for _, why := range out.Trouble {
		fmt.Fprintf(&b, "  %s\n", plain.Text(why))
	}
	if out.Publishing > 0 {
		fmt.Fprintf(&b, "%s of what you share %s still being made.\n", human.Count(out.Publishing, "publication"), map[bool]string{true: "is", false: "are"}[out.Publishing == 1])
	}
	if out.Saved != "" {
		fmt.Fprintf(&b, "Saved as %s: what is new for it is shown by: kith search saved\n", plain.Text(out.Saved))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// nothing says where there is nothing of what was looked for.
func (out SearchOut) nothing() string {
	text := "Nothing found in " + human.Count(out.Known, "publication") + " known here"
	if out.Told > 0 {
		text += ", nor in " + human.Count(out.Told, "item") + " of feeds"
	}
	if out.Asked > 0 {
		text += ", nor with others"
	}
	text += ".\n"
	if out.Hides > 0 {
		text += fmt.Sprintf("What is hidden is not shown, %d in all; see it with: kith search hidden\n", out.Hides)
	}
	return text
}

// maxStrangers is how many of those who share something are named, so that they can be hidden.
const maxStrangers = 2

// about is a result's second line.
func (r Result) about() string {
	var parts []string
	if r.Size >= 0 {
		parts = append(parts, human.Bytes(r.Size))
	}
	what := r.Type
	if len(r.Claims) > 0 {
		what = "says " + plain.Text(strings.Join(r.Claims, " and ")) + ", is " + r.Type
	}
	parts = append(parts, what)
	switch {
	case r.Here:
		parts = append(parts, "here")
	case len(r.From) > 0:
		parts = append(parts, "from "+plain.Text(strings.Join(r.From, ", ")))
	case r.Sources > 0 || len(r.Elsewhere) == 0:
		parts = append(parts, human.Count(r.Sources, "source"))
	}
	if r.Contacts {
		parts = append(parts, "for contacts")
	}
	if there := r.there(); there != "" {
		parts = append(parts, there)
	}
	if len(r.Elsewhere) > 0 {
		parts = append(parts, "told of by "+plain.Text(strings.Join(r.Elsewhere, ", ")))
	}
	for _, p := range r.Strangers[:min(len(r.Strangers), maxStrangers)] {
		parts = append(parts, tail(p.String()))
	}
	if age := time.Since(r.Published); age > time.Minute && !r.Here {
		parts = append(parts, human.Duration(age)+" old")
	}
	if len(r.Tags) > 0 {
		parts = append(parts, plain.Text(strings.Join(r.Tags, ", ")))
	}
	if len(r.Missing) > 0 {
		parts = append(parts, "without "+plain.Text(strings.Join(r.Missing, ", ")))
	}
	return strings.Join(parts, " · ")
}
