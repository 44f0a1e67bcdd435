package ask

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/network"
	"kith/search/plan"
	"kith/search/publication"
	"kith/search/query"
	"kith/search/talktest"
	"kith/wire"
)

// say returns what a contact says of something of that name.
func say(t testing.TB, name string) []byte {
	value, err := publication.Aside(publication.Publication{Root: kith.RawRef([32]byte{byte(len(name))}), Name: name, Size: 1, Issued: bubble})
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// know makes the device of a number a contact's that is connected.
func (w *world) know(t testing.TB, number byte, serve func(network.Stream)) peer.ID {
	_, id := keyOf(t, number)
	w.Add(id, func(_ context.Context, st network.Stream) error { serve(st); return nil })
	w.Join("asker", id)
	w.contacts = append(w.contacts, id)
	return id
}

// Whatever a contact answers has a clear outcome too.
func TestContacts(t *testing.T) {
	good := say(t, "blue one")
	for name, c := range map[string]struct {
		serve func(network.Stream)
		found int
		want  Report
		again bool // it may be asked again
	}{
		"an aside":                {says(answer{Say: [][]byte{good}}), 1, Report{Asked: 1, Answered: 1}, true},
		"an earlier version":      {says(answer{Give: [][]byte{publish(t, 1, "blue two")}}), 1, Report{Asked: 1, Answered: 1}, true},
		"nothing":                 {says(answer{}), 0, Report{Asked: 1, Answered: 1}, true},
		"what does not match":     {says(answer{Say: [][]byte{say(t, "spam")}}), 0, Report{Asked: 1, Failed: 1}, false},
		"too many":                {says(answer{Say: slices.Repeat([][]byte{good}, MaxResults+1)}), 0, Report{Asked: 1, Failed: 1}, false},
		"no aside":                {says(answer{Say: [][]byte{[]byte("garbage")}}), 0, Report{Asked: 1, Failed: 1}, false},
		"a publication as aside":  {says(answer{Say: [][]byte{publish(t, 1, "blue two")}}), 0, Report{Asked: 1, Failed: 1}, false},
		"an aside as publication": {says(answer{Give: [][]byte{good}}), 0, Report{Asked: 1, Failed: 1}, false},
		"garbage":                 {writes([]byte("\x05garbage")), 0, Report{Asked: 1, Failed: 1}, false},
		"a gigabyte":              {endless, 0, Report{Asked: 1, Failed: 1}, false},
		"busy":                    {says(answer{Busy: true}), 0, Report{Asked: 1, Failed: 1}, true},
		"it hangs up":             {writes(nil), 0, Report{Asked: 1, Failed: 1}, true},
		"never":                   {func(st network.Stream) { io.Copy(io.Discard, st) }, 0, Report{Asked: 1}, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &world{Hub: talktest.New(t)}
				w.know(t, 1, c.serve)
				a, began := w.asker(), time.Now()
				var found []string
				if got := a.Ask(t.Context(), parse(t, "blue"), 0, named("blue", &found)); got != c.want || len(found) != c.found {
					t.Errorf("%+v, found %q; want %+v, %d", got, found, c.want, c.found)
				}
				if time.Since(began) > 4*time.Second {
					t.Errorf("it took %v", time.Since(began))
				}
				if got := a.Ask(t.Context(), parse(t, "blue"), 0, named("blue", &found)); got.Asked > 0 != c.again {
					t.Errorf("the next search asks %d", got.Asked)
				}
				w.Wait()
			})
		})
	}
}

// Contacts are asked beside others, also when there is enough, or no word; at most so many at once, and nobody is waited for who has taken too long.
func TestContactsBeside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{Hub: talktest.New(t)}
		var mu sync.Mutex
		now, most := 0, 0
		for i := range byte(maxContacts + 10) {
			w.know(t, i+1, func(st network.Stream) {
				mu.Lock()
				now++
				most = max(most, now)
				mu.Unlock()
				time.Sleep(10 * time.Millisecond)
				mu.Lock()
				now--
				mu.Unlock()
				says(answer{Say: [][]byte{say(t, fmt.Sprint("blue ", i))}})(st)
			})
		}
		stranger := w.add(t, 200, says(answer{Give: [][]byte{publish(t, 200, "blue stranger")}, Say: [][]byte{say(t, "blue secret")}}))
		var found []string
		take := named("blue", &found)
		if got := w.asker().Ask(t.Context(), parse(t, "blue"), 0, take); got.Asked != maxContacts+1 || got.Answered != got.Asked || len(found) != got.Asked || most != contactsAtOnce {
			t.Errorf("%+v, found %d, %d at once", got, len(found), most)
		}
		if !slices.Contains(found, "blue stranger") || slices.Contains(found, "blue secret") {
			t.Errorf("of a stranger: %q", found)
		}
		for text, home := range map[string]int{"blue": plan.Enough, "type:audio": 0} {
			if got := w.asker().Ask(t.Context(), parse(t, text), home, take); got.Asked != maxContacts {
				t.Errorf("%s with %d at home: %+v", text, home, got)
			}
		}
		q := parse(t, "blue")
		q.By.In = []string{w.contacts[3].String(), stranger.String()}
		if got := w.asker().Ask(t.Context(), q, 0, take); got.Asked != 2 {
			t.Errorf("for what two share: %+v", got)
		}
		q = query.Query{By: query.Choice{In: []string{w.contacts[3].String()}}}
		if got := w.asker().Ask(t.Context(), q, 0, take); got.Asked != 0 {
			t.Errorf("without anything to say: %+v", got)
		}
		began := time.Now()
		for _, p := range w.contacts[:50] {
			w.Add(p, func(_ context.Context, st network.Stream) error { io.Copy(io.Discard, st); return nil })
		}
		if got := w.asker().Ask(t.Context(), parse(t, "blue"), 0, take); got.Slow() != contactsAtOnce || time.Since(began) > 4*time.Second {
			t.Errorf("where many are silent: %+v after %v", got, time.Since(began))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		w.asker().Ask(ctx, parse(t, "blue"), 0, take)
		w.Wait()
	})
}

// Who is asked for what is for contacts says it to a contact, and answers everybody else as if they had asked what everybody asks: byte for byte.
func TestServeContact(t *testing.T) {
	s := New(Options{
		Find: func(context.Context, query.Query, int) ([][]byte, error) { return [][]byte{[]byte("public")}, nil },
		FindAsides: func(context.Context, query.Query, int) ([][]byte, error) {
			return slices.Repeat([][]byte{[]byte("aside")}, 99), nil
		},
		Contact: func(p peer.ID) bool { return p == "ben" },
		Log:     slog.New(slog.DiscardHandler),
	})
	h := talktest.New(t)
	h.Add("anna", s.Serve)
	h.Join("anna", "ben")
	h.Join("anna", "carl")
	asks := func(from peer.ID, q question) string {
		a, err := h.Open(from, "anna")
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		if err := wire.WriteMsg(a, q); err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(a)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	said := asks("ben", question{Query: "blue", Contact: true})
	var w answer
	if err := wire.ReadMsg(bufio.NewReader(strings.NewReader(said)), maxAnswer, &w); err != nil || len(w.Say) != MaxResults || len(w.Give) != 0 {
		t.Errorf("a contact is told %d, %d, %v", len(w.Say), len(w.Give), err)
	}
	public := asks("carl", question{Query: "blue"})
	if !strings.Contains(public, "public") || asks("ben", question{Query: "blue"}) != public || asks("carl", question{Query: "blue", Contact: true}) != public {
		t.Errorf("a stranger who asks as a contact is told something else than %q", public)
	}
}
