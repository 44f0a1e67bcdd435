package record

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/routing"

	"kith"
)

// A desk is an overlay of one drawer: it keeps what it is given, as a good one would, and hands out what a test lays there.
type desk struct {
	validator *Validator

	mu    sync.Mutex
	kept  map[string][]byte
	lies  [][]byte // handed out before what is kept
	puts  int
	fails error
}

func (d *desk) PutValue(_ context.Context, path string, value []byte, _ ...routing.Option) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.puts++
	if d.fails != nil {
		return d.fails
	}
	if err := d.validator.Validate(path, value); err != nil {
		return err
	}
	if old := d.kept[path]; old != nil {
		if i, _ := d.validator.Select(path, [][]byte{value, old}); i != 0 {
			return kith.Exists
		}
	}
	d.kept[path] = value
	return nil
}

func (d *desk) GetValue(_ context.Context, path string, _ ...routing.Option) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if value := d.kept[path]; value != nil && d.validator.Validate(path, value) == nil {
		return value, nil
	}
	return nil, kith.NotFound
}

func (d *desk) SearchValue(ctx context.Context, path string, _ ...routing.Option) (<-chan []byte, error) {
	d.mu.Lock()
	all := append([][]byte(nil), d.lies...)
	if value := d.kept[path]; value != nil {
		all = append(all, value)
	}
	d.mu.Unlock()
	out := make(chan []byte, len(all))
	defer close(out)
	for _, value := range all {
		if d.validator.Validate(path, value) == nil {
			out <- value
		}
	}
	return out, nil
}

