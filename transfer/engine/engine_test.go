package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kith/blob/bao"
)

// TestEngineScripts plays testdata/*.txt: lines of commands, and behind each "->" what the engine must decide.
func TestEngineScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) { playScript(t, f) })
	}
}

func playScript(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var e *Engine
	var now time.Duration
	names := map[string]SourceID{}
	for i, line := range strings.Split(string(text), "\n") {
		line, _, _ = strings.Cut(line, "#")
		command, want, asks := strings.Cut(line, "->")
		w := strings.Fields(command)
		if len(w) == 0 {
			continue
		}
		var at, n int64
		if len(w) > 1 {
			fmt.Sscanf(w[len(w)-1], "%d+%d", &at, &n)
		}
		r, got := bao.Range{First: at, N: n}, ""
		switch w[0] {
		case "engine": // engine GROUPS [sequential] [cluster GROUPS] [files STARTS…]
			o := Options{Groups: number(t, w[1]), Seed: 1, Sequential: slices.Contains(w, "sequential")}
			if i := slices.Index(w, "cluster"); i > 0 {
				o.Cluster = number(t, w[i+1])
			}
			if i := slices.Index(w, "files"); i > 0 {
				for _, start := range w[i+1:] {
					o.Starts = append(o.Starts, number(t, start))
				}
			}
			e = New(o)
			clear(names)
		case "join": // join NAME [units GROUPS WINDOW]
			names[w[1]] = SourceID(len(names) + 1)
			if len(w) > 2 {
				e.JoinUnits(names[w[1]], now, number(t, w[3]), number(t, w[4]))
			} else {
				e.Join(names[w[1]], now)
			}
		case "all":
			e.HasAll(names[w[1]])
		case "has":
			e.Has(names[w[1]], r)
		case "lacks":
			e.Lacks(names[w[1]], r)
		case "leave":
			e.Leave(names[w[1]])
		case "declined":
			e.Declined(uint64(at), now)
		case "fresh":
			got = fmt.Sprint(e.requests[uint64(at)].Fresh)
		case "have":
			e.Have(r)
		case "read":
			e.Read([]int64{at})
		case "wait":
			d, err := time.ParseDuration(w[1])
			if err != nil {
				t.Fatal(err)
			}
			now += d
		case "next":
			got = "nothing"
			if q, ok := e.Next(names[w[1]], now); ok {
				got = fmt.Sprintf("%d: %d+%d", q.ID, q.First, q.N)
			}
		case "arrived":
			e.Arrived(uint64(at), now)
		case "verified":
			for _, q := range e.Verified(uint64(at)) {
				got += fmt.Sprintf(" cancel %d", q.ID)
			}
			got = strings.TrimSpace(got)
		case "failed":
			e.Failed(uint64(at))
		case "heard":
			e.Heard(names[w[1]], now)
		case "stalled":
			e.Stalled(uint64(at))
		case "tick":
			got = fmt.Sprint(e.Tick(now))
		case "complete":
			got = fmt.Sprint(e.Complete())
		default:
			t.Fatalf("%s:%d: what is %q", file, i+1, w[0])
		}
		if want = strings.TrimSpace(want); asks && got != want {
			t.Errorf("%s:%d: %s: got %q, want %q", file, i+1, strings.TrimSpace(command), got, want)
		}
	}
}

func number(t *testing.T, s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A model is what an engine's user knows, to check the engine against.
type model struct {
	e        *Engine
	now      time.Duration
	has      map[SourceID][]bool
	here     []bool
	out      map[uint64]Request
	fetched  []int
	declined map[int64]bool // groups
	lastID   SourceID
	unit     map[SourceID]int64 // groups; 0: any
}

// TestEngineModel lets sources come, lie, go and answer in any order, and checks after each step that nobody is asked for what he does not have or what is
// here, that windows hold, and that nothing is asked of two while something else is left to ask.
func TestEngineModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		groups := rapid.Int64Range(1, 9000).Draw(t, "groups")
		o := Options{
			Groups: groups, Seed: rapid.Uint64().Draw(t, "seed"), Sequential: rapid.Bool().Draw(t, "sequential"),
			Cluster: rapid.SampledFrom([]int64{0, 0, 16, 256}).Draw(t, "cluster"), Starts: starts(t, groups),
		}
		m := &model{
			e: New(o), has: map[SourceID][]bool{}, unit: map[SourceID]int64{},
			here: make([]bool, groups), out: map[uint64]Request{}, fetched: make([]int, groups), declined: map[int64]bool{},
		}
		t.Repeat(map[string]func(*rapid.T){
			"join":    m.join,
			"gain":    m.gain,
			"leave":   m.leave,
			"ask":     m.ask,
			"answer":  m.answer,
			"fail":    m.fail,
			"decline": m.decline,
			"stall":   m.stall,
			"wait":    m.wait,
			"read": func(t *rapid.T) {
				m.e.readers = rapid.SliceOfN(rapid.Int64Range(0, groups-1), 0, 3).Draw(t, "readers")
			},
			"": m.check,
		})
		m.drain(t)
	})
}

