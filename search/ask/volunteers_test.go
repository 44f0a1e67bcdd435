package ask

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith/network"
	"kith/search/query"
	"kith/search/talktest"
	"kith/wire"
)

// both answers what all are asked, and what a volunteer is asked.
func both(own, all func(network.Stream)) func(network.Stream) {
	return func(st network.Stream) {
		r := bufio.NewReader(st)
		var q question
		if wire.ReadMsg(r, maxQuestion, &q) != nil {
			return
		}
		serve := own
		if q.All {
			serve = all
		}
		frame, _ := wire.AppendMsg(nil, q)
		serve(again{st, io.MultiReader(bytes.NewReader(frame), st)})
	}
}

// again is a stream of which what was read is read once more.
type again struct {
	network.Stream
	r io.Reader
}

func (a again) Read(p []byte) (int, error) { return a.r.Read(p) }

// Whatever a volunteer does, what others have is found as without it; what it has of others is found too, if these have signed it; one of no use is not asked again, and others are not kept waiting.
func TestVolunteer(t *testing.T) {
	good, other := publish(t, 1, "blue one"), publish(t, 2, "blue two")
	broken := slices.Clone(other)
	broken[len(broken)-1] ^= 1
	for name, c := range map[string]struct {
		serve func(network.Stream)
		found []string
		want  Report
		again bool
	}{
		"all that there is":    {says(answer{Give: [][]byte{good, other}}), []string{"blue one", "blue one", "blue two"}, Report{Asked: 2, Answered: 2, Volunteers: 1}, true},
		"nothing":              {says(answer{}), []string{"blue one"}, Report{Asked: 2, Answered: 2, Volunteers: 1}, false},
		"not what others have": {says(answer{Give: [][]byte{other}}), []string{"blue one"}, Report{Asked: 2, Answered: 2, Volunteers: 1}, false},
		"a forgery":            {says(answer{Give: [][]byte{broken}}), []string{"blue one"}, Report{Asked: 2, Answered: 1, Failed: 1, Volunteers: 1}, false},
		"spam":                 {says(answer{Give: [][]byte{publish(t, 3, "spam")}}), []string{"blue one"}, Report{Asked: 2, Answered: 2, Volunteers: 1}, false},
		"never":                {func(st network.Stream) { io.Copy(io.Discard, st) }, []string{"blue one"}, Report{Asked: 2, Answered: 1, Volunteers: 1}, false},
		"nobody is there":      {nil, []string{"blue one"}, Report{Asked: 2, Answered: 1, Failed: 1, Volunteers: 1}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &world{Hub: talktest.New(t)}
				w.add(t, 1, says(answer{Give: [][]byte{good}}))
				v := w.add(t, 9, c.serve)
				w.fits, w.volunteers = w.fits[:1], []peer.ID{v}
				a, began := w.asker(), time.Now()
				var found []string
				got := a.Ask(t.Context(), parse(t, "blue"), 0, named("blue", &found))
				if slices.Sort(found); got != c.want || !slices.Equal(found, c.found) {
					t.Errorf("%+v, found %q; want %+v, %q", got, found, c.want, c.found)
				}
				if time.Since(began) > 4*time.Second {
					t.Errorf("it took %v", time.Since(began))
				}
				if got := a.Ask(t.Context(), parse(t, "blue"), 0, named("blue", &found)); (got.Volunteers == 1) != c.again || got.Asked != 1+got.Volunteers {
					t.Errorf("the next search: %+v", got)
				}
				w.Wait()
			})
		})
	}
}