// open returns a store on a desk, at a time that the test moves.
func open(t *testing.T, dir string, now *time.Time) (*Store, *desk) {
	t.Helper()
	v := &Validator{Now: func() time.Time { return *now }}
	d := &desk{validator: v, kept: map[string][]byte{}}
	s, err := New(Options{Routes: d, Validator: v, Path: filepath.Join(dir, "records.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, d
}

func resolved(t *testing.T, s *Store, want string) {
	t.Helper()
	if r, err := s.Resolve(t.Context(), anna.Ticket()); err != nil || string(r.Content) != want {
		t.Errorf("resolved %q, %v; want %q", r.Content, err, want)
	}
}

func TestPublishResolve(t *testing.T) {
	now := noon
	s, _ := open(t, t.TempDir(), &now)
	ctx := t.Context()
	if _, err := s.Resolve(ctx, anna.Ticket()); !errors.Is(err, kith.NotFound) {
		t.Errorf("before it is published: %v", err)
	}
	for _, content := range []string{"one", "two"} { // within one second
		if err := s.Publish(ctx, anna, []byte(content)); err != nil {
			t.Fatal(err)
		}
		resolved(t, s, content)
	}
	if err := s.Publish(ctx, anna, nil); !errors.Is(err, kith.Invalid) {
		t.Errorf("nothing: %v", err)
	}
	if err := s.Withdraw(ctx, anna); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Resolve(ctx, anna.Ticket()); !errors.Is(err, kith.Gone) {
		t.Errorf("withdrawn: %v", err)
	}
	if err := s.Publish(ctx, anna, []byte("three")); err != nil {
		t.Fatal(err)
	}
	resolved(t, s, "three")
}

// A clock that was years ahead for a while shuts nobody out: the next version is newer all the same.
func TestClockSetBack(t *testing.T) {
	now := noon.AddDate(20, 0, 0)
	s, _ := open(t, t.TempDir(), &now)
	if err := s.Publish(t.Context(), anna, []byte("from the future")); err != nil {
		t.Fatal(err)
	}
	now = noon
	if err := s.Publish(t.Context(), anna, []byte("now")); err != nil {
		t.Fatal(err)
	}
	resolved(t, s, "now")
}

// An owner who lost the memory of what they published goes on above it.
func TestMemoryLost(t *testing.T) {
	now := noon
	s, d := open(t, t.TempDir(), &now)
	d.kept[anna.Ticket().Path()] = seal(t, anna, uint64(noon.Unix())+1e6, noon, "old")
	if err := s.Publish(t.Context(), anna, []byte("new")); err != nil {
		t.Fatal(err)
	}
	resolved(t, s, "new")

	// And so does one who went back to an old copy of the data directory.
	d.kept[anna.Ticket().Path()] = seal(t, anna, uint64(noon.Unix())+2e6, noon, "old")
	if err := s.Publish(t.Context(), anna, []byte("newer")); err != nil {
		t.Fatal(err)
	}
	resolved(t, s, "newer")
}

// What was seen once is the least that is taken, over restarts, even if all of the overlay has only older versions.
func TestReplayAndRollback(t *testing.T) {
	now, dir := noon, t.TempDir()
	s, d := open(t, dir, &now)
	path := anna.Ticket().Path()
	d.kept[path] = seal(t, anna, 8, noon, "new")
	resolved(t, s, "new")
	s.Close()

	s, d = open(t, dir, &now)
	d.lies = [][]byte{seal(t, anna, 7, noon.Add(time.Hour), "old")}
	resolved(t, s, "new")
	now = noon.Add(Life + ClockTolerance + time.Minute) // what is remembered is over; what is replayed is not
	if _, err := s.Resolve(t.Context(), anna.Ticket()); !errors.Is(err, kith.Unavailable) || !strings.Contains(err.Error(), "older") {
		t.Errorf("rolled back: %v", err)
	}
	d.kept[path] = seal(t, anna, 9, now, "newest")
	resolved(t, s, "newest")

	if err := s.Forget(t.Context(), anna.Ticket()); err != nil {
		t.Fatal(err)
	}
	d.kept[path] = seal(t, anna, 7, now, "old")
	resolved(t, s, "old") // and nothing is remembered of what was forgotten
}

// A withdrawn record stays withdrawn, whatever others replay.
func TestWithdrawnStaysSo(t *testing.T) {
	now := noon
	s, d := open(t, t.TempDir(), &now)
	if err := s.Publish(t.Context(), anna, []byte("one")); err != nil {
		t.Fatal(err)
	}
	old := d.kept[anna.Ticket().Path()]
	if err := s.Withdraw(t.Context(), anna); err != nil {
		t.Fatal(err)
	}
	clear(d.kept)
	d.lies = [][]byte{old}
	if _, err := s.Resolve(t.Context(), anna.Ticket()); !errors.Is(err, kith.Gone) {
		t.Errorf("replayed after it was withdrawn: %v", err)
	}
}

// An honest version is found among whatever is poisoned, and a search yields versions as they come.
func TestPoisoned(t *testing.T) {
	now := noon
	s, d := open(t, t.TempDir(), &now)
	for name, c := range hostile(t) {
		d.lies = append(d.lies, c.value)
		if _, err := s.Resolve(t.Context(), anna.Ticket()); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	d.lies = append(d.lies, seal(t, anna, 7, noon, "good"))
	d.kept[anna.Ticket().Path()] = seal(t, anna, 8, noon, "better")
	var got []string
	for r, err := range s.Search(t.Context(), anna.Ticket()) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(r.Content))
	}
	if len(got) != 2 || got[0] != "good" || got[1] != "better" {
		t.Errorf("found %q", got)
	}
}

// A clock that is years off gets an error that says so, and not "not found".
func TestClockOff(t *testing.T) {
	now := noon
	s, d := open(t, t.TempDir(), &now)
	d.kept[anna.Ticket().Path()] = seal(t, anna, 7, noon, "good")
	for years, want := range map[int]kith.Kind{-3: kith.Unavailable, 3: kith.Gone} {
		now = noon.AddDate(years, 0, 0)
		_, err := s.Resolve(t.Context(), anna.Ticket())
		if !errors.Is(err, want) || !strings.Contains(err.Error(), now.Format(time.DateOnly)) || !strings.Contains(kith.HintOf(err), "clock") {
			t.Errorf("%d years off: %v; %s", years, err, kith.HintOf(err))
		}
	}
}

func TestKeep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &Validator{}
		d := &desk{validator: v, kept: map[string][]byte{}}
		s, err := New(Options{Routes: d, Validator: v, Path: filepath.Join(t.TempDir(), "records.db")})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		var mu sync.Mutex
		now := ""
		say := func(text string) {
			mu.Lock()
			defer mu.Unlock()
			now = text
		}
		changed := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			done <- s.Keep(ctx, anna, func() []byte {
				mu.Lock()
				defer mu.Unlock()
				return []byte(now)
			}, changed)
		}()
		puts := func(what string, want int) {
			t.Helper()
			d.mu.Lock()
			defer d.mu.Unlock()
			if d.puts != want {
				t.Errorf("%s: published %d times, want %d", what, d.puts, want)
			}
			d.puts = 0
		}
		time.Sleep(time.Hour)
		puts("nothing to say", 0)

		say("here")
		for range 20 { // a burst that outlasts the time to settle
			changed <- struct{}{}
			time.Sleep(settle / 10)
		}
		time.Sleep(apart / 2)
		puts("a burst of changes", 1)
		time.Sleep(apart)
		puts("what came while it was published", 1)
		resolved(t, s, "here")

		for range 60 {
			changed <- struct{}{}
			time.Sleep(time.Second)
		}
		time.Sleep(apart)
		d.mu.Lock()
		if n := d.puts; n < 3 || n > 5 {
			t.Errorf("changes all the time for a minute: published %d times", n)
		}
		d.puts = 0
		d.mu.Unlock()

		time.Sleep(24 * time.Hour)
		d.mu.Lock()
		if n := d.puts; n < 3 || n > 5 {
			t.Errorf("a quiet day: published %d times", n)
		}
		d.puts, d.fails = 0, kith.Timeout
		d.mu.Unlock()
		resolved(t, s, "here")

		changed <- struct{}{}
		time.Sleep(settle + retry + time.Second)
		puts("failing, and again", 2)
		d.mu.Lock()
		d.fails = nil
		d.mu.Unlock()
		say("")
		time.Sleep(retry)
		puts("withdrawn", 1)
		if _, err := s.Resolve(t.Context(), anna.Ticket()); !errors.Is(err, kith.Gone) {
			t.Errorf("withdrawn: %v", err)
		}
		time.Sleep(Life + ClockTolerance)
		d.mu.Lock()
		if n := d.puts; n < 9 || n > 15 {
			t.Errorf("withdrawn as long as others may have what was published: %d times", n)
		}
		d.puts = 0
		d.mu.Unlock()
		time.Sleep(48 * time.Hour)
		puts("withdrawn, and over", 0)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// What is in the memory of a store is sealed, too.
func TestMemoryIsSealed(t *testing.T) {
	now := noon
	s, _ := open(t, t.TempDir(), &now)
	if err := s.Publish(t.Context(), anna, []byte("where I am today")); err != nil {
		t.Fatal(err)
	}
	_, value, err := s.newest(t.Context(), anna.Ticket().Path())
	if err != nil || bytes.Contains(value, []byte("where I am")) {
		t.Errorf("%q, %v", value, err)
	}
}
