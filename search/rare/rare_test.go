package rare

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// counted returns a Reach that knows words and, by "a b", pairs of them; two of which it does not know stand together nowhere else.
func counted(known map[string]int) Reach {
	return func(words ...string) int {
		slices.Sort(words)
		return known[strings.Join(words, " ")]
	}
}

// names says which of the words and pairs of a text keys are.
func names(keys []Key, text string) string {
	var out []string
	words := strings.Fields(text)
	for _, k := range keys {
		name := "?"
		for i, a := range words {
			if Word(a) == k {
				name = a
			}
			for _, b := range words[:i] {
				if Pair(a, b) == k {
					name = min(a, b) + "+" + max(a, b)
				}
			}
		}
		out = append(out, name)
	}
	return strings.Join(out, " ")
}

func TestKeys(t *testing.T) {
	reach := counted(map[string]int{"the": 5000, "live": 900, "flac": 3000, "blue": 60, "kind": 17, "of": 4000, "davis": 16, "bootleg": 2, "flac live": 800})
	for text, want := range map[string][2]string{ // of a name, and of a question
		"kind of blue flac":            {"blue+kind flac+kind kind+of", "kind blue blue+kind flac+kind blue+flac"},
		"the flac live":                {"live+the", "flac+live live+the flac+the"}, // flac and live stand together too often
		"davis live":                   {"davis", "davis davis+live"},
		"davis live flac of":           {"davis live+of", "davis davis+live davis+flac flac+live"},
		"bootleg davis live the":       {"bootleg davis", "bootleg davis"},
		"zanzibar":                     {"zanzibar", "zanzibar"},
		"zanzibar zzz bootleg davis":   {"zanzibar zzz bootleg", "zanzibar zzz bootleg"},
		"the":                          {"", ""},
		"zanzibar zanzibar":            {"zanzibar", "zanzibar"},
		"":                             {"", ""},
		"a b c d e f g h i j k l last": {"a b c", "a b c"},
		"a bb ccc":                     {"ccc bb a", "ccc bb a"},
	} {
		if got := names(Keys(strings.Fields(text), reach), text); got != want[0] {
			t.Errorf("%q is known by %q, want %q", text, got, want[0])
		}
		if got := names(Looks(strings.Fields(text), reach), text); got != want[1] {
			t.Errorf("%q is looked up by %q, want %q", text, got, want[1])
		}
	}
}

// The keys as docs/protocol.md says them.
func TestVectors(t *testing.T) {
	for want, k := range map[string]Key{
		"885d217eec91e3d090d9c923cbf2a93325d60bc3292d8f6ae003ab7b2629e134": Word("jazz"),
		"94e9cb68bda1165b745f6c164869d32ea72156a59b9c992585335f294044d63a": Pair("jazz", "1959"),
	} {
		if got := hex.EncodeToString(k[:]); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if Pair("a", "b") != Pair("b", "a") || Pair("a", "b") == Word("ab") || Pair("a", "b") == Word("a b") {
		t.Error("pairs are mixed up")
	}
}

// Whoever asks for two words of a name or more, the rarest among them, looks up a key of that name: whatever the question leaves out of it, and if it has at most three words
// also when who asks counts up to Doubt times more, or fewer. That is so unless the name is hot in all its pairs.
func TestMeet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, MaxKeys+1).Draw(t, "words")
		counts := map[string]int{}
		var words []string
		for i := range n {
			w := fmt.Sprintf("w%d", i)
			words = append(words, w)
			counts[w] = rapid.OneOf(rapid.IntRange(0, 3*Hot), rapid.IntRange(0, 10_000)).Draw(t, w)
		}
		here := counted(counts)
		keys := Keys(words, here)
		if len(keys) == 0 || len(keys) > MaxKeys {
			t.Fatalf("%d keys", len(keys))
		}
		asked := rapid.SliceOfNDistinct(rapid.SampledFrom(words), 2, n, rapid.ID).Draw(t, "asked")
		if first := rarest(words, here)[0].text; !slices.Contains(asked, first) {
			asked[0] = first
		}
		there := here
		if len(asked) <= MaxAlone {
			other := map[string]int{}
			for _, w := range words {
				other[w] = rapid.IntRange((counts[w]+Doubt-1)/Doubt, Doubt*counts[w]).Draw(t, "other")
			}
			there = counted(other)
		}
		looks := Looks(asked, there)
		if len(looks) > MaxLooks {
			t.Fatalf("%d are looked up", len(looks))
		}
		if !slices.ContainsFunc(looks, func(k Key) bool { return slices.Contains(keys, k) }) {
			t.Fatalf("%v of %v: %v is looked up, known are %v", asked, counts, names(looks, strings.Join(words, " ")), names(keys, strings.Join(words, " ")))
		}
	})
}

// Whatever the words and counts are, keys are few, and each once.
func FuzzKeys(f *testing.F) {
	f.Add("kind of blue", uint64(1959))
	f.Add("", uint64(0))
	f.Fuzz(func(t *testing.T, text string, seed uint64) {
		reach := func(words ...string) int {
			k := Word(fmt.Sprint(words, seed))
			return int(k[0]) * int(k[1]) / 64
		}
		words := strings.Split(text, " ")
		for i, keys := range [][]Key{Keys(words, reach), Looks(words, reach)} {
			if len(keys) > [2]int{MaxKeys, MaxLooks}[i] {
				t.Errorf("%d keys", len(keys))
			}
			slices.SortFunc(keys, func(a, b Key) int { return slices.Compare(a[:], b[:]) })
			if len(slices.Compact(keys)) != len(keys) {
				t.Error("a key twice")
			}
		}
	})
}
