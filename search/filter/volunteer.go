package filter

import "slices"

// Who volunteers to index all of its shard says so in its filter, which it signs with the rest: by keys that no term has. Who does not know of them sees four keys more.
// Of who does not volunteer all four are there by chance once in 2^32.
var volunteers = []Key{Term("\x00volunteer 1"), Term("\x00volunteer 2"), Term("\x00volunteer 3"), Term("\x00volunteer 4")}

// Marks is how many keys it takes to say that one volunteers.
const Marks = 4

// Volunteer appends to keys those that say that whose filter it is volunteers.
func Volunteer(keys []Key) []Key { return append(keys, volunteers...) }

// Volunteers reports whether whose filter it is says that it indexes all of its shard.
func (f *Filter) Volunteers() bool {
	return !slices.ContainsFunc(volunteers, func(k Key) bool { return !f.Has(k) })
}
