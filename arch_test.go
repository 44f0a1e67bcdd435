package kith

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "kith"

// floors is the table of docs/architecture.md: what the code of each folder may import of this module. A folder is looked up by its
// whole path first, then by its first element followed by /*, then by its first element; what it names it names with everything below
// it, but "overlay" and "bridge" alone are the interfaces, and not the engines and networks.
var floors = map[string][]string{
	".":                {},
	"internal/*":       {".", "internal"},
	"identity":         {".", "internal"},
	"wire":             {".", "internal"},
	"config":           {".", "internal"},
	"network":          {".", "internal", "identity", "wire", "config"},
	"network/aim":      {".", "internal", "network/maddr"},
	"blob":             {".", "internal", "identity", "wire", "config"},
	"blob/*":           {".", "internal"},
	"blob/digest":      {".", "internal", "blob/bao", "blob/disk", "blob/seal", "blob/tee", "blob/walk"},
	"blob/tee":         {".", "internal", "blob/bao"},
	"blob/draft":       {".", "internal", "blob/bao", "blob/disk", "blob/folder"},
	"blob/walk":        {".", "internal", "blob/disk", "blob/folder"},
	"overlay":          {".", "internal", "identity", "wire", "config"},
	"overlay/kbr":      {"."},
	"overlay/chord":    {".", "overlay/kbr"},
	"overlay/kademlia": {".", "overlay/kbr"},
	"overlay/pastry":   {".", "overlay/kbr"},
	"overlay/sim":      {".", "overlay/kbr"},
	"overlay/sim/scenario": {".", "config", "overlay/kbr", "overlay/chord", "overlay/kademlia", "overlay/pastry",
		"overlay/sim"}, // a file names engines and their parameters
	"overlay/sim/report": {".", "internal", "overlay/kbr", "overlay/sim", "overlay/sim/scenario"},
	"overlay/ledger":     {"."},
	"overlay/live":       {".", "internal", "wire", "network", "overlay", "overlay/kbr", "overlay/chord", "overlay/pastry", "overlay/kademlia", "overlay/ledger"},
	"overlay/kaddht":     {".", "internal", "identity", "wire", "config", "network", "blob", "overlay", "overlay/ledger"},
	"overlay/*":          {".", "internal", "identity", "wire", "config", "network", "blob", "overlay"},
	"transfer":           {".", "internal", "identity", "wire", "config", "network", "blob", "overlay"},
	"transfer/engine":    {".", "internal", "blob"},
	"transfer/*":         {".", "internal", "identity", "wire", "config", "network", "blob", "transfer/*"},
	"record":             {".", "internal", "identity", "wire", "config", "network", "blob", "overlay"},
	"rendezvous":         {".", "internal", "identity", "wire", "config", "network", "blob", "overlay"},
	"people":             {".", "internal", "identity", "wire", "config", "network", "blob", "overlay", "record"},
	"search/words":       {"."},
	"search/query":       {".", "internal", "search/fact"},
	"search/fact":        {".", "internal"},
	"search/media":       {"search/fact", "search/query"},
	"search/index":       {".", "internal", "search/fact", "search/query", "search/words"},
	"search/publication": {".", "internal", "wire", "search/fact"},
	"search/block":       {".", "internal"},
	"search/report":      {".", "wire", "network"},
	"search/sets":        {"."},
	"search/filter":      {"."},
	"search/plan":        {".", "overlay/kbr", "search/filter"},
	"search/rare":        {},
	"search/sim":         {".", "overlay/kbr", "overlay/sim", "search/filter", "search/plan", "search/rare"},
	"search/talk":        {".", "wire", "network", "search/sets"},
	"search/talktest":    nil,
	"search/spread":      {".", "internal", "wire", "network", "search/publication", "search/sets", "search/talk"},
	"search/shard":       {".", "internal", "wire", "network", "search/filter", "search/sets", "search/talk"},
	"search/ask": {".", "internal", "wire", "network", "overlay/kbr", "search/filter", "search/plan", "search/publication", "search/query",
		"search/rare", "search/words"}, // it drives the machine that plans
	"bridge":   {".", "internal", "identity", "wire", "config", "network", "blob", "overlay", "transfer"},
	"bridge/*": {".", "internal", "identity", "wire", "config", "network", "blob", "overlay", "transfer", "record", "bridge"},
	"bridge/bittorrent/census": {".", "internal", "transfer", "bridge",
		"bridge/bittorrent/books"}, // what it tells of is in the books
	"bridge/bittorrent/crawl": {".", "internal", "bridge/bittorrent/metainfo", "bridge/bittorrent/stranger"},
	"bridge/bittorrent/udp":   {".", "internal", "bridge/bittorrent/farewell", "bridge/bittorrent/metainfo"}, // what the library sends and hears
	"app":                     {".", "internal", "identity", "wire", "config", "network", "blob", "overlay", "transfer", "bridge"},
	"apps/*":                  {".", "internal", "identity", "wire", "config", "network", "blob", "overlay", "transfer", "bridge", "app"},
	"apps/torrents": {".", "internal", "identity", "wire", "config", "network", "blob", "overlay", "transfer", "bridge", "app",
		"bridge/bittorrent/tracker"}, // a role of its own, which needs no bridge
	"apps/search":           {".", "internal", "identity", "wire", "config", "network", "blob", "transfer", "app", "search"},
	"apps/search/volunteer": {".", "internal", "network", "search", "app"},   // a role of its own
	"apps/torrents/resume":  {".", "internal", "bridge/bittorrent/metainfo"}, // files of other programs of BitTorrent
	"apps":                  {".", "internal", "transfer", "bridge", "app", "apps"},
	"node":                  {".", "internal", "identity", "wire", "config", "network", "blob", "overlay", "overlay/*", "transfer", "record", "rendezvous", "people", "bridge", "app"},
	"lab":                   {".", "internal", "identity", "wire", "config", "network", "blob", "overlay", "overlay/*", "transfer", "record", "rendezvous", "people", "bridge", "app", "api", "node", "lab"},
	"api":                   {".", "internal", "app", "config"},
	"cli":                   {".", "internal", "app", "config", "api"},
	"web":                   {".", "internal", "app", "config"},
	"cmd":                   nil, // anything: the only place where implementations are chosen
	"bench":                 nil,
	"apptest":               nil,
}

