package index

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"kith"
	"kith/search/query"
)

// How far a search looks.
const (
	maxCandidates = 1500 // documents that are ranked
	maxScan       = 6000 // documents that have the words and are looked at for all else
	maxRead       = 500  // documents of which the text is read to find a phrase
	maxPhrase     = 250  // documents with a phrase that are ranked, and as many as there are results if these are more
	maxLimit      = 1000 // results
	maxSame       = 100  // documents of one content that are shown
	maxFlood      = 3    // publishers without whom a search is made again
	maxTrusted    = 250  // publishers whose documents are looked at however old they are
)

// SearchOptions says how to search. The zero value finds DefaultLimit results.
type SearchOptions struct {
	Limit  int                  // results; DefaultLimit if 0
	Within []string             // IDs of the documents that are looked at, and Beside; nil: all
	Typing bool                 // the last word is perhaps not typed to its end: what begins with it is found too
	Exact  bool                 // nothing is corrected: what is found, and whether anything is, says nothing of documents that cannot be found
	Beside []Doc                // documents that are not in the index, and are looked at as if they were. One whose ID is in it is passed over
	Trust  map[string]float64   // by publisher; the most that any publisher of a content has is added to its Score. A word that few documents have is worth about 10
	Doubt  map[kith.Ref]float64 // by content: what is taken off its Score
}

// DefaultLimit is how many results a search has if it does not say.
const DefaultLimit = 50

// A Hit is one content that was found.
type Hit struct {
	Doc                 // the document that answers best
	Names      []string // all names that it has, that of Doc first
	Publishers []string // all who publish it, that of Doc first
	Missing    []string // words that it does not have
	Claims     []string // types that it is said to be and is not
	Score      float64
}

// Results is what a search found.
type Results struct {
	Hits       []Hit
	Total      int         // contents that were found; Hits has the first of them
	More       bool        // there are more than Total: not all were looked at, the newest were
	Query      query.Query // what was looked for: what was asked for, or what was meant where a word is in no document
	Corrected  bool        // Query is not what was asked for
	DidYouMean string      // a query that may have been meant, "" if there is none; if Corrected it is the one whose results these are
	Rebuilding bool        // the index is being made anew: there may be more
	Beside     []string    // IDs of those of SearchOptions.Beside that answer, or are in the index
}

// Search returns the contents that answer q, the best first: those that have all its words, and if these are few then those that have two thirds of them. It is Invalid if
// nothing in q can be looked for.
func (x *Index) Search(ctx context.Context, q query.Query, o SearchOptions) (Results, error) {
	if o.Limit <= 0 {
		o.Limit = DefaultLimit
	}
	o.Limit = min(o.Limit, maxLimit)
	var r Results
	err := x.use(func(handle *sql.DB) error {
		conn, err := handle.Conn(ctx)
		if err != nil {
			return err
		}
		defer conn.Close()
		if _, err := conn.ExecContext(ctx, fmt.Sprintf("PRAGMA cache_size=-%d", readCache)); err != nil {
			return err
		}
		s := search{x: x, ctx: ctx, conn: conn, q: q, o: o, now: x.o.Now(), trust: map[int64]float64{}, found: map[int64]*group{}, seen: map[int64]struct{}{}}
		rebuilding := x.Status().Rebuilding // before: what is found is not all if it is whole only afterwards
		r, err = s.run()
		r.Rebuilding = rebuilding
		return err
	})
	if err != nil {
		return Results{}, fmt.Errorf("index: search: %w", err)
	}
	return r, nil
}

// Has reports whether any document is of a content.
func (x *Index) Has(ctx context.Context, root kith.Ref) (has bool, err error) {
	err = x.use(func(handle *sql.DB) error {
		return handle.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM doc WHERE content = ?)", x.content(Doc{Root: root})).Scan(&has)
	})
	if err != nil {
		return false, fmt.Errorf("index: look: %w", err)
	}
	return has, nil
}

