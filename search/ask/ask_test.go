package ask

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/time/rate"

	"kith"
	"kith/network"
	"kith/search/filter"
	"kith/search/plan"
	"kith/search/publication"
	"kith/search/query"
	"kith/search/talktest"
	"kith/search/words"
	"kith/wire"
)

func keyOf(t testing.TB, number byte) (crypto.PrivKey, peer.ID) {
	key, _, err := crypto.GenerateEd25519Key(bytes.NewReader(bytes.Repeat([]byte{number}, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return key, id
}

// bubble is when the time of a synctest begins.
var bubble = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// publish returns what the device of that number publishes.
func publish(t testing.TB, number byte, name string, change ...func(*publication.Publication)) []byte {
	key, _ := keyOf(t, number)
	p := publication.Publication{Root: kith.RawRef([32]byte{number, byte(len(name))}), Name: name, Size: 1, Issued: bubble, Expires: bubble.Add(time.Hour)}
	for _, c := range change {
		c(&p)
	}
	p, err := publication.Prove(context.Background(), key.GetPublic(), p, publication.MinWork)
	if err != nil {
		t.Fatal(err)
	}
	return sealed(t, key, p)
}

func sealed(t testing.TB, key crypto.PrivKey, p publication.Publication) []byte {
	value, err := publication.Seal(key, p)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// A world is peers who answer as they like.
type world struct {
	*talktest.Hub
	mu     sync.Mutex
	fits   []Candidate
	guides [][]peer.ID
	asked  []peer.ID

	contacts   []peer.ID
	volunteers []peer.ID
}

func (w *world) asker() *Asker {
	return New(Options{
		Open: func(ctx context.Context, p peer.ID) (network.Stream, error) {
			w.mu.Lock()
			w.asked = append(w.asked, p)
			w.mu.Unlock()
			return w.Open("asker", p)
		},
		Who: func(filter.Sought, bool) []Candidate { return w.fits }, Guides: func() [][]peer.ID { return w.guides }, Log: slog.New(slog.DiscardHandler),
		Contacts: func() []peer.ID { return w.contacts }, Volunteers: func(filter.Sought) []peer.ID { return w.volunteers },
	})
}

// add makes the device of a number one that fits; without serve it is not there.
func (w *world) add(t testing.TB, number byte, serve func(network.Stream)) peer.ID {
	_, id := keyOf(t, number)
	if serve != nil {
		w.Add(id, func(_ context.Context, st network.Stream) error { serve(st); return nil })
		w.Join("asker", id)
	}
	w.fits = append(w.fits, Candidate{id, filter.Together, 1000 - uint32(number)})
	return id
}

// says answers any question so.
func says(w answer) func(network.Stream) {
	return func(st network.Stream) {
		var q question
		if wire.ReadMsg(bufio.NewReader(st), maxQuestion, &q) == nil {
			wire.WriteMsg(st, w)
		}
	}
}

// writes answers any question with bytes.
func writes(data []byte) func(network.Stream) {
	return func(st network.Stream) {
		var q question
		wire.ReadMsg(bufio.NewReader(st), maxQuestion, &q)
		st.Write(data)
	}
}

// endless answers any question with a frame of a gigabyte, and then all of it.
func endless(st network.Stream) {
	writes([]byte("\x80\x80\x80\x80\x04"))(st)
	for {
		if _, err := st.Write(make([]byte, 1<<16)); err != nil {
			return
		}
	}
}

func parse(t testing.TB, text string) query.Query {
	q, err := query.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// named takes in what is called so.
func named(word string, into *[]string) Take {
	return func(_ Report, list []Found) (fit, fresh int) {
		for _, f := range list {
			if strings.Contains(f.Name, word) {
				fit++
				*into = append(*into, f.Name)
			}
		}
		return fit, fit
	}
}

// Whatever a peer answers has a clear outcome: what is true is found, nothing else is, who sends what makes no sense is not asked again, and a search ends in any case.
func TestAnswers(t *testing.T) {
	good := publish(t, 1, "blue one")
	key, _ := keyOf(t, 1)
	lazy := sealed(t, key, publication.Publication{Root: kith.RawRef([32]byte{9}), Name: "blue two", Size: 1, Issued: bubble, Expires: bubble.Add(time.Hour)})
	broken := slices.Clone(good)
	broken[len(broken)-1] ^= 1
	var many [][]byte
	for i := range MaxResults + 1 {
		many = append(many, publish(t, 1, "blue "+strings.Repeat("x", i)))
	}
	for name, c := range map[string]struct {
		serve func(network.Stream)
		found int
		want  Report
		again bool // it may be asked again
	}{
		"what is true":        {says(answer{Give: [][]byte{good}}), 1, Report{Asked: 1, Answered: 1}, true},
		"nothing":             {says(answer{}), 0, Report{Asked: 1, Answered: 1}, true},
		"what does not match": {says(answer{Give: [][]byte{publish(t, 1, "spam")}}), 0, Report{Asked: 1, Failed: 1}, false},
		"some of it does":     {says(answer{Give: [][]byte{publish(t, 1, "spam"), good}}), 1, Report{Asked: 1, Answered: 1}, true},
		"signature":           {says(answer{Give: [][]byte{broken}}), 0, Report{Asked: 1, Failed: 1}, false},
		"another's":           {says(answer{Give: [][]byte{publish(t, 2, "blue two")}}), 0, Report{Asked: 1, Failed: 1}, false},
		"too many":            {says(answer{Give: many}), 0, Report{Asked: 1, Failed: 1}, false},
		"expired": {says(answer{Give: [][]byte{publish(t, 1, "blue", func(p *publication.Publication) {
			p.Issued, p.Expires = bubble.Add(-time.Hour), bubble.Add(-time.Minute)
		})}}), 0, Report{Asked: 1, Answered: 1}, true},
		"without work":             {says(answer{Give: [][]byte{lazy}}), 0, Report{Asked: 1, Answered: 1}, true},
		"garbage":                  {writes([]byte("\x05garbage")), 0, Report{Asked: 1, Failed: 1}, false},
		"a gigabyte":               {endless, 0, Report{Asked: 1, Failed: 1}, false},
		"busy":                     {says(answer{Busy: true}), 0, Report{Asked: 1, Failed: 1}, true},
		"it hangs up":              {writes(nil), 0, Report{Asked: 1, Failed: 1}, true},
		"nobody is there":          {nil, 0, Report{Asked: 1, Failed: 1}, true},
		"never":                    {func(st network.Stream) { io.Copy(io.Discard, st) }, 0, Report{Asked: 1}, true},
		"candidates for a finding": {says(answer{Tell: []tell{{[]byte("x"), 9, 9}}}), 0, Report{Asked: 1, Answered: 1}, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &world{Hub: talktest.New(t)}
				w.add(t, 1, c.serve)
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
				time.Sleep(shunFor + time.Second)
				if got := a.Ask(t.Context(), parse(t, "blue"), 0, named("blue", &found)); got.Asked != 1 {
					t.Errorf("later it is not asked at all")
				}
				w.Wait()
			})
		})
	}
}

// Five are asked at once, more when these have too little, and nobody when there is enough.
func TestWidens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{Hub: talktest.New(t)}
		for i := range byte(30) {
			w.add(t, i+1, says(answer{Give: [][]byte{publish(t, i+1, "blue")}}))
		}
		var found []string
		if got := w.asker().Ask(t.Context(), parse(t, "blue"), 44, named("blue", &found)); got.Asked != 15 || len(found) < 6 {
			t.Errorf("with 44 at home %+v, found %d", got, len(found))
		}
		if got := w.asker().Ask(t.Context(), parse(t, "blue"), plan.Enough, named("blue", &found)); got != (Report{}) {
			t.Errorf("with enough at home %+v", got)
		}
		if got := w.asker().Ask(t.Context(), parse(t, "type:audio"), 0, named("blue", &found)); got != (Report{}) {
			t.Errorf("without a word %+v", got)
		}
		_, seven := keyOf(t, 7)
		q := parse(t, "blue")
		q.By.In = []string{seven.String()}
		w.asked, found = nil, nil
		if got := w.asker().Ask(t.Context(), q, 0, named("blue", &found)); got.Asked != 1 || !slices.Equal(w.asked, []peer.ID{seven}) {
			t.Errorf("for what one device publishes %+v, %v", got, w.asked)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if got := w.asker().Ask(ctx, parse(t, "blue"), 0, named("blue", &found)); got.Answered > 5 {
			t.Errorf("given up: %+v", got)
		}
		w.Wait()
	})
}

