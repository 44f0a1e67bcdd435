package ask

import (
	"context"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith/network"
	"kith/search/fact"
	"kith/search/publication"
	"kith/search/query"
	"kith/search/rare"
	"kith/search/talktest"
)

// An index is an overlay that knows who is announced under a word.
type index struct {
	mu     sync.Mutex
	under  map[string][]peer.ID
	take   time.Duration
	looks  []string
	now    int
	atOnce int
	guided int
}

func (x *index) rare() Rare {
	return Rare{
		Keys: func(_ context.Context, q query.Query, guided int) (keys []rare.Key) {
			x.guided = guided
			for _, w := range WordsIn(q) {
				keys = append(keys, rare.Word(w))
			}
			return keys
		},
		Find: func(ctx context.Context, key rare.Key, most int) iter.Seq[peer.ID] {
			return func(yield func(peer.ID) bool) {
				var found []peer.ID
				x.mu.Lock()
				x.now++
				x.atOnce = max(x.atOnce, x.now)
				for w, list := range x.under {
					if rare.Word(w) == key {
						x.looks = append(x.looks, w)
						found = list[:min(len(list), most)]
					}
				}
				x.mu.Unlock()
				defer func() {
					x.mu.Lock()
					x.now--
					x.mu.Unlock()
				}()
				for _, p := range found {
					if !yield(p) {
						return
					}
				}
				select {
				case <-time.After(x.take):
				case <-ctx.Done():
				}
			}
		},
	}
}

// Whom the overlay names is asked when there is little, each once, ten at most, and what they say is looked at as all else; who lies is asked no more.
func TestRare(t *testing.T) {
	for name, c := range map[string]struct {
		query  string
		home   int
		known  int // devices whose filters fit, each of which has one; they are 1, 2, …
		under  map[string][]byte
		lies   []byte
		take   time.Duration
		found  int
		report Report
		atOnce int
	}{
		"one":                {query: "blue", under: map[string][]byte{"blue": {1}}, found: 1, report: Report{Asked: 1, Answered: 1}, atOnce: 1},
		"under two words":    {query: "blue one", under: map[string][]byte{"blue": {1, 2}, "one": {2, 1}}, found: 2, report: Report{Asked: 2, Answered: 2}, atOnce: 2},
		"many words":         {query: "blue a b c d e f", under: map[string][]byte{"f": {1}}, take: time.Second, found: 1, report: Report{Asked: 1, Answered: 1}, atOnce: 3},
		"asked before":       {query: "blue", known: 2, under: map[string][]byte{"blue": {1, 2, 3}}, found: 3, report: Report{Asked: 3, Answered: 3}, atOnce: 1},
		"enough":             {query: "blue", home: Few, under: map[string][]byte{"blue": {1}}},
		"enough with others": {query: "blue", home: Few - 1, known: 1, under: map[string][]byte{"blue": {2}}, found: 1, report: Report{Asked: 1, Answered: 1}},
		"ten at most":        {query: "blue one", under: map[string][]byte{"blue": {1, 2, 3, 4, 5, 6}, "one": {7, 8, 9, 10, 11, 12, 13}}, found: 10, report: Report{Asked: 10, Answered: 10}, atOnce: 2},
		"a lie":              {query: "blue", under: map[string][]byte{"blue": {1, 2}}, lies: []byte{1}, found: 1, report: Report{Asked: 2, Answered: 1, Failed: 1}, atOnce: 1},
		"never ends":         {query: "blue", under: map[string][]byte{"blue": {1}}, take: time.Hour, found: 1, report: Report{Asked: 1, Answered: 1}, atOnce: 1},
		"not of all":         {query: "blue by:@anna", under: map[string][]byte{"blue": {1}}},
		"no words":           {query: "type:audio", under: map[string][]byte{"audio": {1}}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &world{Hub: talktest.New(t)}
				x := &index{under: map[string][]peer.ID{}, take: max(c.take, time.Millisecond)}
				for word, numbers := range c.under {
					for _, n := range numbers {
						id := w.add(t, n, says(answer{Give: [][]byte{publish(t, n, "blue thing")}}))
						if slices.Contains(c.lies, n) {
							serve := says(answer{Give: [][]byte{publish(t, n, "pills")}})
							w.Add(id, func(_ context.Context, st network.Stream) error { serve(st); return nil })
						}
						x.under[word] = append(x.under[word], id)
					}
				}
				w.fits = nil
				for n := range c.known {
					w.add(t, byte(n+1), says(answer{Give: [][]byte{publish(t, byte(n+1), "blue thing")}}))
				}
				a := w.asker()
				a.o.Rare = x.rare()
				var found []string
				report := a.Ask(t.Context(), parse(t, c.query), c.home, named("blue", &found))
				if report != c.report || len(found) != c.found || x.atOnce != c.atOnce {
					t.Errorf("%+v, found %d, %d lookups at once; want %+v, %d, %d", report, len(found), x.atOnce, c.report, c.found, c.atOnce)
				}
				for i, p := range w.asked {
					if slices.Contains(w.asked[:i], p) {
						t.Errorf("%s is asked twice", p)
					}
				}
				for _, n := range c.lies {
					if _, id := keyOf(t, n); !a.shunned(id) {
						t.Error("who has lied may be asked again")
					}
				}
				w.Wait()
			})
		})
	}
}