// Of returns the documents of a content.
func (x *Index) Of(ctx context.Context, root kith.Ref) (docs []Doc, err error) {
	err = x.use(func(handle *sql.DB) error {
		docs = nil
		rows, err := handle.QueryContext(ctx, selectDoc+"WHERE d.content = ?", x.content(Doc{Root: root}))
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			_, doc, err := scanDoc(rows)
			if err != nil {
				return err
			}
			docs = append(docs, doc)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("index: look: %w", err)
	}
	return docs, nil
}

// A search is one search under way.
type search struct {
	x    *Index
	ctx  context.Context
	conn *sql.Conn
	q    query.Query
	o    SearchOptions
	now  time.Time

	needs   []need            // of words and then of phrases
	words   int               // how many of needs are of words: these may be missing
	phrases []phrase          // that have to stand somewhere, or may not
	trust   map[int64]float64 // by the hash of the publisher
	doubt   map[int64]float64 // by content
	within  map[int64]bool    // rows of Within; nil: all
	first   int64             // of them
	found   map[int64]*group
	seen    map[int64]struct{} // documents that are in found
	read    int                // documents of which the text was read
	beside  []*beside
	more    bool // not all were looked at
}

// A group is what was found of one content.
type group struct {
	content   int64
	publisher int64 // the first of those that were found
	id        int64 // of the document that answers best
	docs      int
	missing   int
	which     []int // needs
	score     float64
	trust     float64
	size      int64
	newest    int64 // seconds since 1970
}

func (s *search) run() (Results, error) {
	r := Results{Query: s.q}
	for p, worth := range s.o.Trust {
		s.trust[s.x.hash(ofPublisher, p)] = worth
	}
	s.doubt = make(map[int64]float64, len(s.o.Doubt))
	for root, worth := range s.o.Doubt {
		s.doubt[s.x.content(Doc{Root: root})] = worth
	}
	if s.o.Within != nil {
		if err := s.only(); err != nil || len(s.within)+len(s.o.Beside) == 0 {
			return r, err
		}
	}
	if err := s.takeBeside(&r); err != nil {
		return r, err
	}
	if err := s.prepare(&r); err != nil {
		return r, err
	}
	filter := s.filter()
	if len(s.needs) == 0 && filter == "" && s.q.Size == (query.Range[int64]{}) && s.q.Age == (query.Range[time.Duration]{}) {
		return r, kith.Hint(fmt.Errorf("nothing to look for: %w", kith.Invalid), "type a word")
	}
	all := true
	for _, n := range s.needs {
		all = all && len(n.any) > 0
	}
	if all {
		if err := s.scan(match(s.needs, filter)); err != nil {
			return r, err
		}
	}
	if len(s.found) < s.o.Limit && s.least() < s.words {
		if expr := s.relaxed(s.least(), filter); expr != "" {
			if err := s.scan(expr); err != nil {
				return r, err
			}
		}
	}
	err := s.scanBeside(&r)
	if err != nil {
		return r, err
	}
	r.Hits, err = s.hits()
	r.Total, r.More = len(s.found), s.more
	return r, err
}

// only finds the rows of the documents that are looked at.
func (s *search) only() error {
	s.within, s.first = map[int64]bool{}, math.MaxInt64
	stmt, err := s.conn.PrepareContext(s.ctx, "SELECT id FROM doc WHERE key = ?")
	if err != nil {
		return err
	}
	defer stmt.Close()
	for _, id := range s.o.Within {
		var row int64
		switch err := stmt.QueryRowContext(s.ctx, s.x.hash('k', id)).Scan(&row); {
		case errors.Is(err, sql.ErrNoRows):
			continue
		case err != nil:
			return err
		}
		s.within[row], s.first = true, min(s.first, row)
	}
	return nil
}

// scan looks at the documents that match an expression of FTS5, the newest first. If not all were looked at because most of them are one publisher's, it looks at those of the
// others too: nobody hides what others have by publishing more. Nor does what is new hide what those have who are trusted.
func (s *search) scan(expr string) error {
	others := expr
	for range maxFlood + 1 {
		most, err := s.pass(others)
		if err != nil {
			return err
		}
		if most == 0 {
			break
		}
		others = within(others, `"`+every+`" NOT "`+facet(ofPublisher, most)+`"`)
	}
	var trusted []string
	for p, worth := range s.trust {
		if worth > 0 && len(trusted) < maxTrusted {
			trusted = append(trusted, facet(ofPublisher, p))
		}
	}
	if !s.more || len(trusted) == 0 {
		return nil
	}
	_, err := s.pass(within(expr, strings.Join(quoted(trusted), " OR ")))
	return err
}

// pass looks at the documents that match until it has enough. It returns the hash of the publisher who has most of them, if that is why there is more than it looked at; else 0.
func (s *search) pass(expr string) (most int64, err error) {
	rows, err := s.conn.QueryContext(s.ctx, "SELECT d.id, d.content, d.publisher, d.size, d.published, d.terms, d.length, d.year FROM fts JOIN doc d ON d.id = fts.rowid WHERE fts MATCH ? AND fts.rowid >= ? ORDER BY fts.rowid DESC", expr, s.first)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	var c candidate
	var terms sql.RawBytes
	enough, candidates, scanned, of := maxCandidates, 0, 0, map[int64]int{}
	if len(s.phrases) > 0 {
		enough = max(maxPhrase, s.o.Limit)
	}
	s.read = 0
	for rows.Next() {
		if err := rows.Scan(&c.id, &c.content, &c.publisher, &c.size, &c.published, &terms, &c.length, &c.year); err != nil {
			return 0, err
		}
		if scanned >= maxScan || candidates >= enough || s.read >= maxRead {
			s.more = true
			for p, n := range of {
				if 2*n > scanned {
					most = p
				}
			}
			return most, nil
		}
		if s.within != nil && !s.within[c.id] {
			continue
		}
		scanned++
		of[c.publisher]++
		if _, twice := s.seen[c.id]; twice || !c.parse(terms) {
			continue
		}
		ok, err := s.consider(&c)
		if err != nil {
			return 0, err
		}
		if ok {
			candidates++
		}
	}
	return 0, rows.Err()
}

// consider adds a candidate to what was found, if it is what is looked for.
func (s *search) consider(c *candidate) (bool, error) {
	if !s.q.Size.Holds(c.size) || !s.q.Age.Holds(max(0, s.now.Sub(time.Unix(c.published, 0)))) {
		return false, nil
	}
	if !known(s.q.Length, time.Duration(c.length)*time.Second) || !known(s.q.Year, c.year) {
		return false, nil
	}
	score, missing := s.score(c)
	if len(missing) > s.words-s.least() || slices.ContainsFunc(missing, func(i int) bool { return i >= s.words }) {
		return false, nil
	}
	if ok, err := s.hasPhrases(c); err != nil || !ok {
		return false, err
	}
	s.seen[c.id] = struct{}{}
	s.add(c, score, missing)
	return true, nil
}

// known reports whether n is in a range that is asked for: what is not known is in none.
func known[T ~int64](r query.Range[T], n T) bool {
	return r == query.Range[T]{} || n > 0 && r.Holds(n)
}

// least returns how many of the words a document has to have.
func (s *search) least() int { return (2*s.words + 2) / 3 }

func (s *search) add(c *candidate, score float64, missing []int) {
	g := s.found[c.content]
	if g == nil {
		g = &group{content: c.content, publisher: c.publisher, missing: math.MaxInt, trust: math.Inf(-1)}
		s.found[c.content] = g
	}
	g.docs++
	g.newest = max(g.newest, c.published)
	g.trust = max(g.trust, s.trust[c.publisher])
	if len(missing) < g.missing || len(missing) == g.missing && score > g.score {
		g.id, g.score, g.missing, g.which, g.size = c.id, score, len(missing), slices.Clone(missing), c.size
	}
}

// order compares two groups as the query sorts them; score has the whole of it.
func (s *search) order(a, b *group) int {
	c := 0
	switch s.q.Sort {
	case query.BySize:
		c = cmp.Compare(b.size, a.size)
	case query.ByAge:
		c = cmp.Compare(b.newest, a.newest)
	case query.BySources:
		c = cmp.Compare(b.docs, a.docs)
	}
	return cmp.Or(c, cmp.Compare(a.missing, b.missing), cmp.Compare(b.score, a.score), cmp.Compare(b.id, a.id))
}

// hits reads the best of what was found. Some more than are wanted are read, since how many publish each may change their order.
func (s *search) hits() ([]Hit, error) {
	groups := make([]*group, 0, len(s.found))
	for _, g := range s.found {
		g.score += s.fresh(g.newest) + popular(g.docs) + g.trust - s.doubt[g.content]
		groups = append(groups, g)
	}
	slices.SortFunc(groups, s.order)
	if s.q.Sort == query.ByRelevance {
		groups = mingle(groups, func(g *group) *group { return g })
	}
	groups = groups[:min(len(groups), s.o.Limit+s.o.Limit/4+10)]
	type pair struct {
		g *group
		h Hit
	}
	// The limit is in the text: with a parameter in its place SQLite plans the statement anew each time.
	stmt, err := s.conn.PrepareContext(s.ctx, fmt.Sprint(selectDoc, "WHERE d.content = ? ORDER BY d.id DESC LIMIT ", maxSame))
	if err != nil {
		return nil, err
	}
	defer stmt.Close()
	pairs := make([]pair, 0, len(groups))
	for _, g := range groups {
		h, err := s.hit(stmt, g)
		if err != nil {
			return nil, err
		}
		if h.ID != "" {
			pairs = append(pairs, pair{g, h})
		}
	}
	slices.SortStableFunc(pairs, func(a, b pair) int { return s.order(a.g, b.g) })
	if s.q.Sort == query.ByRelevance {
		pairs = mingle(pairs, func(p pair) *group { return p.g })
	}
	hits := make([]Hit, 0, min(len(pairs), s.o.Limit))
	for _, p := range pairs[:min(len(pairs), s.o.Limit)] {
		hits = append(hits, p.h)
	}
	return hits, nil
}

// hit reads all documents of a group.
func (s *search) hit(stmt *sql.Stmt, g *group) (h Hit, err error) {
	rows, err := stmt.QueryContext(s.ctx, g.content)
	if err != nil {
		return h, err
	}
	defer rows.Close()
	for rows.Next() {
		id, doc, err := scanDoc(rows)
		if err != nil {
			return h, err
		}
		h.join(doc, id == g.id, g)
	}
	if err := rows.Err(); err != nil {
		return h, err
	}
	for _, b := range s.beside {
		if b.content == g.content {
			h.join(b.doc, b.row == g.id, g)
		}
	}
	if h.ID == "" { // behind maxSame others, or gone
		_, h.Doc, err = scanDoc(s.conn.QueryRowContext(s.ctx, selectDoc+"WHERE d.id = ?", g.id))
		if err != nil {
			return Hit{}, gone(err)
		}
	}
	h.Names, h.Publishers = front(h.Names, h.Name), front(h.Publishers, h.Publisher)
	trust := math.Inf(-1)
	for _, p := range h.Publishers {
		trust = max(trust, s.o.Trust[p])
	}
	g.score += popular(len(h.Publishers)) - popular(g.docs) + trust - g.trust
	g.docs = len(h.Publishers)
	for _, i := range g.which {
		h.Missing = append(h.Missing, s.needs[i].text)
	}
	h.Score = g.score
	return h, nil
}

// join adds one of the documents of a group; best: the one that answers best.
func (h *Hit) join(doc Doc, best bool, g *group) {
	if best {
		h.Doc = doc
	}
	if !slices.Contains(h.Names, doc.Name) {
		h.Names = append(h.Names, doc.Name)
	}
	if !slices.Contains(h.Publishers, doc.Publisher) {
		h.Publishers = append(h.Publishers, doc.Publisher)
	}
	if doc.Says != "" && !slices.Contains(h.Claims, doc.Says) {
		h.Claims = append(h.Claims, doc.Says)
	}
	g.newest = max(g.newest, doc.Published.Unix())
}

// gone makes no error of a document that was deleted since it was found.
func gone(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	return err
}

// front returns list with s before all others.
func front(list []string, s string) []string {
	return slices.Insert(slices.DeleteFunc(list, func(t string) bool { return t == s }), 0, s)
}

func quoted(terms []string) []string {
	out := make([]string, len(terms))
	for i, t := range terms {
		out[i] = `"` + t + `"`
	}
	return out
}

// match returns the expression of FTS5 for all needs and a filter.
func match(needs []need, filter string) string {
	parts := make([]string, 0, len(needs)+1)
	for _, n := range needs {
		parts = append(parts, n.expr())
	}
	return within(strings.Join(parts, " AND "), filter)
}

func within(expr, filter string) string {
	switch {
	case filter == "":
		return expr
	case expr == "":
		return filter
	}
	return "(" + expr + ") AND (" + filter + ")"
}

// maxCombine is up to how many words all ways to have two thirds of them are asked for.
const maxCombine = 6

// relaxed returns the expression for documents that have at least some of the words, and all phrases; "" if there can be none. Of many words it asks for any of the rarest,
// of which such a document has one.
func (s *search) relaxed(least int, filter string) string {
	var have []need
	for _, n := range s.needs[:s.words] {
		if len(n.any) > 0 {
			have = append(have, n)
		}
	}
	for _, n := range s.needs[s.words:] {
		if len(n.any) == 0 {
			return ""
		}
	}
	if len(have) < least {
		return ""
	}
	slices.SortStableFunc(have, func(a, b need) int { return cmp.Compare(a.docs, b.docs) })
	var any []string
	if s.words <= maxCombine {
		combine(len(have), least, func(which []int) {
			var all []string
			for _, i := range which {
				all = append(all, have[i].expr())
			}
			any = append(any, "("+strings.Join(all, " AND ")+")")
		})
	} else {
		for _, n := range have[:len(have)-least+1] {
			any = append(any, n.expr())
		}
	}
	expr := "(" + strings.Join(any, " OR ") + ")"
	for _, n := range s.needs[s.words:] {
		expr += " AND " + n.expr()
	}
	return within(expr, filter)
}

// combine calls do with every choice of k of n.
func combine(n, k int, do func([]int)) {
	which := make([]int, 0, k)
	var next func(from int)
	next = func(from int) {
		if len(which) == k {
			do(which)
			return
		}
		for i := from; i <= n-(k-len(which)); i++ {
			which = append(which, i)
			next(i + 1)
			which = which[:len(which)-1]
		}
	}
	next(0)
}
