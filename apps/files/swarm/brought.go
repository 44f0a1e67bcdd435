package swarm

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Brought is how many bytes came from which networks.
type Brought map[string]int64

// String returns it as it is kept: network=bytes, with spaces between.
func (b Brought) String() string {
	var parts []string
	for _, network := range slices.Sorted(maps.Keys(b)) {
		parts = append(parts, fmt.Sprintf("%s=%d", network, b[network]))
	}
	return strings.Join(parts, " ")
}

// ParseBrought reads what String wrote; what it cannot read it leaves out.
func ParseBrought(text string) Brought {
	b := Brought{}
	for _, part := range strings.Fields(text) {
		network, number, _ := strings.Cut(part, "=")
		if n, err := strconv.ParseInt(number, 10, 64); err == nil {
			b[network] = n
		}
	}
	return b
}
