package filter

import (
	"fmt"
	"testing"
)

// Who says that it volunteers is known to, and nobody else, be the filter small or large; and what else it says is not changed.
func TestVolunteers(t *testing.T) {
	if len(volunteers) != Marks {
		t.Fatal("the marks are not counted")
	}
	for _, n := range []int{0, 1, 4, 300, MaxKeys - Marks} {
		var keys []Key
		for i := range n {
			keys = append(keys, Term(fmt.Sprint(i)))
		}
		plain, err := New(keys)
		if err != nil {
			t.Fatal(err)
		}
		f, err := New(Volunteer(keys))
		if err != nil {
			t.Fatal(err)
		}
		if plain.Volunteers() || !f.Volunteers() {
			t.Errorf("of %d keys: who does not volunteer %v, who does %v", n, plain.Volunteers(), f.Volunteers())
		}
		again, err := Parse(f.Append(nil))
		if err != nil || !again.Volunteers() || n > 0 && !again.Has(Term("0")) {
			t.Errorf("of %d keys: it is not read as it was said, %v", n, err)
		}
	}
}
