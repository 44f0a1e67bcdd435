// Package sample makes things worth sharing: pictures, tunes, texts and folders of them, drawn, played and written by code, so that
// pretend neighbours have something to give without a file of anybody's being needed.
//
// It is not test data: what it makes is meant to be looked at and listened to. Its one idea is a list of makers (kinds), each of which
// makes another piece for another seed.
package sample

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// kinds are the makers, in the order of Make. Each makes its file, or its folder, in dir and returns the name.
var kinds = []func(dir string, r *rand.Rand, again string) (name string, err error){
	hills, musicBox, postcards, life, bells, fables, stars, fractal,
}

// Kinds is how many kinds of sample there are.
var Kinds = len(kinds)

// Make makes sample number i, of the kinds in turn, in dir, and returns its path: a file or a folder of 0.5 to 4 MB. The same number
// gives the same bytes.
func Make(dir string, i int) (string, error) {
	if i < 0 {
		i = -i
	}
	again := "" // tells the second of a kind from the first
	if round := i / len(kinds); round > 0 {
		again = fmt.Sprintf(" %d", round+1)
	}
	name, err := kinds[i%len(kinds)](dir, rand.New(rand.NewPCG(uint64(i), 77)), again)
	if err != nil {
		return "", fmt.Errorf("sample: %w", err)
	}
	return filepath.Join(dir, name), nil
}

// write makes a file of what fill writes.
func write(path string, fill func(*os.File) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := fill(f); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
