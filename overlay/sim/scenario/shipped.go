package scenario

import (
	"embed"
	"path"
	"slices"
	"strings"
)

//go:embed scenarios/*.toml
var files embed.FS

// Names returns the scenarios that the program brings, in the order of the alphabet.
func Names() (names []string) {
	entries, _ := files.ReadDir("scenarios")
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".toml"))
	}
	slices.Sort(names)
	return names
}

// Shipped returns one of these, or nil if there is none of that name.
func Shipped(name string) []byte {
	data, err := files.ReadFile(path.Join("scenarios", name+".toml"))
	if err != nil {
		return nil
	}
	return data
}
