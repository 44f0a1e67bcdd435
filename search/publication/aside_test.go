package publication

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/search/fact"
	"kith/wire"
)

func device(t testing.TB, n byte) peer.ID {
	id, err := peer.IDFromPrivateKey(key(t, n))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// What is said in an aside is heard as it was said, by whom the connection proves; nothing that only the person knows is said, and nobody can pass it on as a publication.
func TestAside(t *testing.T) {
	from := device(t, 1)
	p := sample()
	p.Facts.Camera, p.Facts.Taken, p.Facts.Kind = "Fujifilm", "2023-05-01", "image"
	value, err := Aside(p)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ReadAside(value, from, now.Add(time.Minute))
	want := sample()
	want.Publisher, want.Expires, want.Facts.Year = from, now.Add(time.Minute+asideLife), 0
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\n got %+v\nwant %+v", err, got, want)
	}
	if _, err := Parse(value); !errors.Is(err, kith.Corrupt) {
		t.Errorf("an aside is a publication: %v", err)
	}
	if signed, _ := Seal(key(t, 1), sample()); signed != nil {
		if _, err := ReadAside(signed, from, now); !errors.Is(err, kith.Corrupt) {
			t.Errorf("a publication is an aside: %v", err)
		}
	}
	if got, err = ReadAside(value, from, now.Add(-time.Hour)); err != nil || got.Issued.After(now.Add(-time.Hour)) {
		t.Errorf("by a clock that is slow: %v, %v", got.Issued, err)
	}
	p.Files = nil
	for i := range MaxFiles {
		p.Files = append(p.Files, fmt.Sprint(i, strings.Repeat("x", MaxPath-2)))
	}
	if value, err = Aside(p); err != nil || len(value) > MaxSize {
		t.Fatalf("%d bytes, %v", len(value), err)
	}
	if got, err = ReadAside(value, from, now); err != nil || len(got.Files) < 8 || len(got.Files) == MaxFiles {
		t.Errorf("%d files, %v", len(got.Files), err)
	}
}

func TestAsideRefused(t *testing.T) {
	root := kith.RawRef([32]byte{1}).CID().Bytes()
	for name, a := range map[string]aside{
		"no content":      {Name: "a"},
		"no CID":          {Root: []byte("garbage"), Name: "a"},
		"more than a CID": {Root: append(append([]byte{}, root...), 0), Name: "a"},
		"no name":         {Root: root},
		"a long name":     {Root: root, Name: strings.Repeat("a", MaxName+1)},
		"no text":         {Root: root, Name: "a\x1b[2J"},
		"size":            {Root: root, Name: "a", Size: 1 << 63},
		"count":           {Root: root, Name: "a", Count: 1 << 32},
		"sort":            {Root: root, Name: "a", Sort: 256},
		"files":           {Root: root, Name: "a", Files: make([]string, MaxFiles+1)},
		"tag":             {Root: root, Name: "a", Tags: []string{"Loud"}},
		"digest":          {Root: root, Name: "a", V1: []byte{1}},
	} {
		value, err := wire.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ReadAside(value, device(t, 1), now); !errors.Is(err, kith.Corrupt) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if _, err := ReadAside(make([]byte, MaxSize+1), device(t, 1), now); !errors.Is(err, kith.TooLarge) {
		t.Errorf("too much: %v", err)
	}
	if _, err := Aside(Publication{Root: kith.RawRef([32]byte{1}), Issued: now}); !errors.Is(err, kith.Invalid) {
		t.Errorf("without a name: %v", err)
	}
}

// Whatever comes is read without harm, and what is read can be said again.
func FuzzAside(f *testing.F) {
	value, err := Aside(sample())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(value)
	f.Add([]byte{0xa2, 1, 0x40, 2, 0x60})
	from := device(f, 1)
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ReadAside(data, from, now)
		if err != nil {
			if !errors.Is(err, kith.Corrupt) && !errors.Is(err, kith.TooLarge) {
				t.Error(err)
			}
			return
		}
		if p.Publisher != from || p.Gone || p.Current(now) != nil || p.Facts != fact.Clean(p.Facts).Public() {
			t.Errorf("heard %+v", p)
		}
		again, err := Aside(p)
		if err != nil {
			t.Fatalf("%+v: %v", p, err)
		}
		q, err := ReadAside(again, from, now)
		if err != nil || !reflect.DeepEqual(p, q) {
			t.Errorf("%+v is %+v: %v", p, q, err)
		}
	})
}
