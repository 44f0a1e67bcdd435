package sets

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"kith"
	"kith/wire"
)

// id returns the i-th of some members.
func id(i uint64) ID {
	sum := sha256.Sum256(binary.LittleEndian.AppendUint64(nil, i))
	return ID(sum[:])
}

// talk has two sets talk, and returns what they found out, how many messages there were and how many bytes.
func talk(t rapid.TB, a, b *Set, salt uint64) (missA, missB map[ID]bool, messages, size int) {
	missA, missB = map[ID]bool{}, map[ID]bool{}
	parts := a.Begin(salt)
	sides := [2]*Set{b, a}
	miss := [2]map[ID]bool{missB, missA}
	for turn := 0; len(parts) > 0; turn = 1 - turn {
		if messages++; messages > MaxRounds {
			t.Fatalf("%d messages, and no end", messages)
		}
		data, err := wire.Marshal(parts)
		if err != nil {
			t.Fatal(err)
		}
		size += len(data)
		answer, d, err := sides[turn].Answer(parts, salt)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range d.Lacks {
			miss[turn][id] = true
		}
		for _, id := range d.Only {
			miss[1-turn][id] = true
		}
		parts = answer
	}
	return missA, missB, messages, size
}

// Whatever two sets are, what differs is found, and nothing else.
func TestTalk(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var a, b Set
		inA, inB := map[ID]bool{}, map[ID]bool{}
		both := rapid.IntRange(0, 3000).Draw(t, "both")
		add := func(s *Set, in map[ID]bool, from, n int) {
			for i := range n {
				s.Add(id(uint64(from + i)))
				in[id(uint64(from+i))] = true
			}
		}
		add(&a, inA, 0, both)
		add(&b, inB, 0, both)
		add(&a, inA, 1e6, rapid.IntRange(0, 500).Draw(t, "only a"))
		add(&b, inB, 2e6, rapid.IntRange(0, 500).Draw(t, "only b"))
		for i := range rapid.IntRange(0, 100).Draw(t, "removed") {
			if x := id(uint64(3 * i)); inA[x] != a.Remove(x) {
				t.Fatal("what was no member was removed, or the other way round")
			} else {
				delete(inA, x)
			}
		}
		missA, missB, _, _ := talk(t, &a, &b, rapid.Uint64().Draw(t, "salt"))
		maps.DeleteFunc(inB, func(id ID, _ bool) bool { ok := inA[id]; delete(inA, id); return ok })
		if !maps.Equal(missA, inB) || !maps.Equal(missB, inA) {
			t.Fatalf("found %d and %d, want %d and %d", len(missA), len(missB), len(inB), len(inA))
		}
	})
}

// What a set says of itself does not depend on how it came to be.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s Set
		in := map[ID]bool{}
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				for range rapid.IntRange(1, 60).Draw(t, "n") {
					x := id(rapid.Uint64Range(0, 400).Draw(t, "id"))
					if s.Add(x) == in[x] {
						t.Fatal("added twice, or not at all")
					}
					in[x] = true
				}
			},
			"remove": func(t *rapid.T) {
				x := id(rapid.Uint64Range(0, 400).Draw(t, "id"))
				if s.Remove(x) != in[x] {
					t.Fatal("removed what is no member, or not what is one")
				}
				delete(in, x)
			},
			"": func(t *rapid.T) {
				var fresh Set
				for x := range in {
					fresh.Add(x)
				}
				if s.Len() != len(in) || s.root.print(1) != fresh.root.print(1) || !slices.Equal(s.divide(Prefix{}, 2, 7).Prints, fresh.divide(Prefix{}, 2, 7).Prints) {
					t.Fatalf("%d members, want %d; or other fingerprints", s.Len(), len(in))
				}
			},
		})
	})
}

// Two equal sets take one message; the salt changes what is said.
func TestEqual(t *testing.T) {
	var a, b Set
	for i := range uint64(5000) {
		a.Add(id(i))
		b.Add(id(4999 - i))
	}
	if missA, missB, messages, size := talk(t, &a, &b, 5); len(missA)+len(missB) > 0 || messages != 1 || size > 3000 {
		t.Errorf("%d messages, %d bytes, %d and %d found", messages, size, len(missA), len(missB))
	}
	if slices.Equal(a.Begin(1)[0].Prints, a.Begin(2)[0].Prints) {
		t.Error("the salt is for nothing")
	}
}

// Who has nothing asks for all in one message, and hears of no more than it can bear.
func TestEmpty(t *testing.T) {
	var a, b Set
	for i := range uint64(MaxTold + 1000) {
		b.Add(id(i))
	}
	if missA, _, messages, _ := talk(t, &a, &b, 5); len(missA) != MaxTold || messages != 1 {
		t.Errorf("%d found in %d messages", len(missA), messages)
	}
	if missA, _, _, _ := talk(t, &b, &a, 5); len(missA) != 0 {
		t.Errorf("%d found", len(missA))
	}
}

func TestAnswerRefuses(t *testing.T) {
	var s Set
	for name, p := range map[string]Part{
		"a long prefix":       {Prefix: Prefix{Depth: maxDepth - 1}, Prints: make([]uint64, kids)},
		"no count of prints":  {Prints: make([]uint64, 7)},
		"deep prints":         {Prefix: Prefix{Depth: maxDepth - 2}, Prints: make([]uint64, kids*kids)},
		"prints and members":  {Prints: make([]uint64, kids), IDs: make([]ID, 1)},
		"a member elsewhere":  {Prefix: Prefix{ID: ID{0x10}, Depth: 1}, IDs: []ID{{0x20}}},
		"many members":        {IDs: make([]ID, MaxTold+1)},
		"prints of no digits": {Prints: []uint64{}},
	} {
		if _, _, err := s.Answer([]Part{p}, 0); !errors.Is(err, kith.Invalid) && !errors.Is(err, kith.TooLarge) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := s.Answer(make([]Part, MaxParts+1), 0); !errors.Is(err, kith.TooLarge) {
		t.Errorf("many parts: %v", err)
	}
}

// A million members and a hundred differences: at most six round trips and 100 kB. KITH_SETS_FULL=1; else of a twentieth.
func TestCost(t *testing.T) {
	n := uint64(50_000)
	if os.Getenv("KITH_SETS_FULL") != "" {
		n = 1_000_000
	}
	var a, b Set
	for i := range n {
		a.Add(id(i))
		b.Add(id(i))
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		a.Remove(id(r.Uint64N(n)))
		b.Remove(id(r.Uint64N(n)))
	}
	missA, missB, messages, size := talk(t, &a, &b, 9)
	t.Logf("%d members, %d and %d differ: %d messages, %d bytes", n, len(missA), len(missB), messages, size)
	if messages > 12 || size > 100_000 || len(missA)+len(missB) < 90 {
		t.Error("that is too much")
	}
}

func BenchmarkAdd(b *testing.B) {
	var s Set
	for i := range uint64(b.N) {
		s.Add(id(i))
	}
}

func FuzzAnswer(f *testing.F) {
	var s Set
	for i := range uint64(2000) {
		s.Add(id(i))
	}
	for _, parts := range [][]Part{s.Begin(1), {s.divide(Prefix{}, 1, 1)}, {s.tell(Prefix{ID: ID{0xa0}, Depth: 1})}} {
		data, err := wire.Marshal(parts)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var parts []Part
		if wire.Unmarshal(data, &parts) != nil {
			return
		}
		answer, _, err := s.Answer(parts, 1)
		if err != nil {
			return
		}
		for _, p := range answer {
			if err := p.check(); err != nil {
				t.Fatal(err)
			}
		}
	})
}