// Sizes that a reader can hold in the head. A breach is mended, or the limit is raised here in the same change with the reason.
const (
	maxFileLines = 600
	maxFuncLines = 80
	maxMethods   = 8
	maxPkgLines  = 4500
)

// pure are folders of machines to which all that happens is told: no clock, chance, map, goroutine or socket. What of the standard library they may import is
// a list, so that nothing comes in by another door.
var (
	pure    = []string{"overlay/kbr", "overlay/chord", "overlay/kademlia", "overlay/pastry", "search/filter", "search/plan", "search/rare"}
	pureStd = []string{"bytes", "cmp", "crypto/sha256", "encoding/binary", "encoding/hex", "errors", "fmt", "math", "math/bits", "slices", "strings", "unsafe"}
)

// larger are packages that may be larger, each with the reason.
var larger = map[string]int{
	"blob":     5200, // its files and what its database says of them change together: a download, a repair and a removal are one transaction each
	"transfer": 4700, // what a download is, and what its sources do to it, change under one lock
}

func TestArchitecture(t *testing.T) {
	docs, lines := map[string]int{}, map[string]int{}
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if n := d.Name(); p != "." && (strings.HasPrefix(n, ".") || n == "node_modules" || n == "testdata" || n == "bin" || n == "dist") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(p, ".go") || strings.HasSuffix(p, "_test.go") {
			return nil
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, p, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		dir := path.Dir(filepath.ToSlash(p))
		docs[dir] += 0
		if f.Doc != nil && f.Name.Name != "main" || f.Doc != nil && strings.HasPrefix(dir, "cmd") {
			docs[dir]++
		}
		n := fset.File(f.Pos()).LineCount()
		lines[dir] += n
		if n > maxFileLines {
			t.Errorf("%s has %d lines, at most %d: split it by what it does", p, n, maxFileLines)
		}
		checkImports(t, p, dir, f)
		if slices.Contains(pure, dir) {
			checkPure(t, fset, f)
		}
		checkSizes(t, fset, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range slices.Sorted(maps.Keys(docs)) {
		if docs[dir] != 1 && !strings.HasPrefix(dir, "bench") {
			t.Errorf("%s has %d package comments, want 1: say what it is for, what it is not, and its one idea", dir, docs[dir])
		}
		if limit := max(maxPkgLines, larger[dir]); lines[dir] > limit {
			t.Errorf("%s has %d lines, at most %d: cut a package out of it", dir, lines[dir], limit)
		}
	}
}

// floorOf returns the row of floors that holds for dir.
func floorOf(dir string) (name string, allowed []string, ok bool) {
	top, _, below := strings.Cut(dir, "/")
	names := []string{dir, top}
	if below {
		names = []string{dir, top + "/*", top}
	}
	for _, name := range names {
		if allowed, ok := floors[name]; ok {
			return name, allowed, true
		}
	}
	return "", nil, false
}

func checkImports(t *testing.T, file, dir string, f *ast.File) {
	floor, allowed, ok := floorOf(dir)
	if !ok {
		t.Errorf("%s: folder %s has no row in the table of floors; give it one", file, dir)
		return
	}
	for _, im := range f.Imports {
		q := strings.Trim(im.Path.Value, `"`)
		if q != module && !strings.HasPrefix(q, module+"/") {
			continue
		}
		to := strings.TrimPrefix(strings.TrimPrefix(q, module), "/")
		if to == "" {
			to = "."
		}
		switch {
		case strings.HasSuffix(dir, "test"): // test support may import anything
		case strings.HasSuffix(to, "test"):
			t.Errorf("%s imports %s: test support in production code", file, to)
		case allowed == nil, strings.HasPrefix(to, dir+"/"), mayImport(allowed, to):
		case floor == "apps/*" && strings.HasPrefix(to, "apps/"):
			t.Errorf("%s imports %s: applications do not import each other", file, to)
		default:
			t.Errorf("%s imports %s: %s may import only %v", file, to, floor, allowed)
		}
	}
}

func checkPure(t *testing.T, fset *token.FileSet, f *ast.File) {
	for _, im := range f.Imports {
		if q := strings.Trim(im.Path.Value, `"`); q != module && !strings.HasPrefix(q, module+"/") && !slices.Contains(pureStd, q) {
			t.Errorf("%s: %s in a pure machine: what it brings has to come in an event", fset.Position(im.Pos()), q)
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n.(type) {
		case *ast.GoStmt, *ast.ChanType, *ast.SelectStmt:
			t.Errorf("%s: a goroutine or a channel in a pure machine", fset.Position(n.Pos()))
		case *ast.MapType:
			t.Errorf("%s: a map in a pure machine: its order is not the same each time", fset.Position(n.Pos()))
		}
		return true
	})
}

func mayImport(allowed []string, to string) bool {
	top, _, below := strings.Cut(to, "/")
	for _, a := range allowed {
		switch {
		case a == to:
			return true
		case below && a == top && top != "overlay" && top != "bridge", below && a == top+"/*":
			return true
		}
	}
	return false
}

func checkSizes(t *testing.T, fset *token.FileSet, f *ast.File) {
	ast.Inspect(f, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.FuncDecl:
			if l := fset.Position(x.End()).Line - fset.Position(x.Pos()).Line + 1; l > maxFuncLines {
				t.Errorf("%s: %s has %d lines, at most %d", fset.Position(x.Pos()), x.Name.Name, l, maxFuncLines)
			}
		case *ast.InterfaceType:
			if m := x.Methods.NumFields(); m > maxMethods {
				t.Errorf("%s: interface of %d methods, at most %d", fset.Position(x.Pos()), m, maxMethods)
			}
		}
		return true
	})
}
