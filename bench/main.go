// Command bench measures whole Kith processes beside programs of others, and prints the tables of the project's numbers.
//
//	go run ./bench [-runs 3] [-write] [pair small share swarm scale bridges mix idle]
//
// A number is only worth something next to another of the same minute, so every table has a yardstick that runs in turn with
// what it measures, and gives ratios to it: medians of the runs. The binary is built first, unless KITH_BIN names one. Nodes run in
// network namespaces (lab/link), which takes Linux and root; without them pair, small and idle run on this computer's loopback.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// A benchmark is a table of the results: Run makes one line for each contestant, the yardstick first.
type benchmark struct {
	Name, About string
	Yardstick   string // what the ratio is to
	Run         func(context.Context, *bench) ([]line, error)
}

var benchmarks = []benchmark{pair, small, share, swarm, scale, bridges, mix, idle}

// bench is what every benchmark is given.
type bench struct {
	tmp  string // to work in; emptied after each run
	kith string // the binary
	mib  int64  // size of the large file in MiB
	only string // contestants whose names contain it, and yardsticks
}

// wants reports whether a contestant was asked for.
func (b *bench) wants(contestant string) bool { return strings.Contains(contestant, b.only) }

func main() {
	if len(os.Args) > 1 && tools[os.Args[1]] != nil {
		if err := tools[os.Args[1]](os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	runs := flags.Int("runs", 3, "how often each is run; the median counts")
	write := flags.Bool("write", false, "also write the tables to bench/results.md")
	dir := flags.String("dir", "", "where to make the files, 6 GiB at most; default: the temporary directory")
	mib := flags.Int64("mib", 1024, "size of the large file of pair, share and bridges in MiB; mix takes an eighth of it")
	only := flags.String("only", "", "only contestants whose name contains this, beside the yardsticks")
	if err := flags.Parse(args); err != nil {
		return err
	}
	chosen, err := choose(flags.Args())
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(*dir, "kith-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	b := &bench{tmp: tmp, mib: *mib, only: *only}
	if b.kith, err = binary(ctx, tmp); err != nil {
		return err
	}
	var out io.Writer = os.Stdout
	if *write {
		f, err := os.Create(filepath.Join("bench", "results.md"))
		if err != nil {
			return err
		}
		defer f.Close()
		fmt.Fprintf(f, "# What `make bench` printed\n\n%s. Machines differ: the ratios count, not the seconds.\n", machine())
		out = io.MultiWriter(os.Stdout, f)
	}
	for _, m := range chosen {
		if err := measure(ctx, b, m, *runs, out); err != nil {
			return fmt.Errorf("%s: %w", m.Name, err)
		}
	}
	return nil
}

func choose(names []string) ([]benchmark, error) {
	if len(names) == 0 {
		return benchmarks, nil
	}
	var chosen []benchmark
	for _, name := range names {
		i := slices.IndexFunc(benchmarks, func(m benchmark) bool { return m.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("no benchmark %q", name)
		}
		chosen = append(chosen, benchmarks[i])
	}
	return chosen, nil
}

// measure runs m several times and prints its table.
func measure(ctx context.Context, b *bench, m benchmark, runs int, out io.Writer) error {
	var all [][]line
	for i := range runs {
		fmt.Fprintf(os.Stderr, "%s: run %d of %d\n", m.Name, i+1, runs)
		work := *b
		work.tmp = filepath.Join(b.tmp, "run")
		if err := os.Mkdir(work.tmp, 0o755); err != nil {
			return err
		}
		lines, err := m.Run(ctx, &work)
		err = errors.Join(err, ctx.Err(), os.RemoveAll(work.tmp))
		if err != nil {
			return err
		}
		all = append(all, lines)
	}
	print(out, m, all)
	return nil
}

// binary returns the kith binary to measure.
func binary(ctx context.Context, tmp string) (string, error) {
	if path := os.Getenv("KITH_BIN"); path != "" {
		return filepath.Abs(path)
	}
	path := filepath.Join(tmp, "kith")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", path, "kith/cmd/kith").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build kith: %w\n%s", err, out)
	}
	return path, nil
}

// machine says in words what the numbers were measured on.
func machine() string {
	cpu := "unknown CPU"
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, rest, ok := strings.Cut(string(info), "model name"); ok {
			name, _, _ := strings.Cut(rest, "\n")
			cpu = strings.TrimLeft(name, "\t :")
		}
	}
	return fmt.Sprintf("Measured on %s with %d cores (%s), %s/%s, %s", time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), cpu, runtime.GOOS, runtime.GOARCH, runtime.Version())
}