// It is told of how many other shards a guide has answered, however many of one.
func TestRareGuided(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{Hub: talktest.New(t)}
		for n := range byte(3) {
			w.guides = append(w.guides, []peer.ID{w.add(t, 2*n+1, says(answer{})), w.add(t, 2*n+2, says(answer{}))})
		}
		w.fits = nil
		w.Leave(w.guides[0][1])
		w.Leave(w.guides[1][0])
		w.Leave(w.guides[1][1])
		x := &index{take: time.Millisecond}
		a := w.asker()
		a.o.Rare = x.rare()
		a.Ask(t.Context(), parse(t, "blue"), 0, named("blue", new([]string)))
		if x.guided != 2 {
			t.Errorf("%d shards have answered, want 2", x.guided)
		}
		w.Wait()
	})
}

// How long a lookup may take goes by how long lookups have taken.
func TestRareWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{Hub: talktest.New(t)}
		x := &index{under: map[string][]peer.ID{}, take: 20 * time.Millisecond}
		a := w.asker()
		a.o.Rare = x.rare()
		took := func() time.Duration {
			began := time.Now()
			a.Ask(t.Context(), parse(t, "blue"), 0, named("blue", new([]string)))
			return time.Since(began)
		}
		for range 50 {
			took()
		}
		x.take = time.Hour
		if d := took(); d != leastLook {
			t.Errorf("a lookup without end, after short ones, took %v", d)
		}
		for range 50 {
			took()
		}
		if d := took(); d != 10*time.Second {
			t.Errorf("a lookup without end, after many, took %v", d)
		}
	})
}

// What a name is known by is in what a question for its words looks up, as it is written.
func TestWords(t *testing.T) {
	p := publication.Publication{Name: "MilesDavis - Größe_S01E02 東京都.flac", Tags: []string{"Vinyl"}, Facts: fact.Facts{Artist: "Doğan"}}
	got := WordsOf(p)
	for _, typed := range []string{"milesdavis", "miles davis", "MilesDavis", "GROSSE", "s01e02", "東京都", "vinyl", "dogan", "flac"} {
		for _, w := range WordsIn(parse(t, typed)) {
			if !slices.Contains(got, w) {
				t.Errorf("%s: %q is none of %q", typed, w, got)
			}
		}
	}
	if text := strings.Join(WordsIn(parse(t, `"kind of" blue tag:jazz -live type:audio`)), " "); text != "blue kind of jazz" {
		t.Errorf("%q", text)
	}
	if n := len(rare.Keys(got, func(...string) int { return 0 })); n != rare.MaxAlone {
		t.Errorf("%d keys", n)
	}
}
