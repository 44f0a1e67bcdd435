package publication

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/search/fact"
	"kith/wire"
)

var now = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// key returns the same key for the same number.
func key(t testing.TB, n byte) crypto.PrivKey {
	t.Helper()
	k, _, err := crypto.GenerateEd25519Key(bytes.NewReader(bytes.Repeat([]byte{n}, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func sample() Publication {
	return Publication{
		Root: kith.ManifestRef([32]byte{1, 2, 3}), Issued: now, Expires: now.Add(30 * 24 * time.Hour),
		Name: "Kind of Blue (1959) [FLAC]", Size: 312 << 20, Count: 6, Files: []string{"01 So What.flac", "02 Freddie Freeloader.flac"},
		Tags: []string{"jazz", "モダン"}, Sort: Audio, Language: "en", V1: kith.InfoHash{7}, V2: [32]byte{8},
		Facts: fact.Facts{Format: "FLAC", Artist: "Miles Davis", Album: "Kind of Blue", Genre: "Jazz", Year: 1959, Length: 2744},
	}
}

func TestSealParse(t *testing.T) {
	k := key(t, 1)
	want := sample()
	want.Publisher, _ = peer.IDFromPrivateKey(k)
	value, err := Seal(k, want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse(value)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.Files, want.Files) || !slices.Equal(got.Tags, want.Tags) {
		t.Errorf("%v, %v", got.Files, got.Tags)
	}
	got.Files, got.Tags, want.Files, want.Tags = nil, nil, nil, nil
	if got.Publisher != want.Publisher || got.Name != want.Name || got.V1 != want.V1 || got.V2 != want.V2 || got.Root != want.Root ||
		!got.Issued.Equal(want.Issued) || !got.Expires.Equal(want.Expires) || got.Size != want.Size || got.Count != want.Count || got.Sort != want.Sort || got.Language != want.Language || got.Facts != want.Facts {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if again, err := Read(value); err != nil || again.Name != want.Name || again.Publisher != want.Publisher {
		t.Errorf("read again: %+v, %v", again, err)
	}
	if len(value) > 450 {
		t.Errorf("an ordinary one has %d bytes", len(value))
	}
	for i := range value { // each byte counts
		bad := bytes.Clone(value)
		bad[i] ^= 4
		if _, err := Parse(bad); !errors.Is(err, kith.Corrupt) {
			t.Fatalf("byte %d: %v", i, err)
		}
	}
	if _, err := Parse(append(value, 0)); !errors.Is(err, kith.Corrupt) {
		t.Errorf("with a byte behind: %v", err)
	}
	if _, err := Parse(make([]byte, MaxSize+1)); !errors.Is(err, kith.TooLarge) {
		t.Errorf("too long: %v", err)
	}
}

func TestSealRefuses(t *testing.T) {
	for name, change := range map[string]func(*Publication){
		"no name":              func(p *Publication) { p.Name = "" },
		"a name in two lines":  func(p *Publication) { p.Name = "a\nb" },
		"a name that is bytes": func(p *Publication) { p.Name = "a\xff" },
		"a name turned around": func(p *Publication) { p.Name = "a\u202egpj.exe" },
		"a long name":          func(p *Publication) { p.Name = strings.Repeat("a", MaxName+1) },
		"a tag in capitals":    func(p *Publication) { p.Tags = []string{"Jazz"} },
		"an empty file":        func(p *Publication) { p.Files = []string{""} },
		"no content":           func(p *Publication) { p.Root = kith.Ref{} },
		"less than nothing":    func(p *Publication) { p.Size = -1 },
		"an unknown sort":      func(p *Publication) { p.Sort = sorts },
		"no life":              func(p *Publication) { p.Expires = p.Issued },
		"a long life":          func(p *Publication) { p.Expires = p.Issued.Add(MaxLife + time.Second) },
		"of before 1970":       func(p *Publication) { p.Issued = time.Unix(-5, 0) },
	} {
		p := sample()
		change(&p)
		if _, err := Seal(key(t, 1), p); !errors.Is(err, kith.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTrim(t *testing.T) {
	p := sample()
	p.Name = strings.Repeat("ü", 200) + "\u202e\n"
	p.Tags = append(slices.Repeat([]string{"JAZZ\x00"}, 20), strings.Repeat("x", 100))
	p.Files = slices.Repeat([]string{strings.Repeat("日", 100)}, 100)
	p = Trim(p)
	value, err := Seal(key(t, 1), p)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse(value)
	if err != nil {
		t.Fatal(err)
	}
	if got.Name != strings.Repeat("ü", 127) || len(got.Tags) != MaxTags || len(got.Files) == 0 || len(value) > MaxSize {
		t.Errorf("%d bytes; %q, %d tags, %d files", len(value), got.Name, len(got.Tags), len(got.Files))
	}
}

// What another program says beside is passed over, and what it says of the content is cut and cleaned; what a device's owner would not tell is not told.
func TestFacts(t *testing.T) {
	k := key(t, 1)
	p := sample()
	p.Facts = fact.Facts{Kind: "image", Format: "JPEG", Width: 4000, Height: 3000, Year: 2024, Taken: "2024-05-01", Camera: "SecretCam", Words: strings.Repeat("word ", 100)}
	value, err := Seal(k, p)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse(value)
	if want := (fact.Facts{Format: "JPEG", Width: 4000, Height: 3000, Words: got.Facts.Words}); err != nil || got.Facts != want || len(got.Facts.Words) > 200 {
		t.Errorf("%+v, %v", got.Facts, err)
	}
	if bytes.Contains(value, []byte("SecretCam")) || bytes.Contains(value, []byte("2024")) {
		t.Error("when and with what a photo was taken is told")
	}
	raw, _ := k.GetPublic().Raw()
	b := p.body(raw)
	for name, c := range map[string]struct {
		key   any
		value any
		want  fact.Facts
	}{
		"what only a later program knows": {99, "x", got.Facts},
		"too much":                        {16, map[int]any{2: strings.Repeat("a", 500), 6: 1 << 40, 7: uint64(1<<64 - 1), 8: 5, 10: 7}, fact.Facts{Title: strings.Repeat("a", fact.MaxText), Pages: 7}},
		"what turns around":               {16, map[int]any{2: "\u202egpj\x1b[2J", 77: 1}, fact.Facts{Title: "gpj[2J"}},
	} {
		data, err := wire.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		var m map[any]any
		if err := wire.Unmarshal(data, &m); err != nil {
			t.Fatal(err)
		}
		delete(m, uint64(16))
		if c.key == 99 {
			m[uint64(16)] = factsOf(p.Facts)
		}
		m[c.key] = c.value
		value, err := sign(k, m)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Parse(value); err != nil || got.Facts != c.want || got.Name != p.Name {
			t.Errorf("%s: %+v, %v", name, got.Facts, err)
		}
	}
}

// A publication that is full of everything is no larger than one may be, and keeps its facts.
func TestFull(t *testing.T) {
	p := sample()
	long := strings.Repeat("日", 200)
	p.Name, p.Files, p.Tags = long, slices.Repeat([]string{long}, MaxFiles), slices.Repeat([]string{long}, MaxTags)
	p.Facts = fact.Facts{Format: long, Title: long, Artist: long, Album: long, Genre: long, Year: 1959, Length: 1e6, Width: 1e5, Height: 1e5, Pages: 1e5, Words: strings.Repeat(long, 9)}
	value, err := Seal(key(t, 1), Trim(p))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Parse(value); err != nil || got.Facts.Artist == "" || len(got.Files) == 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

// What is gone says nothing of what it was.
func TestGone(t *testing.T) {
	p := sample()
	p.Gone = true
	value, err := Seal(key(t, 1), p)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(value, []byte("Blue")) {
		t.Error("the name of what is gone is in it")
	}
	if got, err := Parse(value); err != nil || !got.Gone || got.Name != "" || got.Root != p.Root {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestCurrent(t *testing.T) {
	p := sample()
	for at, want := range map[time.Time]error{
		now: nil, now.Add(-ClockTolerance): nil, now.Add(-ClockTolerance - time.Second): kith.Unavailable, p.Expires.Add(time.Second): kith.Gone,
	} {
		if err := p.Current(at); !errors.Is(err, want) {
			t.Errorf("%v: %v", at, err)
		}
	}
}

// Of two, everybody takes the same one, in whichever order they come.
func TestReplaces(t *testing.T) {
	a, b := sample(), sample()
	if b.Issued = b.Issued.Add(time.Millisecond); !b.Replaces(ID{1}, a, ID{2}) || a.Replaces(ID{2}, b, ID{1}) {
		t.Error("the later one does not win")
	}
	if b.Issued = a.Issued; b.Replaces(ID{1}, a, ID{2}) == a.Replaces(ID{2}, b, ID{1}) || a.Replaces(ID{1}, a, ID{1}) {
		t.Error("two of the same time: both win, or none")
	}
}

func FuzzParse(f *testing.F) {
	for _, gone := range []bool{false, true} {
		p := sample()
		p.Gone, p.Nonce = gone, 7
		value, err := Seal(key(f, 1), p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(value)
	}
	f.Add([]byte{0xa2, 1, 0x40, 2, 0x40})
	k := key(f, 2)
	f.Fuzz(func(t *testing.T, data []byte) {
		_, b, err := decode(data)
		if _, perr := Parse(data); perr == nil || err != nil {
			return
		}
		b.Key, _ = k.GetPublic().Raw() // what is only signed wrongly is signed rightly
		value, err := sign(k, b)
		if err != nil {
			return
		}
		p, err := Parse(value)
		if err != nil {
			return
		}
		if p.Facts != fact.Clean(p.Facts).Public() {
			t.Errorf("facts are not clean: %+v", p.Facts)
		}
		again, err := Seal(k, p)
		if err != nil {
			t.Fatalf("%+v: %v", p, err)
		}
		if q, err := Parse(again); err != nil || !reflect.DeepEqual(p, q) { // but for what this program does not know
			t.Errorf("%+v is %+v: %v", p, q, err)
		}
	})
}
