package scenario

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"kith"
	"kith/config"
)

// Bounds of a file.
const (
	MaxFile   = 64 << 10 // bytes
	MaxPoints = 2000     // runs
	maxGrid   = 1 << 20  // combinations of which a sample is drawn
)

// A Scenario is a file that makes sense.
type Scenario struct {
	Title  string   // one line
	About  string   // what it shows
	Text   string   // the file
	Swept  []string // names of what the sweep sets, in the order of the file
	Points []Point
}

// Parse reads a scenario. Its error is Invalid and names the line, where one line is to blame.
func Parse(data []byte) (*Scenario, error) {
	if len(data) > MaxFile {
		return nil, kith.Hint(fmt.Errorf("scenario: %d bytes: %w", len(data), kith.TooLarge), "%d at most", MaxFile)
	}
	s := usual()
	if err := config.Decode(data, &s); err != nil {
		return nil, kith.Hint(fmt.Errorf("scenario: %w", err), "kith sim --list names scenarios to look at, and docs/overlays.md says what a file can say")
	}
	var tree map[string]any
	if err := toml.Unmarshal(data, &tree); err != nil {
		return nil, fmt.Errorf("scenario: %w: %w", err, kith.Invalid)
	}
	f := file{places: placesOf(data)}
	swept, points, err := f.points(tree)
	if err != nil {
		if line := f.blame(tree); line > 0 {
			return nil, kith.Hint(fmt.Errorf("line %d: %w", line, err), "%s", kith.HintOf(err))
		}
		return nil, err
	}
	return &Scenario{Title: s.Title, About: strings.TrimSpace(s.About), Text: string(data), Swept: swept, Points: points}, nil
}

// A place is where a file says something: a key, or a whole [[at]].
type place struct {
	path []string // the last may be a number
	line int
}

type file struct{ places []place }

// placesOf finds where things are said. It only finds lines for errors, so that what it does not understand does no harm.
func placesOf(data []byte) (places []place) {
	var table []string
	ats, line := 0, 0
	for text := range bytes.Lines(data) {
		line++
		s := strings.TrimSpace(string(text))
		key, _, is := strings.Cut(s, "=")
		switch {
		case strings.HasPrefix(s, "[["):
			table = nil
			places = append(places, place{[]string{"at", strconv.Itoa(ats)}, line})
			ats++
		case strings.HasPrefix(s, "["):
			name, _, _ := strings.Cut(s[1:], "]")
			table = strings.Split(strings.ReplaceAll(name, " ", ""), ".")
		case is && (ats == 0 || table != nil) && !strings.HasPrefix(s, "#"):
			path := slices.Concat(table, strings.Split(strings.ReplaceAll(key, " ", ""), "."))
			places = append(places, place{path, line})
		}
	}
	return places
}

// blame returns the line without which the file would make sense, the last one if there are several, or 0.
func (f *file) blame(tree map[string]any) int {
	for _, p := range slices.Backward(f.places) {
		if less, ok := without(tree, p.path); ok {
			if _, _, err := f.points(less); err == nil {
				return p.line
			}
		}
	}
	return 0
}

// without returns the tree without what is at path, and whether there was anything.
func without(tree map[string]any, path []string) (map[string]any, bool) {
	less, key := maps.Clone(tree), path[0]
	switch below := tree[key].(type) {
	case nil:
		return nil, false
	case map[string]any:
		if len(path) > 1 {
			inner, ok := without(below, path[1:])
			less[key] = inner
			return less, ok
		}
	case []any:
		if i, err := strconv.Atoi(path[len(path)-1]); err == nil && i < len(below) {
			less[key] = slices.Concat(below[:i], below[i+1:])
			return less, true
		}
	}
	if delete(less, key); key == "engine" {
		less[key] = "chord" // there must be one
	}
	return less, true
}

// An axis is a setting that is swept.
type axis struct {
	name   string // with its table: chord.successors
	values []any
}

// points makes the runs of a file.
func (f *file) points(tree map[string]any) (swept []string, points []Point, err error) {
	base := maps.Clone(tree)
	delete(base, "sweep")
	s := usual()
	if err := decode(base, &s); err != nil {
		return nil, nil, err
	}
	axes, err := f.axes(tree["sweep"])
	if err != nil {
		return nil, nil, err
	}
	engines := axis{"engine", []any{s.Engine}}
	for _, a := range axes {
		swept = append(swept, a.name)
		if a.name == "engine" {
			engines = a
		}
	}
	for _, engine := range engines.values {
		name, _ := engine.(string)
		own := slices.DeleteFunc(slices.Clone(axes), func(a axis) bool {
			table, _, below := strings.Cut(a.name, ".")
			return below && table != name
		})
		for i, a := range own {
			if a.name == "engine" {
				own[i].values = []any{engine}
			}
		}
		more, err := grid(base, own, s.Sample, s.Seed)
		if err != nil {
			return nil, nil, err
		}
		if points = append(points, more...); len(points) > MaxPoints {
			return nil, nil, tooMany(len(points))
		}
	}
	return swept, points, nil
}

