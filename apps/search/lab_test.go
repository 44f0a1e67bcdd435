package search_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/app"
	"kith/apps/search"
	"kith/apptest"
	"kith/config"
	"kith/transfer"
)

// What the lab is.
const (
	labSearches = 400
	labKept     = "of_stranger = 20" // so that nearly all has to be asked for
)

// debian returns names of things that there are: of Debian's packages as files, and as they are described. Without lists of packages there are none.
func debian(most int) (names []string) {
	out, err := exec.Command("apt-cache", "dumpavail").Output()
	if err != nil {
		return nil
	}
	var described []string
	name := ""
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), ": ")
		switch key {
		case "Package":
			name = value
		case "Filename":
			names = append(names, path.Base(value))
		case "Description", "Description-en":
			described = append(described, name+" "+value)
		}
	}
	names = append(names, described...)
	return names[:min(len(names), most)]
}

// A shelf is what one node shares, by its names alone: there are no files.
type shelf struct{ items []search.Item }

func (shelf) Askable(context.Context) (int, error) { return 0, nil }

func (shelf) Ask(context.Context, string) error { return nil }

func (s shelf) Findable() []search.Item  { return s.items }
func (s shelf) Changed() <-chan struct{} { return nil }
func (s shelf) Offers(context.Context) iter.Seq2[search.Offer, error] {
	return func(func(search.Offer, error) bool) {}
}
func (s shelf) Fetch(context.Context, string, string) (bool, error) {
	return false, kith.Unavailable
}

// A shut gives nobody anything.
type shut struct{}

func (shut) Allow(peer.ID, kith.Ref) error { return kith.Denied }
func (shut) Narrow(kith.Ref) bool          { return false }

// Nodes share names, 50 of them 100,000, of each of which nearly all others know nothing: what a search takes, and what it finds. It takes minutes, and so is asked for.
func TestLab(t *testing.T) {
	var labNodes, labNames int
	if n, _ := fmt.Sscanf(os.Getenv("KITH_SEARCH_LAB"), "%dx%d", &labNodes, &labNames); n != 2 {
		t.Skip("takes minutes: KITH_SEARCH_LAB=50x100000 go test ./apps/search -run Lab -v -timeout 1h")
	}
	names := debian(labNames)
	if len(names) < labNames {
		t.Skipf("apt-cache dumpavail names %d packages, %d names are needed: apt-get update", len(names), labNames)
	}
	r := rand.New(rand.NewPCG(1, 2))
	r.Shuffle(len(names), func(i, k int) { names[i], names[k] = names[k], names[i] })
	c, err := config.Parse([]byte("[apps.search]\n" + labKept))
	if err != nil {
		t.Fatal(err)
	}
	of := func(node int) []string { return names[node*labNames/labNodes : (node+1)*labNames/labNodes] }
	node := 0
	began := time.Now()
	net := apptest.New(t, labNodes, func() ([]app.App, transfer.Guard) {
		var s shelf
		for i, name := range of(node % labNodes) {
			sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(node*labNames+i)))
			s.items = append(s.items, search.Item{Link: kith.Link{Ref: kith.RawRef(sum), Name: name, Size: int64(i + 1)}, Files: 1, Public: true})
		}
		node++
		a := search.New(s, s).App()
		start := a.Start
		a.Start = func(ctx context.Context, env app.Env) error {
			env.Config = func(into any) error { return c.Section("search", into) }
			return start(ctx, env)
		}
		return []app.App{a}, shut{}
	})
	for i := range labNodes {
		for range 3 {
			if k := r.IntN(labNodes); k != i {
				net.Connect(i, k)
			}
		}
	}
	query := func(name string) string {
		words := strings.FieldsFunc(name, func(r rune) bool { return r == '_' || r == ' ' || r == ',' || r == '(' || r == ')' || r == ':' })
		words = slices.DeleteFunc(words, func(w string) bool { return len(w) < 3 || strings.HasPrefix(w, "-") })
		r.Shuffle(len(words), func(i, k int) { words[i], words[k] = words[k], words[i] })
		for i, w := range words {
			words[i] = `"` + strings.Trim(w, `"`) + `"`
		}
		return strings.Join(words[:min(len(words), 2+r.IntN(2))], " ")
	}
	type outcome struct {
		first, last     float64 // milliseconds
		asked, answered int
		found           bool
	}
	look := func() (o outcome) {
		from, at := r.IntN(labNodes), r.IntN(labNodes)
		name := of(at)[r.IntN(labNames/labNodes)]
		in, start := search.SearchIn{Words: []string{query(name)}, Limit: 50}, time.Now()
		err := net.Node(from).Watch(t.Context(), "search", "search", in, func(data []byte) bool {
			o.last = float64(time.Since(start).Microseconds()) / 1000
			if o.first == 0 {
				o.first = o.last
			}
			o.found = o.found || bytes.Contains(data, []byte(jsonText(t, name)))
			var out search.SearchOut
			decode(t, data, &out)
			o.asked, o.answered = out.Asked, out.Answered
			return true
		})
		if err != nil {
			t.Fatalf("%q: %v", in.Words, err)
		}
		return o
	}
	for good, end := 0, time.Now().Add(10*time.Minute); good < labNodes; { // until filters are everywhere
		if look().found {
			good++
		} else {
			good = 0
			time.Sleep(time.Second)
		}
		if time.Now().After(end) {
			t.Log("after ten minutes not all that is looked for is found")
			break
		}
	}
	t.Logf("%d nodes and %d names after %v", labNodes, labNames, time.Since(began).Round(time.Second))
	var all []outcome
	for range labSearches {
		all = append(all, look())
	}
	report(t, "first results, ms", all, func(o outcome) float64 { return o.first })
	report(t, "all results, ms", all, func(o outcome) float64 { return o.last })
	report(t, "asked", all, func(o outcome) float64 { return float64(o.asked) })
	found, asked, answered := 0, 0, 0
	for _, o := range all {
		asked, answered = asked+o.asked, answered+o.answered
		if o.found {
			found++
		}
	}
	t.Logf("found %d of %d; %d of %d who were asked answered in time", found, len(all), answered, asked)
	if found < len(all)*9/10 {
		t.Errorf("found %d of %d", found, len(all))
	}
}

func report[T any](t *testing.T, what string, all []T, of func(T) float64) {
	var list []float64
	for _, o := range all {
		list = append(list, of(o))
	}
	slices.Sort(list)
	t.Logf("%-18s p50 %.1f  p95 %.1f  max %.1f", what, list[len(list)/2], list[len(list)*95/100], list[len(list)-1])
}

func decode(t *testing.T, data []byte, into any) {
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatal(err)
	}
}

// jsonText returns a text as it stands in JSON, without its quotes.
func jsonText(t *testing.T, s string) string {
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Trim(string(data), `"`)
}
