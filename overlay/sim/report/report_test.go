package report

import (
	"bytes"
	"encoding/csv"
	"encoding/xml"
	"errors"
	"html"
	"io"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"kith/overlay/kbr"
	"kith/overlay/sim"
	"kith/overlay/sim/scenario"
)

// run runs a scenario as the command does, with pictures.
func run(t *testing.T, text string) *Study {
	t.Helper()
	s, err := scenario.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	study := &Study{Title: s.Title, About: s.About, Command: "kith sim --scenario test", Text: s.Text, Swept: s.Swept}
	for _, p := range s.Points {
		out := Run{Engine: p.Engine, Set: p.Set, Deeds: p.Deeds, Expect: p.Expect}
		r, err := p.Simulation(func(n *sim.Net) { out.Picture = Look(p.Engine == "kademlia", n) }).Run(p.Kind, nil)
		if err != nil {
			t.Fatal(err)
		}
		out.Report = r
		study.Runs = append(study.Runs, out)
	}
	return study
}

const sizes = `
title = "Sizes & <more>"
engine = "chord"
lookups = 100
[sweep]
engine = ["chord", "pastry", "kademlia"]
nodes = [50, 100, 200]
fail = [0.0, 0.3]
`

const times = `
engine = "chord"
nodes = 60
length = "10m"
every = "1s"
latency = "transit-stub"
[[at]]
time = "2m"
fail = 0.3
[[at]]
time = "4m"
until = "6m"
split = 0.5
[[at]]
time = "7m"
churn = "rate:0.1"
[sweep]
engine = ["chord", "pastry", "kademlia"]
`

const grids = `
engine = "chord"
nodes = 60
lookups = 60
churn = "rate:0.1"
[sweep]
round = ["15s", "60s"]
[sweep.chord]
successors = [4, 8, 16]
`

// A page is whole, needs nothing from elsewhere, has its plots and drawings, and none of the numbers in these is none.
func TestHTML(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		want []string
	}{
		"sizes": {sizes, []string{"Sizes & <more>", "Path length by size", "½ log₂ N − ½ log₂ 20 + 1", "log N to the base 16", "Searches that fail", "A search in kademlia", "Nearer at each step", "All runs"}},
		"times": {times, []string{"Searches that fail over time", "30 % of the nodes fail at 2 min", "in two parts, from 4 min to 6 min", "come and go from 7 min", "A search in pastry"}},
		"grids": {grids, []string{"Cost against latency", "bytes a node and second"}},
		"one":   {"engine = \"pastry\"\nnodes = 100\nlookups = 100", []string{"How it is distributed", "Distribution of path lengths", "Load of nodes", "stretch, round trips"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := run(t, tt.text)
			var b bytes.Buffer
			if err := s.HTML(&b); err != nil {
				t.Fatal(err)
			}
			page := b.String()
			for _, want := range append(tt.want, s.Runs[0].TraceHash, "kith sim --scenario test") {
				if !strings.Contains(html.UnescapeString(page), want) {
					t.Errorf("no %q", want)
				}
			}
			for _, never := range []string{"<more>", "<script", "http:", "https:", "url(", "src=", "NaN", "Inf", "ZgotmplZ"} {
				if strings.Contains(page, never) {
					t.Errorf("%q in it", never)
				}
			}
			drawings := regexp.MustCompile(`(?s)<svg.*?</svg>`).FindAllString(page, -1)
			if len(drawings) < 4 {
				t.Errorf("%d drawings", len(drawings))
			}
			for _, d := range drawings {
				wellFormed(t, d)
			}
		})
	}
}

func wellFormed(t *testing.T, drawing string) {
	t.Helper()
	for d := xml.NewDecoder(strings.NewReader(drawing)); ; {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Errorf("%v in %s", err, drawing)
			return
		}
	}
}

// The table for other programs has a row for each run, as wide as its header, and the same figures.
func TestCSV(t *testing.T) {
	s := run(t, sizes)
	var b bytes.Buffer
	if err := s.CSV(&b); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&b).ReadAll()
	if err != nil || len(rows) != 1+3*3*2 {
		t.Fatalf("%v, %d rows", err, len(rows))
	}
	at := func(name string) int { return slices.Index(rows[0], name) }
	for i, row := range rows[1:] {
		r := s.Runs[i]
		path, _ := strconv.ParseFloat(row[at("path_nodes_mean")], 64)
		if row[at("engine")] != r.Engine || row[at("nodes")] != strconv.Itoa(r.Nodes) || row[at("fail")] != r.text("fail") || row[at("trace_hash")] != r.TraceHash || !near(path, r.Path.Mean) {
			t.Errorf("%v, want %+v", row, r)
		}
	}
}

func near(a, b float64) bool { return a-b < 1e-4 && b-a < 1e-4 }

// A picture shows a search as it was: it begins at who searches, each who answered is in the network, and it ends where it ended.
func TestLook(t *testing.T) {
	for _, engine := range []string{"chord", "pastry", "kademlia"} {
		s := run(t, "engine = \""+engine+"\"\nnodes = 3000\nlookups = 10\nfail = 0.2")
		p := s.Runs[0].Picture
		if p == nil || p.Up != 2400 || !p.Right || p.End < 0 || len(p.Way) == 0 || p.Tree != (engine == "kademlia") {
			t.Fatalf("%s: %+v", engine, p)
		}
		if !slices.IsSortedFunc(p.Nodes, kbr.ID.Compare) {
			t.Errorf("%s: nodes are in no order", engine)
		}
		far := p.distances()
		if last := far[len(far)-1]; engine != "kademlia" && last > 0.01 || far[0] < last {
			t.Errorf("%s: from %.3f to %.3f of the ring", engine, far[0], last)
		}
		for _, a := range p.Way {
			if a.Node < 0 || a.Node >= len(p.Nodes) {
				t.Errorf("%s: %+v of %d nodes", engine, a, len(p.Nodes))
			}
		}
	}
}

// No point is below a hull, and each corner is a point that no other is better than in both.
func TestHull(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		n := 1 + r.IntN(30)
		x, y := make([]float64, n), make([]float64, n)
		for i := range n {
			x[i], y[i] = float64(r.IntN(20)), float64(r.IntN(20))
		}
		hull := Hull(x, y)
		for k, c := range hull {
			for i := range n {
				if x[i] <= x[c] && y[i] <= y[c] && (x[i] < x[c] || y[i] < y[c]) {
					t.Fatalf("corner %v, %v is worse than %v, %v", x[c], y[c], x[i], y[i])
				}
				if k > 0 {
					if a := hull[k-1]; x[i] >= x[a] && x[i] <= x[c] && (x[c]-x[a])*(y[i]-y[a]) < (y[c]-y[a])*(x[i]-x[a])-1e-9 {
						t.Fatalf("%v, %v is below the hull", x[i], y[i])
					}
				}
			}
		}
		if len(hull) == 0 {
			t.Fatal("no hull")
		}
	}
}
