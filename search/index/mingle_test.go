package index

import (
	"fmt"
	"testing"
	"time"

	"kith/search/query"
)

// Who alone publishes much that answers does not fill what is shown first, if others have something too; a contact may, and so may who is looked for by age.
func TestMingle(t *testing.T) {
	x := open(t, Options{})
	for i := range 60 {
		put(t, x, doc(fmt.Sprintf("blue train %d", i), func(d *Doc) { d.Publisher, d.Published = "spammer", now.Add(-time.Hour) }))
	}
	for i := range 8 {
		put(t, x, doc(fmt.Sprintf("blue train and more of it %d", i), func(d *Doc) { d.Publisher, d.Published = fmt.Sprint("p", i), now.Add(-300*24*time.Hour) }))
	}
	for i := range 5 {
		put(t, x, doc(fmt.Sprintf("blue %d", i), func(d *Doc) { d.Publisher = "half" }))
	}
	first := func(text string, o SearchOptions) (n int) {
		q, err := query.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		r, err := x.Search(t.Context(), q, o)
		if err != nil || len(r.Hits) < page {
			t.Fatal(len(r.Hits), err)
		}
		seen := map[string]bool{}
		for i, h := range r.Hits {
			if i < page && h.Publisher == "spammer" {
				n++
			}
			if seen[h.Name] {
				t.Errorf("%s is there twice", h.Name)
			}
			seen[h.Name] = true
		}
		return n
	}
	if n := first("blue train", SearchOptions{Limit: 20}); n != maxAlone {
		t.Errorf("%d of the first %d are of one", n, page)
	}
	if n := first("blue train", SearchOptions{Limit: page}); n != maxAlone {
		t.Errorf("%d of only %d are of one", n, page)
	}
	if n := first("blue train", SearchOptions{Limit: 20, Trust: map[string]float64{"spammer": 1000}}); n != page {
		t.Errorf("%d of the first %d are a contact's", n, page)
	}
	if n := first("blue train sort:age", SearchOptions{Limit: 20}); n != page {
		t.Errorf("%d of the newest %d", n, page)
	}
	if n := first("train -more", SearchOptions{Limit: 20}); n != page {
		t.Errorf("%d of %d although nobody else has any", n, page)
	}
}