// What a volunteer gave that proved itself counts as found: the overlay is not asked too. What is held back does not, and the overlay is asked.
func TestVolunteerAndRare(t *testing.T) {
	for name, proves := range map[string]bool{"it has what others have": true, "it has what nobody has": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &world{Hub: talktest.New(t)}
				first := publish(t, 1, "blue one")
				w.add(t, 1, says(answer{Give: [][]byte{first}}))
				var much [][]byte
				for i := range byte(Few) {
					much = append(much, publish(t, 20+i, "blue thing"))
				}
				if proves {
					much[0] = first
				}
				v := w.add(t, 9, says(answer{Give: much}))
				last := w.add(t, 10, says(answer{Give: [][]byte{publish(t, 10, "blue last")}}))
				w.fits, w.volunteers = w.fits[:1], []peer.ID{v}
				x := &index{under: map[string][]peer.ID{"blue": {last}}, take: time.Millisecond}
				a := w.asker()
				a.o.Rare = x.rare()
				var found []string
				got := a.Ask(t.Context(), parse(t, "blue"), 0, named("blue", &found))
				want, finds := Report{Asked: 3, Answered: 3, Volunteers: 1}, 2
				if proves {
					want, finds = Report{Asked: 2, Answered: 2, Volunteers: 1}, 1+Few
				}
				if got != want || len(found) != finds || len(x.looks) > 0 == proves {
					t.Errorf("%+v, found %q, looked up %q; want %+v, %d", got, found, x.looks, want, finds)
				}
				w.Wait()
			})
		})
	}
}

// One who volunteers and lies about it is still asked for what it has itself.
func TestVolunteerToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{Hub: talktest.New(t)}
		liar := w.add(t, 1, both(says(answer{Give: [][]byte{publish(t, 1, "blue one")}}), says(answer{})))
		w.volunteers = []peer.ID{liar}
		a := w.asker()
		for i := range 3 {
			var found []string
			want := Report{Asked: 1, Answered: 1}
			if i == 0 {
				want = Report{Asked: 2, Answered: 2, Volunteers: 1}
			}
			if got := a.Ask(t.Context(), parse(t, "blue"), 0, named("blue", &found)); got != want || len(found) != 1 {
				t.Errorf("search %d: %+v, found %q", i, got, found)
			}
		}
		w.Wait()
	})
}

// A search whose publisher is named asks no volunteer, nor does one for which there is enough at home.
func TestNoVolunteer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{Hub: talktest.New(t)}
		p := w.add(t, 1, says(answer{Give: [][]byte{publish(t, 1, "blue one")}}))
		v := w.add(t, 9, says(answer{}))
		w.fits, w.volunteers = w.fits[:1], []peer.ID{v}
		q := parse(t, "blue")
		q.By = query.Choice{In: []string{p.String()}}
		if got := w.asker().Ask(t.Context(), q, 0, named("blue", &[]string{})); got.Volunteers != 0 || got.Asked != 1 {
			t.Errorf("%+v", got)
		}
		if got := w.asker().Ask(t.Context(), parse(t, "blue"), 50, named("blue", &[]string{})); got.Asked != 0 {
			t.Errorf("%+v", got)
		}
		w.Wait()
	})
}

// Who volunteers gives what others publish to who asks for it, and its own alone to who does not; who does not volunteer gives its own to both.
func TestServeAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		own, all := publish(t, 9, "blue own"), publish(t, 2, "blue two")
		for _, volunteers := range []bool{true, false} {
			o := Options{Find: func(context.Context, query.Query, int) ([][]byte, error) { return [][]byte{own}, nil }, Log: slog.New(slog.DiscardHandler)}
			if volunteers {
				o.FindAll = func(context.Context, query.Query, int) ([][]byte, error) { return [][]byte{own, all}, nil }
			}
			s := New(o)
			h := talktest.New(t)
			_, asked := keyOf(t, 9)
			h.Add(asked, s.Serve)
			h.Join("asker", asked)
			w := &world{Hub: h}
			for _, every := range []bool{true, false} {
				found, _, err := w.asker().question(t.Context(), asked, question{Query: "blue", All: every})
				want := 1
				if volunteers && every {
					want = 2
				}
				if err != nil || len(found) != want || slices.ContainsFunc(found, func(f Found) bool { return f.Lent != (f.Publisher != asked) }) {
					t.Errorf("volunteers %v, asked for all %v: %d found, %v", volunteers, every, len(found), err)
				}
			}
			h.Wait()
		}
	})
}
