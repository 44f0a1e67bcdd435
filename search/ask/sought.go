package ask

import (
	"slices"

	"kith/search/filter"
	"kith/search/publication"
	"kith/search/query"
	"kith/search/words"
)

// Sought returns the keys that a filter has to have to fit a query: of its words, phrases and tags. It has none if the query has no words.
func Sought(q query.Query) (s filter.Sought) {
	lang := ""
	if len(q.Lang.In) == 1 {
		lang = q.Lang.In[0]
	}
	for _, text := range slices.Concat(q.Words, q.Phrases, q.Tag.In) {
		for _, n := range words.Needs(text, lang) {
			s = append(s, keys(n.Any)...)
		}
	}
	return s
}

// keys returns what of a word is looked for in filters: all its terms if there is one way to have it, and of several ways the longest term of each.
func keys(ways [][]string) (s filter.Sought) {
	if len(ways) == 1 {
		for _, term := range ways[0] {
			s = append(s, []filter.Key{filter.Term(term)})
		}
		return s
	}
	var any []filter.Key
	for _, terms := range ways {
		longest := ""
		for _, term := range terms {
			if len(term) > len(longest) {
				longest = term
			}
		}
		any = append(any, filter.Term(longest))
	}
	return append(s, any)
}

// maxTerms is how many terms of one name are in a filter.
const maxTerms = 64

// Keys appends to dst what a filter has of a publication: the words of its name, its tags and its facts, which stand together, as far as these are few (filter.MaxPaired); those of its facts, and of each of
// its files, which do with each other.
func Keys(dst []filter.Key, p publication.Publication, memo *words.Memo) []filter.Key {
	add := func(texts ...string) {
		var terms []string
		for _, text := range texts {
			for _, t := range memo.Terms(nil, text, p.Language, maxTerms) {
				if !slices.Contains(terms, t) {
					terms = append(terms, t)
				}
			}
		}
		hashed := make([]filter.Key, len(terms))
		for i, t := range terms {
			hashed[i] = filter.Term(t)
		}
		dst = filter.Name(dst, hashed)
	}
	facts := p.Facts.Text()
	add(append(append([]string{p.Name}, p.Tags...), facts)...)
	add(facts)
	for _, file := range p.Files {
		add(file)
	}
	return dst
}
