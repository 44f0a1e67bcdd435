//go:build unix

package index

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"kith/search/query"
	"kith/search/words"
)

// BenchmarkCatalogue builds an index of KITH_SEARCH_RECORDS records (20,000 if it is not set), whose names are those of Debian's archive as this computer's apt knows it, and
// searches it with the mix of queries that mix states. It reports what the issue asks for: records a second, the size of all, and how long searches take; of CPU too, since
// other programs make a wall clock slower. KITH_SEARCH_PROFILE names a folder for profiles of the two parts.
func BenchmarkCatalogue(b *testing.B) {
	n := 20_000
	if s := os.Getenv("KITH_SEARCH_RECORDS"); s != "" {
		n, _ = strconv.Atoi(s)
	}
	docs := catalogue(b, n)
	b.ResetTimer()
	for b.Loop() {
		path := filepath.Join(b.TempDir(), "search.db")
		x := open(b, Options{Path: path, All: func(context.Context) iter.Seq2[Doc, error] {
			return func(yield func(Doc, error) bool) {
				for _, d := range docs {
					if !yield(d, nil) {
						return
					}
				}
			}
		}})
		profile(b, "build", func() {
			start, used := time.Now(), cpu()
			if err := x.rebuild(context.Background()); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(len(docs))/time.Since(start).Seconds(), "records/s")
			b.ReportMetric(float64(len(docs))/(cpu()-used).Seconds(), "records/cpu-s")
		})
		x.Close()
		info, err := os.Stat(path)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(info.Size())/1e6, "MB")
		x = open(b, Options{Path: path})
		start := time.Now()
		if _, err := x.speller(context.Background(), x.db); err != nil {
			b.Fatal(err)
		}
		b.Logf("words read in %v", time.Since(start))
		queries := mix(b, x, docs, 100)
		profile(b, "search", func() { measure(b, x, queries) })
		x.Close()
	}
}

func measure(b *testing.B, x *Index, queries []asked) {
	took, of, found := []time.Duration{}, map[string][]time.Duration{}, map[string]int{}
	used := cpu()
	for _, a := range queries {
		start := time.Now()
		r, err := x.Search(context.Background(), a.q, a.o)
		if err != nil {
			b.Fatal(err)
		}
		d := time.Since(start)
		took, of[a.kind] = append(took, d), append(of[a.kind], d)
		if len(r.Hits) > 0 {
			found[a.kind]++
		}
	}
	b.ReportMetric((cpu()-used).Seconds()*1e3/float64(len(queries)), "cpu-ms/search")
	p50, p95 := quantiles(took)
	b.ReportMetric(p50, "p50-ms")
	b.ReportMetric(p95, "p95-ms")
	for kind, took := range of {
		p50, p95 := quantiles(took)
		b.Logf("%-10s %4d searches, %d find: p50 %6.1f ms, p95 %6.1f ms", kind, len(took), found[kind], p50, p95)
	}
}

func quantiles(d []time.Duration) (p50, p95 float64) {
	slices.Sort(d)
	return d[len(d)/2].Seconds() * 1e3, d[len(d)*95/100].Seconds() * 1e3
}

func cpu() time.Duration {
	var r syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func profile(b *testing.B, name string, do func()) {
	if dir := os.Getenv("KITH_SEARCH_PROFILE"); dir != "" {
		f, err := os.Create(filepath.Join(dir, name+".pprof"))
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			b.Fatal(err)
		}
		defer pprof.StopCPUProfile()
	}
	do()
}

