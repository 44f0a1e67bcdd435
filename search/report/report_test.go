package report

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/network"
	"kith/search/talktest"
	"kith/wire"
)

const publisher = "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp"

func content(i int) string { return kith.RawRef([32]byte{byte(i), byte(i >> 8), 1}).String() }

func many(n int) (list []Report) {
	for i := range n {
		list = append(list, Report{content(i), Spam, time.Unix(int64(1000+i), 0)})
	}
	return list
}

func TestSealParse(t *testing.T) {
	in := []Report{{publisher, Malware, time.Unix(5, 0)}, {content(1), Other, time.Unix(7, 0)}, {content(2), Fake, time.Unix(6, 0)}}
	data, err := Seal(in)
	if err != nil {
		t.Fatal(err)
	}
	again, _ := Seal([]Report{in[2], in[0], in[1]})
	if !bytes.Equal(data, again) {
		t.Error("the order of a list changes what is told")
	}
	list, err := Parse(data)
	if err != nil || len(list) != 3 || list[0].What != publisher || list[0].Why != Malware || list[0].At.Unix() != 5 || !list[0].Root().IsZero() || list[1].Root().IsZero() {
		t.Errorf("%+v, %v", list, err)
	}
	data, err = Seal(many(Max + 3))
	if err != nil || len(data) > MaxSize {
		t.Fatalf("%d bytes, %v", len(data), err)
	}
	list, err = Parse(data)
	if err != nil || len(list) != Max {
		t.Errorf("%d, %v", len(list), err)
	}
	for _, r := range list {
		if r.At.Before(time.Unix(1003, 0)) {
			t.Errorf("an old one is told in the place of a new one: %v", r.At)
		}
	}
}

func TestRefused(t *testing.T) {
	for name, c := range map[string]struct {
		list []told
		kind kith.Kind
	}{
		"a name":      {[]told{{"anna", 1, 1}}, kith.Invalid},
		"nothing":     {[]told{{"", 1, 1}}, kith.Invalid},
		"twice":       {[]told{{publisher, 1, 1}, {publisher, 2, 1}}, kith.Invalid},
		"disorder":    {[]told{{content(1), 1, 1}, {publisher, 2, 1}}, kith.Invalid},
		"another way": {[]told{{strings.ToUpper(content(1)), 1, 1}}, kith.Invalid},
		"no time":     {[]told{{publisher, 1, -1}}, kith.Invalid},
		"never":       {[]told{{publisher, 1, 1 << 62}}, kith.Invalid},
		"too many":    {make([]told, Max+1), kith.TooLarge},
	} {
		data, err := wire.Marshal(c.list)
		if err != nil {
			t.Fatal(err)
		}
		if list, err := Parse(data); !errors.Is(err, c.kind) {
			t.Errorf("%s: %v, %v", name, list, err)
		}
	}
	if _, err := Parse(make([]byte, MaxSize+1)); !errors.Is(err, kith.TooLarge) {
		t.Error(err)
	}
	data, _ := wire.Marshal([]told{{publisher, 77, 1}})
	if list, err := Parse(data); err != nil || list[0].Why != Other {
		t.Errorf("a reason of a newer version: %v, %v", list, err)
	}
}

// A content is against whom all who share it are, two contacts set aside, and one never does, however much they report.
func TestVoices(t *testing.T) {
	root, _ := kith.ParseRef(content(1))
	about := func(whats ...string) (list []Report) {
		for _, w := range whats {
			list = append(list, Report{What: w, Why: Fake})
		}
		return list
	}
	const p, q = publisher, "another"
	for name, c := range map[string]struct {
		voices []Voice
		by     []string
		low    float64
		aside  bool
	}{
		"nobody":                       {nil, nil, 0, false},
		"other things":                 {[]Voice{{Name: "Anna", Lists: [][]Report{about(content(2))}}}, nil, 0, false},
		"the content":                  {[]Voice{{Name: "Anna", Lists: [][]Report{about(content(1))}}}, []string{"Anna"}, 1, false},
		"one of who share it":          {[]Voice{{Name: "Anna", Lists: [][]Report{about(p)}}}, nil, 0, false},
		"all who share it":             {[]Voice{{Name: "Anna", Lists: [][]Report{about(p, q)}}}, []string{"Anna"}, 1, false},
		"from two devices":             {[]Voice{{Name: "Anna", Lists: [][]Report{about(p), about(q, content(1))}}}, []string{"Anna"}, 1, false},
		"two contacts":                 {[]Voice{{Name: "Ben", Lists: [][]Report{about(p, q)}}, {Name: "Anna", Lists: [][]Report{about(content(1))}}}, []string{"Anna", "Ben"}, 2, true},
		"the person":                   {[]Voice{{Name: "me", Own: true, Lists: [][]Report{about(content(1))}}}, []string{"me"}, Aside, true},
		"two who report everything":    {[]Voice{{Name: "Anna", Lists: [][]Report{many(500)}}, {Name: "Ben", Lists: [][]Report{many(500)}}}, []string{"Anna", "Ben"}, 0.2, false},
		"one at 20 devices":            {[]Voice{{Name: "Anna", Lists: [][]Report{many(500), many(500), many(500), many(500)}}}, []string{"Anna"}, 0.025, false},
		"two, one of whom reports all": {[]Voice{{Name: "Anna", Lists: [][]Report{many(500)}}, {Name: "Ben", Lists: [][]Report{about(content(1))}}}, []string{"Anna", "Ben"}, 1.1, false},
	} {
		words, weight := Hear(c.voices).Of(root, []string{p, q})
		var by []string
		for _, w := range words {
			by = append(by, w.By)
		}
		if fmt.Sprint(by) != fmt.Sprint(c.by) || weight < c.low-1e-9 || weight > c.low+1e-9 || (weight >= Aside) != c.aside {
			t.Errorf("%s: %v, %v", name, by, weight)
		}
	}
	if words, _ := Hear([]Voice{{Name: "Anna", Lists: [][]Report{about(content(2))}}}).Of(root, nil); len(words) != 0 {
		t.Errorf("what nobody shares is reported: %v", words)
	}
	if all := Hear([]Voice{{Name: "Anna", Lists: [][]Report{about(p)}}, {Name: "Ben", Lists: [][]Report{about(p, q)}}}).Whats(); all[p] != 2 || all[q] != 1 || len(all) != 2 {
		t.Errorf("%v", all)
	}
	for _, n := range []int{1, Free, Free + 1, 500, 100_000} {
		if all := Worth(n) * float64(n); all > Free+1e-9 {
			t.Errorf("%d reports count as %v", n, all)
		}
	}
}