func tooMany(n int) error {
	return kith.Hint(fmt.Errorf("scenario: a sweep of %d runs: %w", n, kith.Invalid), "%d at most; sample = 60 draws so many of them for each engine", MaxPoints)
}

// axes returns what is swept, in the order of the file.
func (f *file) axes(sweep any) (axes []axis, err error) {
	table, ok := sweep.(map[string]any)
	if sweep != nil && !ok {
		return nil, kith.Hint(fmt.Errorf("scenario: sweep is no table: %w", kith.Invalid), "[sweep], and below it a list for each setting: nodes = [100, 1000]")
	}
	for _, name := range slices.Sorted(maps.Keys(table)) {
		below, ok := table[name].(map[string]any)
		if !ok {
			below = map[string]any{"": table[name]}
		}
		for _, key := range slices.Sorted(maps.Keys(below)) {
			a := axis{name: strings.TrimSuffix(name+"."+key, ".")}
			a.values, ok = below[key].([]any)
			if !ok || len(a.values) == 0 || slices.ContainsFunc(a.values, func(v any) bool { return !scalar(v) }) {
				return nil, kith.Hint(fmt.Errorf("scenario: sweep.%s is no list of values: %w", a.name, kith.Invalid), "such as %s = [1, 2, 3]", a.name)
			}
			if slices.Contains([]string{"title", "about", "sample", "at"}, a.name) {
				return nil, kith.Hint(fmt.Errorf("scenario: %s cannot be swept: %w", a.name, kith.Invalid), "settings of a run can")
			}
			axes = append(axes, a)
		}
	}
	slices.SortStableFunc(axes, func(a, b axis) int { return f.line(a.name) - f.line(b.name) })
	return axes, nil
}

func scalar(v any) bool {
	switch v.(type) {
	case bool, int64, float64, string:
		return true
	}
	return false
}

// line returns where a sweep is said.
func (f *file) line(axis string) int {
	for _, p := range f.places {
		if strings.Join(p.path, ".") == "sweep."+axis {
			return p.line
		}
	}
	return 0
}

// grid makes a run of each combination, the first axis outermost, or of so many of them if sample is not 0.
func grid(base map[string]any, axes []axis, sample int, seed uint64) ([]Point, error) {
	all := 1
	for _, a := range axes {
		if all *= len(a.values); all > maxGrid {
			return nil, tooMany(all)
		}
	}
	chosen := all
	switch {
	case sample < 0:
		return nil, kith.Hint(fmt.Errorf("scenario: a sample of %d: %w", sample, kith.Invalid), "1 to %d, or 0 for all", MaxPoints)
	case sample > 0:
		chosen = min(all, sample)
	}
	if chosen > MaxPoints {
		return nil, tooMany(chosen)
	}
	points := make([]Point, 0, chosen)
	for _, i := range draw(chosen, all, seed) {
		set := make([]Setting, len(axes))
		for k, a := range slices.Backward(axes) {
			set[k] = Setting{a.name, a.values[i%len(a.values)]}
			i /= len(a.values)
		}
		p, err := run(base, set)
		if err != nil {
			return nil, err
		}
		points = append(points, p)
	}
	return points, nil
}

// run makes one run, with what the sweep sets put where the file would have said it.
func run(base map[string]any, set []Setting) (Point, error) {
	tree := maps.Clone(base)
	for _, v := range set {
		table, key, below := strings.Cut(v.Name, ".")
		if !below {
			tree[table] = v.Value
			continue
		}
		inner, _ := tree[table].(map[string]any)
		if inner = maps.Clone(inner); inner == nil {
			inner = map[string]any{}
		}
		inner[key] = v.Value
		tree[table] = inner
	}
	s := usual()
	err := decode(tree, &s)
	if err != nil {
		return Point{}, err
	}
	p, err := s.point()
	p.Set = set
	return p, err
}

// decode reads a tree as a file is read, but for lines.
func decode(tree map[string]any, into *settings) error {
	data, err := toml.Marshal(tree)
	if err != nil {
		return fmt.Errorf("scenario: %w: %w", err, kith.Invalid)
	}
	if err := config.Decode(data, into); err != nil {
		_, what, _ := strings.Cut(err.Error(), ": ") // that line is not one of the file
		return kith.Hint(fmt.Errorf("scenario: %s: %w", strings.TrimSuffix(what, ": "+kith.Invalid.Error()), kith.Invalid), "kith sim --list names scenarios to look at")
	}
	return nil
}

// draw returns so many different numbers below all, in order: every one of them if that many are wanted.
func draw(count, all int, seed uint64) []int {
	chosen := make(map[int]bool, count)
	for i := seed; len(chosen) < count && count < all; i++ {
		x := i * 0x9e3779b97f4a7c15
		x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
		x = (x ^ x>>27) * 0x94d049bb133111eb
		chosen[int((x^x>>31)%uint64(all))] = true
	}
	if count == all {
		for i := range all {
			chosen[i] = true
		}
	}
	return slices.Sorted(maps.Keys(chosen))
}
