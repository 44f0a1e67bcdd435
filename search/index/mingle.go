package index

// Of what is shown first.
const (
	page     = 10 // results that a person looks at
	maxAlone = 5  // of these that one publisher alone has, whom nobody trusts
)

// mingle lets others be shown too: of what answers as many of the words, a publisher has at most maxAlone of the first page alone, as far as there is something else. The rest of theirs comes behind that. It leaves
// alone what is of a trusted publisher, or of several.
func mingle[T any](list []T, of func(T) *group) []T {
	out, later := make([]T, 0, len(list)), []T(nil)
	alone := map[int64]int{}
	for i, x := range list {
		g := of(x)
		if len(out) >= page || i > 0 && g.missing != of(list[i-1]).missing {
			out, later = append(out, later...), nil
		}
		if len(out) < page && g.docs == 1 && g.trust <= 0 {
			if alone[g.publisher] == maxAlone {
				later = append(later, x)
				continue
			}
			alone[g.publisher]++
		}
		out = append(out, x)
	}
	return append(out, later...)
}