// A list is told once; who has it, does not listen, or is told another than was named, takes none.
func TestTelling(t *testing.T) {
	list, _ := Seal(many(3))
	h := talktest.New(t)
	h.Join("a", "b")
	var took int
	var has Digest
	known := true
	served := make(chan error, 1)
	h.Add("b", func(ctx context.Context, st network.Stream) error {
		err := Listen(ctx, st, known, has, func(data []byte, list []Report) error {
			took += len(list)
			has = DigestOf(data)
			return nil
		})
		served <- err
		return err
	})
	open := func() network.Stream {
		st, err := h.Open("a", "b")
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	for i, c := range []struct {
		known bool
		list  []byte
		kind  error
		took  int
	}{{true, list, nil, 3}, {true, list, nil, 3}, {false, []byte("x"), kith.Denied, 3}} {
		known = c.known
		st := open()
		err := Tell(t.Context(), st, c.list)
		<-served
		st.Close()
		if !errors.Is(err, c.kind) || err != nil && c.kind == nil || took != c.took {
			t.Errorf("%d: %v, took %d", i, err, took)
		}
	}
	known = true
	for name, second := range map[string]tell{"another list": {List: []byte{0x80}}, "none": {}, "a digest again": {Digest: make([]byte, 32)}} {
		st := open()
		r := bufio.NewReader(st)
		var s says
		if err := errors.Join(wire.WriteMsg(st, tell{Digest: make([]byte, 32)}), wire.ReadMsg(r, 64, &s), wire.WriteMsg(st, second)); err != nil || s.Says != saysTell {
			t.Fatal(err)
		}
		if err := <-served; !errors.Is(err, kith.Invalid) || took != 3 {
			t.Errorf("%s: %v, took %d", name, err, took)
		}
		st.Close()
	}
}

func FuzzParse(f *testing.F) {
	for _, n := range []int{0, 1, 5} {
		data, _ := Seal(many(n))
		f.Add(data)
	}
	data, _ := wire.Marshal([]told{{publisher, 3, 9}})
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := Parse(data)
		if err != nil {
			return
		}
		again, err := Seal(list)
		if err != nil {
			t.Fatal(err)
		}
		if same, err := Parse(again); err != nil || fmt.Sprint(same) != fmt.Sprint(list) {
			t.Errorf("%v is read as %v: %v", list, same, err)
		}
		for _, r := range list {
			if _, err := peer.Decode(r.What); err != nil && r.Root().IsZero() {
				t.Errorf("%q is nothing", r.What)
			}
			_ = r.Why.String()
		}
	})
}

// A script is a stream on which somebody says what stands in it, and listens to nothing.
type script struct {
	network.Stream
	r *bytes.Reader
}

func (s script) Read(p []byte) (int, error)  { return s.r.Read(p) }
func (s script) Write(p []byte) (int, error) { return len(p), nil }
func (s script) SetDeadline(time.Time) error { return nil }
func (s script) Reset() error                { return nil }

// Whatever a peer says, it ends, and what is taken of it is a list.
func FuzzTelling(f *testing.F) {
	list, _ := Seal(many(2))
	digest := DigestOf(list)
	first, _ := wire.AppendMsg(nil, tell{Digest: digest[:]})
	both, _ := wire.AppendMsg(first, tell{List: list})
	answer, _ := wire.AppendMsg(nil, says{saysTell})
	f.Add(first)
	f.Add(both)
	f.Add(answer)
	f.Fuzz(func(t *testing.T, in []byte) {
		Listen(t.Context(), script{r: bytes.NewReader(in)}, true, Digest{}, func(data []byte, list []Report) error {
			if again, err := Parse(data); err != nil || len(again) != len(list) {
				t.Errorf("%d reports are taken of what is none: %v", len(list), err)
			}
			return nil
		})
		Tell(t.Context(), script{r: bytes.NewReader(in)}, list)
	})
}
