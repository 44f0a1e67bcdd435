package record

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"
	"time"

	"kith"
	"kith/wire"
)

var (
	noon  = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	anna  = Derive(bytes.Repeat([]byte{1}, 32), "addresses")
	other = Derive(bytes.Repeat([]byte{1}, 32), "names")
)

func seal(t testing.TB, k Key, sequence uint64, issued time.Time, content string) []byte {
	t.Helper()
	value, err := Seal(k, Record{sequence, issued, issued.Add(Life), []byte(content)})
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// signBody signs a body as its owner could, however little sense it makes.
func signBody(t testing.TB, k Key, b any) []byte {
	t.Helper()
	data, err := wire.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	value, err := wire.Marshal(signed{data, ed25519.Sign(k.sign, append([]byte(signPrefix), data...))})
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func TestSealOpen(t *testing.T) {
	for _, k := range []Key{anna, anna.ForAll()} {
		for _, content := range []string{"", "x", strings.Repeat("x", 254), strings.Repeat("x", 255), strings.Repeat("x", MaxContent)} {
			want := Record{7, noon, noon.Add(Life), []byte(content)}
			value, err := Seal(k, want)
			if err != nil || len(value) > MaxSize {
				t.Fatalf("%d bytes: %d sealed, %v", len(content), len(value), err)
			}
			got, err := Open(k.Ticket(), value, noon)
			if err != nil || got.Sequence != 7 || !got.Issued.Equal(noon) || !got.Expires.Equal(want.Expires) || string(got.Content) != content {
				t.Errorf("%d bytes came back as %+v, %v", len(content), got, err)
			}
			if head, err := Check(k.Ticket().Path(), value, noon); err != nil || head.Sequence != 7 || head.Content != nil {
				t.Errorf("%d bytes without a ticket: %+v, %v", len(content), head, err)
			}
			if plain := bytes.Contains(value, []byte(content)); content != "" && len(content) > 8 && plain != k.Ticket().ForAll() {
				t.Errorf("for all: %v, and readable: %v", k.Ticket().ForAll(), plain)
			}
		}
	}
	if _, err := Seal(anna, Record{1, noon, noon.Add(Life), make([]byte, MaxContent+1)}); !errors.Is(err, kith.TooLarge) {
		t.Errorf("too much: %v", err)
	}
	for _, r := range []Record{{1, noon, noon, nil}, {1, noon, noon.Add(MaxLife + time.Second), nil}, {1, time.Unix(-1, 0), noon, nil}, {1<<62 + 1, noon, noon.Add(Life), nil}} {
		if _, err := Seal(anna, r); !errors.Is(err, kith.Corrupt) {
			t.Errorf("%+v: %v", r, err)
		}
	}
}

// Sizes tell no more than the class, and nothing of one record is found in another of the same owner, or in the next version.
func TestTellsLittle(t *testing.T) {
	if a, b := seal(t, anna, 1, noon, "x"), seal(t, anna, 1, noon, strings.Repeat("y", 200)); len(a) != len(b) {
		t.Errorf("%d and %d bytes of one class", len(a), len(b))
	}
	parts := func(k Key, sequence uint64) [][]byte {
		b, err := parse(seal(t, k, sequence, noon, "the same"))
		if err != nil {
			t.Fatal(err)
		}
		return [][]byte{b.Key, b.Content, []byte(k.Ticket().Path()), k.secret[:]}
	}
	for i, part := range parts(anna, 1) {
		if bytes.Equal(part, parts(other, 1)[i]) {
			t.Errorf("part %d is the same for two purposes", i)
		}
	}
	if bytes.Equal(parts(anna, 1)[1], parts(anna, 2)[1]) {
		t.Error("two versions have the same ciphertext")
	}
}

func TestTicket(t *testing.T) {
	want := anna.Ticket()
	got, err := ParseTicket(want.Bytes())
	if err != nil || got != want || len(want.Bytes()) != TicketSize {
		t.Errorf("%x, %v", got, err)
	}
	if _, err := ParseTicket(want.Bytes()[1:]); !errors.Is(err, kith.Invalid) {
		t.Errorf("a short one: %v", err)
	}
	wrong := want
	wrong.Secret[0] ^= 1
	if _, err := Open(wrong, seal(t, anna, 1, noon, "x"), noon); !errors.Is(err, kith.Corrupt) {
		t.Errorf("opened with the wrong secret: %v", err)
	}
}

// hostile are values that nobody may take for a version of anna's record at noon.
func hostile(t testing.TB) map[string]struct {
	value []byte
	want  kith.Kind
} {
	good := seal(t, anna, 7, noon, "good")
	at := func(f func(b *body)) []byte {
		b, err := parse(good)
		if err != nil {
			t.Fatal(err)
		}
		f(&b)
		return signBody(t, anna, b)
	}
	flip := func(i int) []byte {
		v := bytes.Clone(good)
		v[i] ^= 1
		return v
	}
	grown, _ := wire.Marshal(map[int]any{1: good[4:], 2: make([]byte, 64), 3: "more"})
	b, _ := parse(good)
	data, _ := wire.Marshal(b)
	own, _ := wire.Marshal(signed{data, ed25519.Sign(other.sign, append([]byte(signPrefix), data...))})
	bare, _ := wire.Marshal(signed{data, ed25519.Sign(anna.sign, data)})
	return map[string]struct {
		value []byte
		want  kith.Kind
	}{
		"nothing":                    {nil, kith.Corrupt},
		"garbage":                    {[]byte("garbage"), kith.Corrupt},
		"changed signature":          {flip(len(good) - 1), kith.Corrupt},
		"changed content":            {flip(len(good) / 2), kith.Corrupt},
		"signed by somebody else":    {own, kith.Corrupt},
		"signed for something else":  {bare, kith.Corrupt},
		"of another key":             {seal(t, other, 7, noon, "good"), kith.Corrupt},
		"oversize":                   {append(bytes.Clone(good), make([]byte, MaxSize)...), kith.TooLarge},
		"signed oversize":            {at(func(b *body) { b.Content = make([]byte, MaxSize) }), kith.TooLarge},
		"trailing bytes":             {append(bytes.Clone(good), 0), kith.Corrupt},
		"unknown fields":             {grown, kith.Corrupt},
		"signed unknown fields":      {signBody(t, anna, map[int]any{1: 1, 2: b.Key, 3: 7, 4: b.Issued, 5: b.Expires, 6: b.Content, 7: 1}), kith.Corrupt},
		"another version":            {at(func(b *body) { b.Version = 2 }), kith.Corrupt},
		"short key":                  {at(func(b *body) { b.Key = b.Key[1:] }), kith.Corrupt},
		"sequence out of range":      {at(func(b *body) { b.Sequence = 1<<64 - 1 }), kith.Corrupt},
		"expired before it began":    {at(func(b *body) { b.Expires = b.Issued }), kith.Corrupt},
		"holds too long":             {at(func(b *body) { b.Expires += 1 << 30 }), kith.Corrupt},
		"times out of range":         {at(func(b *body) { b.Issued, b.Expires = 1<<63, 1<<63+1 }), kith.Corrupt},
		"from tomorrow and a second": {seal(t, anna, 7, noon.Add(ClockTolerance+time.Second), "good"), kith.Unavailable},
		"from years to come":         {seal(t, anna, 7, noon.AddDate(3, 0, 0), "good"), kith.Unavailable},
		"replayed when it is over":   {seal(t, anna, 7, noon.Add(-Life-ClockTolerance-time.Second), "good"), kith.Gone},
	}
}

func TestHostile(t *testing.T) {
	for name, c := range hostile(t) {
		if _, err := Check(anna.Ticket().Path(), c.value, noon); kith.KindOf(err) != c.want {
			t.Errorf("%s: check: %v, want %v", name, err, c.want)
		}
		if _, err := Open(anna.Ticket(), c.value, noon); kith.KindOf(err) != c.want {
			t.Errorf("%s: open: %v, want %v", name, err, c.want)
		}
	}
	// What its owner signed and did not seal: it is whole, yet not for this ticket.
	for name, content := range map[string][]byte{"cut short": {1}, "not sealed": make([]byte, 300)} {
		value := signBody(t, anna, body{1, anna.sign.Public().(ed25519.PublicKey), 7, uint64(noon.Unix()), uint64(noon.Unix()) + 1, content})
		if _, err := Open(anna.Ticket(), value, noon); !errors.Is(err, kith.Corrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Clocks that differ by a day, either way, keep nobody from being found.
	for _, at := range []time.Time{noon.Add(-ClockTolerance), noon.Add(ClockTolerance)} {
		if _, err := Open(anna.Ticket(), seal(t, anna, 7, noon, "good"), at); err != nil {
			t.Errorf("at %s: %v", at, err)
		}
	}
}

// An error about times names both, and says what to do.
func TestClockError(t *testing.T) {
	_, err := Open(anna.Ticket(), seal(t, anna, 7, noon, "good"), noon.AddDate(-4, 0, 0))
	if err == nil || !strings.Contains(err.Error(), "2026-11-22") || !strings.Contains(err.Error(), "2022-11-22") || !strings.Contains(kith.HintOf(err), "clock") {
		t.Errorf("%v; %s", err, kith.HintOf(err))
	}
}

func TestSelect(t *testing.T) {
	path := anna.Ticket().Path()
	old, tie, newest := seal(t, anna, 7, noon, "old"), seal(t, anna, 8, noon, "a"), seal(t, anna, 8, noon.Add(time.Second), "b")
	if bytes.Compare(tie, newest) > 0 {
		tie, newest = newest, tie
	}
	values := [][]byte{[]byte("garbage"), seal(t, other, 99, noon, "x"), old, tie, newest, old}
	var v Validator
	for range len(values) { // whatever the order
		values = append(values[1:], values[0])
		i, err := v.Select(path, values)
		if err != nil || !bytes.Equal(values[i], newest) {
			t.Fatalf("selected %d, %v", i, err)
		}
	}
	if i, err := v.Select(path, values[:0]); err == nil {
		t.Errorf("of nothing: %d", i)
	}
}

// FuzzOpen: whatever comes from outside ends in an error or in a record that is within the limits and that its owner made.
func FuzzOpen(f *testing.F) {
	f.Add(seal(f, anna, 7, noon, "good"))
	f.Add(seal(f, anna.ForAll(), 7, noon, "good"))
	for _, c := range hostile(f) {
		if len(c.value) <= MaxSize {
			f.Add(c.value)
		}
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		for _, k := range []Key{anna, anna.ForAll()} {
			head, checked := Check(k.Ticket().Path(), value, noon)
			r, err := Open(k.Ticket(), value, noon)
			if err == nil && (checked != nil || head.Sequence != r.Sequence || len(r.Content) > MaxSize || len(value) > MaxSize) {
				t.Fatalf("%d bytes opened as %+v, checked %v", len(value), r, checked)
			}
			if err == nil && r.Sequence != 7 {
				t.Fatal("a version that nobody signed")
			}
		}
		(&Validator{}).Select(anna.Ticket().Path(), [][]byte{value, value})
	})
}