// A guide of another shard says who fits there, who is asked then; one that says nonsense is replaced by the next.
func TestGuides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{Hub: talktest.New(t)}
		far := w.add(t, 1, says(answer{Give: [][]byte{publish(t, 1, "blue")}}))
		liar := w.add(t, 2, says(answer{Tell: []tell{{[]byte("nobody"), 7, 1}}}))
		guide := w.add(t, 3, says(answer{Tell: []tell{{[]byte(far), uint8(filter.Together), 5}}}))
		w.fits, w.guides = nil, [][]peer.ID{{liar, guide}}
		var found []string
		if got := w.asker().Ask(t.Context(), parse(t, "blue"), 0, named("blue", &found)); got != (Report{Asked: 3, Answered: 2, Failed: 1}) || len(found) != 1 {
			t.Errorf("%+v, found %q", got, found)
		}
		w.Wait()
	})
}

// What others ask is answered, refused, or told to be too much.
func TestServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, other := keyOf(t, 5)
		var looked []query.Query
		s := New(Options{
			Find: func(_ context.Context, q query.Query, most int) ([][]byte, error) {
				looked = append(looked, q)
				return [][]byte{[]byte("found")}, nil
			},
			Who: func(s filter.Sought, missing bool) []Candidate {
				if missing {
					t.Error("who asks may lack what is here")
				}
				return []Candidate{{other, filter.Apart, uint32(len(s))}}
			},
			Log: slog.New(slog.DiscardHandler),
		})
		ask := func(send func(io.Writer) error) (w answer, err error) {
			served := make(chan error, 1)
			h := talktest.New(t)
			h.Add("asked", func(ctx context.Context, st network.Stream) error {
				err := s.Serve(ctx, st)
				st.Close()
				served <- err
				return err
			})
			h.Join("asker", "asked")
			a, err := h.Open("asker", "asked")
			if err != nil {
				return w, err
			}
			defer a.Close()
			if err := send(a); err != nil {
				return w, err
			}
			read := wire.ReadMsg(bufio.NewReader(a), maxAnswer, &w)
			return w, cmpErr(<-served, read)
		}
		asks := func(q question) (answer, error) { return ask(func(w io.Writer) error { return wire.WriteMsg(w, q) }) }
		if w, err := asks(question{Query: "blue by:anna sort:size -green"}); err != nil || len(w.Give) != 1 || len(looked) != 1 {
			t.Fatalf("%+v, %v", w, err)
		}
		if q := looked[0]; len(q.By.In) != 0 || q.Sort != query.ByRelevance || !slices.Equal(q.Not, []string{"green"}) {
			t.Errorf("looked for %+v", q)
		}
		if w, err := asks(question{Query: "blue train", Guide: true}); err != nil || len(w.Give) != 0 || len(w.Tell) != 1 || w.Tell[0].Score != 2 {
			t.Errorf("a guide says %+v, %v", w, err)
		}
		for name, text := range map[string]string{"nothing": "", "broken": `"open`, "words": strings.Repeat("a ", query.MaxWords+1), "no filter": "colour:red"} {
			if _, err := asks(question{Query: text}); err == nil {
				t.Errorf("%s is answered", name)
			}
		}
		if _, err := ask(func(w io.Writer) error { _, err := w.Write([]byte("\x80\x80\x80\x80\x04")); return err }); !errors.Is(err, kith.TooLarge) {
			t.Errorf("a gigabyte: %v", err)
		}
		began := time.Now()
		if _, err := ask(func(io.Writer) error { return nil }); err == nil || time.Since(began) > answerTime {
			t.Errorf("who says nothing is waited for %v, %v", time.Since(began), err)
		}
		busy := 0
		for range 3 * oftenAt {
			if w, err := asks(question{Query: "blue"}); err != nil {
				t.Fatal(err)
			} else if w.Busy {
				busy++
			}
		}
		if busy != 2*oftenAt {
			t.Errorf("of %d questions at once %d were too many", 3*oftenAt, busy)
		}
	})
}