func (m *model) source(t *rapid.T) SourceID {
	if len(m.has) == 0 {
		t.Skip("no source")
	}
	ids := make([]SourceID, 0, len(m.has))
	for id := range m.has {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return rapid.SampledFrom(ids).Draw(t, "source")
}

// starts draws where files begin.
func starts(t *rapid.T, groups int64) (list []int64) {
	list = rapid.SliceOfNDistinct(rapid.Int64Range(1, groups), 0, min(20, int(groups)), rapid.ID[int64]).Draw(t, "starts")
	list = slices.DeleteFunc(list, func(g int64) bool { return g >= groups })
	slices.Sort(list)
	return append([]int64{0}, list...)
}

func (m *model) join(t *rapid.T) {
	if len(m.has) >= 5 {
		t.Skip("enough")
	}
	m.lastID++
	if m.unit[m.lastID] = rapid.SampledFrom([]int64{0, 0, 0, 1, 16, 17, 100, 1024}).Draw(t, "unit"); m.unit[m.lastID] > 0 {
		m.e.JoinUnits(m.lastID, m.now, m.unit[m.lastID], rapid.Int64Range(0, 5000).Draw(t, "window"))
	} else {
		m.e.Join(m.lastID, m.now)
	}
	m.has[m.lastID] = make([]bool, len(m.here))
}

func (m *model) span(t *rapid.T) bao.Range {
	first := rapid.Int64Range(0, int64(len(m.here))-1).Draw(t, "first")
	return bao.Range{First: first, N: rapid.Int64Range(1, int64(len(m.here))-first).Draw(t, "n")}
}

func (m *model) gain(t *rapid.T) {
	id := m.source(t)
	if rapid.IntRange(0, 3).Draw(t, "all") == 0 {
		m.e.HasAll(id)
		for g := range m.has[id] {
			m.has[id][g] = true
		}
		return
	}
	r := m.span(t)
	m.e.Has(id, r)
	for g := r.First; g < r.First+r.N; g++ {
		m.has[id][g] = true
	}
}

func (m *model) leave(t *rapid.T) {
	id := m.source(t)
	m.e.Leave(id)
	delete(m.has, id)
	for k, q := range m.out {
		if q.Source == id {
			delete(m.out, k)
		}
	}
}

func (m *model) ask(t *rapid.T) {
	id := m.source(t)
	q, ok := m.e.Next(id, m.now)
	if !ok {
		return
	}
	most := int64(MaxRequest)
	if u := m.unit[id]; u > 0 { // whole pieces
		most = max(most, (u+1<<m.e.shift-1)>>m.e.shift<<m.e.shift)
	}
	if q.N < 1 || q.N > most || q.First < 0 || q.First+q.N > int64(len(m.here)) {
		t.Fatalf("asked for %d+%d of %d", q.First, q.N, len(m.here))
	}
	missing := false
	for g := q.First; g < q.First+q.N; g++ {
		if !m.here[g] {
			missing = true
			if !m.has[id][g] {
				t.Fatalf("group %d is asked of %d, who does not have it", g, id)
			}
		}
	}
	if !missing {
		t.Fatalf("asked for %d+%d, all of which is here", q.First, q.N)
	}
	if q.Fresh && (!m.e.sources[id].all || m.declined[q.First]) {
		t.Fatalf("%d+%d is asked of %d as fresh, declined before: %v", q.First, q.N, id, m.declined[q.First])
	}
	for _, o := range m.out {
		if o.Source == id && o.First < q.First+q.N && q.First < o.First+o.N {
			t.Fatalf("%d+%d is asked of %d, which owes %d+%d", q.First, q.N, id, o.First, o.N)
		}
	}
	m.out[q.ID] = q
}

func (m *model) pick(t *rapid.T) Request {
	if len(m.out) == 0 {
		t.Skip("nothing asked")
	}
	ids := make([]uint64, 0, len(m.out))
	for id := range m.out {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return m.out[rapid.SampledFrom(ids).Draw(t, "request")]
}

func (m *model) answer(t *rapid.T) { m.take(m.pick(t)) }

func (m *model) take(q Request) {
	delete(m.out, q.ID)
	m.e.Arrived(q.ID, m.now)
	for _, c := range m.e.Verified(q.ID) {
		delete(m.out, c.ID)
	}
	for g := q.First; g < q.First+q.N; g++ {
		m.here[g] = true
		m.fetched[g]++
	}
}

func (m *model) fail(t *rapid.T) {
	q := m.pick(t)
	delete(m.out, q.ID)
	m.e.Failed(q.ID)
	r := bao.Range{First: q.First, N: q.N}
	m.e.Lacks(q.Source, r)
	for g := r.First; g < r.First+r.N; g++ {
		m.has[q.Source][g] = false
	}
}

func (m *model) decline(t *rapid.T) {
	q := m.pick(t)
	if !q.Fresh {
		t.Skip("not fresh")
	}
	delete(m.out, q.ID)
	m.e.Declined(q.ID, m.now)
	for g := q.First; g < q.First+q.N; g++ {
		m.declined[g] = true
	}
}

func (m *model) stall(t *rapid.T) { m.e.Stalled(m.pick(t).ID) }

func (m *model) wait(t *rapid.T) {
	m.now += time.Duration(rapid.IntRange(1, 20_000).Draw(t, "ms")) * time.Millisecond
	for _, id := range m.e.Tick(m.now) {
		m.e.Leave(id)
		delete(m.has, id)
		for k, q := range m.out {
			if q.Source == id {
				delete(m.out, k)
			}
		}
	}
}

// check compares the engine's counts with what they count.
func (m *model) check(t *rapid.T) {
	e := m.e
	open, missing := 0, 0
	for p := range e.count {
		r := e.at(p)
		holders := 0
		for id, has := range m.has {
			if e.sources[id].all {
				continue
			}
			all := true
			for g := r.First; g < r.First+r.N; g++ {
				all = all && has[g]
			}
			if all {
				holders++
			}
		}
		if int(e.holders[p]) != holders {
			t.Fatalf("piece %d has %d holders, want %d", p, e.holders[p], holders)
		}
		if !e.done[p] {
			missing++
			if e.asked[p] == 0 {
				open++
			}
		}
	}
	if open != e.open || missing != e.missing {
		t.Fatalf("%d open and %d missing, want %d and %d", e.open, e.missing, open, missing)
	}
	for id, s := range e.sources {
		live := int64(0)
		for _, q := range e.requests {
			if q.Source == id && q.live {
				live += q.N
			}
		}
		if live != s.live || live >= s.window+max(MaxRequest, int64(s.unit)<<e.shift) && s.window >= maxWindow {
			t.Fatalf("source %d: %d live, counted %d, window %d", id, live, s.live, s.window)
		}
	}
}

// drain fetches the rest from a source that has everything.
func (m *model) drain(t *rapid.T) {
	m.e.Join(1000, m.now)
	m.e.HasAll(1000)
	for step := 0; !m.e.Complete(); step++ {
		if step > 100_000 {
			t.Fatalf("%d pieces are never fetched", m.e.missing)
		}
		m.now += time.Millisecond
		for {
			q, ok := m.e.Next(1000, m.now)
			if !ok {
				break
			}
			m.out[q.ID] = q
		}
		for _, q := range m.out {
			if q.Source == 1000 {
				m.take(q)
				break
			}
		}
		for _, id := range m.e.Tick(m.now) {
			m.e.Leave(id)
		}
		m.now += time.Second * time.Duration(step/1000)
	}
	for g, here := range m.here {
		if !here {
			t.Fatalf("group %d is not here in the end", g)
		}
	}
}

// TestEngineAsksOnce lets one source of four answer at a time, without faults: every group is asked for once, but for the end-game.
func TestEngineAsksOnce(t *testing.T) {
	e := New(Options{Groups: 5000, Seed: 1})
	for id := SourceID(1); id <= 4; id++ {
		e.Join(id, 0)
		e.HasAll(id)
	}
	asked, groups := 0, int64(0)
	var now time.Duration
	var out []Request
	for !e.Complete() {
		for id := SourceID(1); id <= 4; id++ {
			for {
				q, ok := e.Next(id, now)
				if !ok {
					break
				}
				if e.open > 0 {
					asked++
				}
				groups += q.N
				out = append(out, q)
			}
		}
		now += 10 * time.Millisecond
		q := out[0]
		out = out[1:]
		e.Arrived(q.ID, now)
		e.Verified(q.ID)
	}
	if groups > 5000+4*maxWindow || groups < 5000 || asked == 0 {
		t.Errorf("asked for %d groups of 5000", groups)
	}
}
