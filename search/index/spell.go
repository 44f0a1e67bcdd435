package index

import (
	"context"
	"database/sql"
	"math/bits"
	"slices"
	"strings"
	"unicode/utf8"

	"kith/search/words"
)

// How words are corrected.
const (
	maxSpell    = 400_000 // terms that are held for it, about 12 bytes and their text each: the commonest
	minSpell    = 4       // letters of a word that is corrected
	twoMistakes = 6       // letters from which a word may have two
	minShare    = 4       // how many times commoner a word has to be than one that is in the index to be meant instead
	respell     = 1.2     // how much an index grows until its words are read again …
	respellFrom = 100     // … from so many documents on; those of fewer are read each time
)

// A speller knows the words of an index, and finds those that are nearly another. It is not changed once it is made.
type speller struct {
	docs int // in the index when it was made
	by   [words.MaxTerm + 1][]spelled
}

// A spelled is a term of the length, in letters, that its list is for.
type spelled struct {
	term string
	docs uint32
	has  uint32 // which letters, by their last five bits: terms with a mistake differ in two of these
}

func letters(s string) (n int, has uint32) {
	for _, r := range s {
		n++
		has |= 1 << (r & 31)
	}
	return n, has
}

// A querier is a database, or one connection to it.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// speller returns the words of the index as they were not long ago.
func (x *Index) speller(ctx context.Context, from querier) (*speller, error) {
	x.state.Lock()
	s, docs := x.spell, x.status.Docs
	x.state.Unlock()
	if s != nil && docs >= respellFrom && float64(docs) <= respell*float64(s.docs) {
		return s, nil
	}
	s = &speller{docs: docs}
	least := 1
	if docs > maxSpell/4 { // in a large index most words are in one document: names that nobody types, and mistakes
		least = 2
	}
	rows, err := from.QueryContext(ctx, "SELECT term, docs FROM term WHERE docs >= ? LIMIT ?", least, maxSpell)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var w spelled
		if err := rows.Scan(&w.term, &w.docs); err != nil {
			return nil, err
		}
		if n, has := letters(w.term); n >= minSpell-1 && n < len(s.by) && strings.Trim(w.term, "0123456789") != "" {
			w.has = has
			s.by[n] = append(s.by[n], w)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	x.state.Lock()
	x.spell = s
	x.state.Unlock()
	return s, nil
}

// nearest returns the term that is most likely meant by word: that with the fewest mistakes, and the commonest of these; "" if there is none.
func (s *speller) nearest(word string, least int) string {
	n, has := letters(word)
	if n < minSpell || n >= len(s.by) || strings.Trim(word, "0123456789") == "" {
		return ""
	}
	allowed := 1
	if n >= twoMistakes {
		allowed = 2
	}
	runes, best := []rune(word), spelled{docs: uint32(max(0, least))}
	for length := n - allowed; length <= n+allowed && length < len(s.by); length++ {
		if length < 0 {
			continue
		}
		for _, w := range s.by[length] {
			if bits.OnesCount32(w.has^has) > 2*allowed || w.term == word {
				continue
			}
			if d := distance(runes, w.term, allowed); d < allowed || d == allowed && w.docs > best.docs {
				if d < allowed {
					if w.docs <= uint32(max(0, least)) {
						continue
					}
					allowed = d
				}
				best = w
			}
		}
	}
	return best.term
}

// distance returns how many letters have to be left out, put in, replaced or swapped with their neighbour to make a into b (Damerau's, with each place touched once); more than
// most if it is more.
func distance(a []rune, b string, most int) int {
	var rows [3][words.MaxTerm + 2]int
	for j := range len(a) + 1 {
		rows[0][j] = j
	}
	prev, i := rune(0), 0
	for _, r := range b {
		i++
		now, last, before := &rows[i%3], &rows[(i+2)%3], &rows[(i+1)%3]
		now[0] = i
		least := i
		for j := 1; j <= len(a); j++ {
			cost := 1
			if a[j-1] == r {
				cost = 0
			}
			now[j] = min(last[j]+1, now[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[j-1] == prev && a[j-2] == r {
				now[j] = min(now[j], before[j-2]+1)
			}
			least = min(least, now[j])
		}
		if least > most {
			return least
		}
		prev = r
	}
	return rows[i%3][len(a)]
}

// correct looks for what is meant by words that no document has. If all can be corrected the search is for these; if a word is in the index and a much commoner one is
// nearly it, that is only said.
func (s *search) correct(r *Results) error {
	fixed := slices.Clone(s.q.Words)
	changed := false
	for i := range s.needs[:s.words] {
		n := &s.needs[i]
		if n.docs > 0 && (n.docs > 2 || s.o.Typing && i == s.words-1) {
			continue
		}
		sp, err := s.x.speller(s.ctx, s.conn)
		if err != nil {
			return err
		}
		meant := ""
		if parts := words.Sequence(n.text); len(parts) == 1 && utf8.RuneCountInString(parts[0]) >= minSpell {
			meant = sp.nearest(parts[0], n.docs*minShare)
		}
		if meant == "" {
			continue
		}
		other := []need{{text: meant, word: n.word, any: alts([][]string{{meant}})}}
		if err := s.look(other); err != nil {
			return err
		}
		if other[0].docs == 0 { // it is gone since the words were read
			continue
		}
		changed = true
		fixed[n.word] = strings.Replace(fixed[n.word], n.text, meant, 1)
		if n.docs == 0 {
			r.Corrected = true
			*n = other[0]
		}
	}
	if changed {
		q := s.q
		q.Words = fixed
		r.DidYouMean = q.String()
		if r.Corrected {
			r.Query = q
		}
	}
	return nil
}
