// Package rare decides under which keys the overlay is to know who publishes what is rare: a node announces itself under a few of the rarest words of what it publishes, and who searches
// looks the rarest words of the question up.
//
// It announces and looks up nothing. Its one idea: words that many have are keys in pairs only. A key that thousands of nodes announce helps nobody, since who looks it up asks ten of
// them, and burdens those that keep it; two such words together are rare again, so that what is hot is split by what it stands beside, and what is hot even then is no key at all.
//
// Both sides count for themselves how many have a word, in what they know, and do not agree. So who searches looks up what is within [Doubt] of the limit both as a word and in pairs.
package rare

import (
	"cmp"
	"crypto/sha256"
	"slices"
)

// Limits.
const (
	Hot      = 16 // devices that publish something with a word, as far as is known: with more it is no key alone
	Doubt    = 4  // how many times more, or fewer, another node may take these to be
	MaxWords = 12 // of a name, the first ones; as many stand in pairs in filters
	MaxAlone = 3  // words of a name that are keys alone
	MaxKeys  = 8  // of a name
	MaxLooks = 6  // keys of a question
)

// A Key stands for a word, or for two, in the overlay.
type Key [32]byte

// Word returns the key of a word, as search/words folds it: the SHA-256 of "kith rare", a zero byte, and the word.
func Word(word string) Key { return sha256.Sum256([]byte("kith rare\x00" + word)) }

// Pair returns the key of two words in any order: as that of one, of the lesser word, a zero byte, and the greater one.
func Pair(a, b string) Key { return Word(min(a, b) + "\x00" + max(a, b)) }

// Reach says about how many devices of the network publish something with all of some words, one or two.
type Reach func(words ...string) int

// A word is one that is counted.
type word struct {
	text  string
	reach int
}

// rarest returns the first MaxWords words, each once, the rarest first: of those that are as rare the longest, since of what is not known long words are rarer.
func rarest(words []string, reach Reach) (list []word) {
	for _, w := range words {
		if len(list) < MaxWords && w != "" && !slices.ContainsFunc(list, func(x word) bool { return x.text == w }) {
			list = append(list, word{w, reach(w)})
		}
	}
	slices.SortFunc(list, func(a, b word) int {
		return cmp.Or(cmp.Compare(a.reach, b.reach), cmp.Compare(len(b.text), len(a.text)), cmp.Compare(a.text, b.text))
	})
	return list
}

// Keys returns the keys of a name: its rarest words; and if there are fewer than two that are not hot, the pairs of the rarest one that is with the others that are.
func Keys(words []string, reach Reach) (keys []Key) {
	list := rarest(words, reach)
	cold, _ := slices.BinarySearchFunc(list, Hot+1, func(w word, limit int) int { return cmp.Compare(w.reach, limit) })
	for _, w := range list[:min(cold, MaxAlone)] {
		keys = append(keys, Word(w.text))
	}
	if cold >= 2 || cold == len(list) {
		return keys
	}
	first := list[cold]
	for _, w := range list[cold+1:] {
		if len(keys) < MaxKeys && reach(first.text, w.text) <= Hot {
			keys = append(keys, Pair(first.text, w.text))
		}
	}
	return keys
}

// Looks returns the keys under which something with all words may be known, the likeliest first: of the three rarest words, alone unless nobody can have announced that, and in
// pairs unless somebody must have announced a word alone.
func Looks(words []string, reach Reach) (keys []Key) {
	list := rarest(words, reach)
	list = list[:min(len(list), MaxAlone)]
	for _, w := range list {
		if w.reach <= Doubt*Hot {
			keys = append(keys, Word(w.text))
		}
	}
	if len(list) == 0 || list[0].reach <= Hot/Doubt {
		return keys
	}
	for i, b := range list {
		for _, a := range list[:i] {
			keys = append(keys, Pair(a.text, b.text))
		}
	}
	return keys[:min(len(keys), MaxLooks)]
}
