package publication

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
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
		!got.Issued.Equal(want.Issued) || !got.Expires.Equal(want.Expires) || got.Size != want.Size || got.Count != want.Count || got.Sort != want.Sort || got.Language != want.Language {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if again, err := Read(value); err != nil || again.Name != want.Name || again.Publisher != want.Publisher {
		t.Errorf("read again: %+v, %v", again, err)
	}
	if len(value) > 400 {
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
		p.Gone = gone
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
		again, err := Seal(k, p)
		if err != nil || !bytes.Equal(again, value) {
			t.Errorf("%+v: %v", p, err)
		}
	})
}