// catalogue returns n records: every package that apt knows as the files that Debian's archive has of it, for each architecture and as source, and every file that is installed
// here. They are in an order that has nothing to do with their names.
func catalogue(b *testing.B, n int) []Doc {
	out, err := exec.Command("apt-cache", "dumpavail").Output()
	if err != nil {
		b.Skipf("not measured: the names come from apt, which this computer does not have: %v", err)
	}
	var docs []Doc
	rnd := rand.New(rand.NewPCG(1, 2))
	add := func(name, kind, text string, size int64, tags ...string) {
		docs = append(docs, Doc{ID: fmt.Sprintf("record-%d", len(docs)), Root: root(name), Name: name, Type: kind, Text: text, Size: size, Tags: tags, Language: "en",
			Publisher: fmt.Sprintf("publisher-%d", rnd.IntN(2000)), Published: now.Add(-time.Duration(rnd.IntN(3*365*24)) * time.Hour)})
	}
	for _, record := range bytes.Split(out, []byte("\n\n")) {
		field := map[string]string{}
		for line := range strings.Lines(string(record)) {
			if k, v, ok := strings.Cut(strings.TrimSpace(line), ": "); ok && line[0] != ' ' {
				field[k] = v
			}
		}
		name, version, size := field["Package"], field["Version"], field["Size"]
		if name == "" {
			continue
		}
		bytes, _ := strconv.ParseInt(size, 10, 64)
		tags := []string{field["Section"]}
		for _, t := range strings.Split(field["Tag"], ", ") {
			if _, v, ok := strings.Cut(t, "::"); ok && len(tags) < 5 {
				tags = append(tags, v)
			}
		}
		for _, arch := range []string{"amd64", "arm64", "armel", "armhf", "i386", "mips64el", "mipsel", "ppc64el", "s390x", "riscv64", "loong64"} {
			add(fmt.Sprintf("%s_%s_%s.deb", name, version, arch), query.Program, field["Description"], bytes, tags...)
		}
		for _, end := range []string{".dsc", ".orig.tar.gz", ".debian.tar.xz"} {
			add(name+"_"+version+end, query.Archive, field["Description"], bytes, tags...)
		}
	}
	lists, _ := filepath.Glob("/var/lib/dpkg/info/*.list")
	for _, list := range lists {
		f, err := os.Open(list)
		if err != nil {
			b.Fatal(err)
		}
		for s := bufio.NewScanner(f); s.Scan(); {
			add(filepath.Base(s.Text()), query.Other, s.Text(), rnd.Int64N(1<<uint(10+rnd.IntN(20))))
		}
		f.Close()
	}
	rnd.Shuffle(len(docs), func(i, j int) { docs[i], docs[j] = docs[j], docs[i] })
	if len(docs) < n {
		b.Fatalf("only %d records", len(docs))
	}
	return docs[:n]
}

type asked struct {
	kind string
	q    query.Query
	o    SearchOptions
}

// mix returns queries: of each ten, three of two or three words of a record's name or description, one of a single word of one, two of words that a tenth of all records have (one
// such word, or two, or one beside a rare one), one with a mistake in a word, one phrase of a description, one of a word with filters and a sort, one that is being typed.
func mix(b *testing.B, x *Index, docs []Doc, rounds int) []asked {
	rnd := rand.New(rand.NewPCG(3, 4))
	var hot []string
	rows, err := x.db.Query("SELECT term FROM term WHERE docs >= ? AND length(term) > 2", len(docs)/10)
	if err != nil {
		b.Fatal(err)
	}
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			b.Fatal(err)
		}
		hot = append(hot, s)
	}
	rows.Close()
	b.Logf("words in a tenth of the records: %q", hot)
	text := func() []string {
		for {
			d := docs[rnd.IntN(len(docs))]
			if w := words.Sequence(d.Name + " " + d.Text); len(w) > 6 {
				return w
			}
		}
	}
	word := func() string {
		for {
			if w := text(); len(w[rnd.IntN(len(w))]) > 3 {
				return slices.MaxFunc(w[:3], func(a, b string) int { return len(a) - len(b) })
			}
		}
	}
	var out []asked
	ask := func(kind, text string, o ...SearchOptions) {
		q, err := query.Parse(text)
		if err != nil {
			return
		}
		out = append(out, asked{kind, q, append(o, SearchOptions{})[0]})
	}
	for i := range rounds {
		for range 3 {
			w := text()
			k := 2 + rnd.IntN(2)
			rnd.Shuffle(len(w), func(i, j int) { w[i], w[j] = w[j], w[i] })
			ask("words", strings.Join(w[:k], " "))
		}
		ask("word", word())
		h := hot[rnd.IntN(len(hot))]
		ask("hot", []string{h, h + " " + hot[rnd.IntN(len(hot))]}[i%2])
		ask("hot+rare", h+" "+word())
		w := []rune(word())
		w[rnd.IntN(len(w))] = 'x'
		ask("typo", string(w))
		seq := words.Sequence(docs[rnd.IntN(len(docs))].Text)
		if len(seq) > 3 {
			ask("phrase", `"`+strings.Join(seq[1:3], " ")+`"`)
		}
		ask("filtered", h+" "+[]string{"type:program size:>1MB", "type:archive sort:size", "age:<90d sort:age", "age:>1y size:<100kB", "tag:devel sort:sources"}[i%5])
		w = []rune(word())
		ask("typing", h+" "+string(w[:min(len(w), 3)]), SearchOptions{Typing: true})
	}
	return out
}