func cmpErr(list ...error) error {
	for _, err := range list {
		if err != nil {
			return err
		}
	}
	return nil
}

// What stands in a publication fits its filter, and what stands in one name fits together.
func TestKeys(t *testing.T) {
	p := publication.Publication{Name: "Kind of Blue (1959) S01E02", Tags: []string{"vinyl"}, Files: []string{"a/So What.flac", "b/Flamenco Sketches.flac"}, Language: "en"}
	cjk := publication.Publication{Name: "東京都の電車"}
	keys := Keys(Keys(nil, p, new(words.Memo)), cjk, new(words.Memo))
	f, err := filter.New(keys)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]filter.Fit{
		"blue": filter.Together, "kind blue 1959": filter.Together, `"kind of blue"`: filter.Together, "BLUE tag:vinyl": filter.Together, "s01e02": filter.Together, "so what": filter.Together,
		"sketches what": filter.Apart, "blue sketches": filter.Apart, "東京都": filter.Together, "sketch": filter.Together, "missing": filter.Unfit, "blue missing": filter.Unfit, "type:audio": filter.Unfit,
	} {
		if got := f.Fit(Sought(parse(t, text))); got != want {
			t.Errorf("%s: %d, want %d", text, got, want)
		}
	}
}

// Whatever is asked and answered is taken apart without harm, and nothing unsigned is found in it.
func FuzzAnswer(f *testing.F) {
	_, id := keyOf(f, 1)
	for _, w := range []answer{{}, {Busy: true}, {Give: [][]byte{publish(f, 1, "blue")}}, {Tell: []tell{{[]byte(id), 2, 3}}}} {
		frame, err := wire.AppendMsg(nil, w)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(frame)
	}
	frame, _ := wire.AppendMsg(nil, question{Query: "blue", Guide: true})
	f.Add(frame)
	frame, _ = wire.AppendMsg(nil, question{Query: "blue", Contact: true})
	f.Add(frame)
	frame, _ = wire.AppendMsg(nil, question{Query: "blue", All: true})
	f.Add(frame)
	frame, _ = wire.AppendMsg(nil, answer{Give: [][]byte{publish(f, 2, "blue")}})
	f.Add(frame)
	frame, _ = wire.AppendMsg(nil, answer{Say: [][]byte{say(f, "blue")}})
	f.Add(frame)
	s := New(Options{
		Find: func(context.Context, query.Query, int) ([][]byte, error) { return nil, nil },
		Who:  func(filter.Sought, bool) []Candidate { return nil }, Log: slog.New(slog.DiscardHandler),
		FindAll: func(context.Context, query.Query, int) ([][]byte, error) { return nil, nil },
		Contact: func(peer.ID) bool { return true }, FindAsides: func(context.Context, query.Query, int) ([][]byte, error) { return nil, nil },
	})
	f.Fuzz(func(t *testing.T, in []byte) {
		var w answer
		if wire.ReadMsg(bufio.NewReader(bytes.NewReader(in)), maxAnswer, &w) == nil {
			found, _ := w.found(id, time.Now(), false)
			for _, p := range found {
				if p.Publisher != id {
					t.Fatal("found what another publishes")
				}
			}
			lent, _ := w.found(id, time.Now(), true)
			for _, p := range lent {
				if p.Lent != (p.Publisher != id) || p.Work < publication.MinWork || p.Aside || len(lent) > MaxResults {
					t.Fatal("a volunteer lent what is none")
				}
			}
			heard, _ := w.heard(id, time.Now())
			for _, p := range heard {
				if p.Publisher != id || !p.Aside || len(heard) > MaxResults {
					t.Fatal("heard what nobody said")
				}
			}
			if told, err := w.told(); err == nil && len(told) > maxTold {
				t.Fatal("told of too many")
			}
		}
		s.paces = map[peer.ID]*rate.Limiter{}
		s.Serve(context.Background(), &half{r: bytes.NewReader(in)})
	})
}

// A half is a stream of which only one direction is of interest.
type half struct {
	network.Stream
	r io.Reader
}

func (h *half) Read(p []byte) (int, error)  { return h.r.Read(p) }
func (h *half) Write(p []byte) (int, error) { return len(p), nil }
func (h *half) Close() error                { return nil }
func (h *half) SetDeadline(time.Time) error { return nil }
func (h *half) Peer() peer.ID               { return "fuzz" }
