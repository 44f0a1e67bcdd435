package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"kith"
	"kith/apps"
	"kith/cli"
	"kith/lab"
	"kith/lab/scenario"
	"kith/web"
)

// unwatched is how long a lab that a page started goes on when nobody looks at it.
const unwatched = 10 * time.Minute

func labOptions() lab.Options {
	return lab.Options{Apps: apps.New, Page: web.FS(), Version: buildVersion()}
}

// labs is the lab that the page of a node may start beside it. There is one at most.
type labs struct {
	mu     sync.Mutex
	lab    *lab.Lab
	closed bool
}

// start returns an address of the lab's page, after starting it if it does not run.
func (l *labs) start(ctx context.Context, nodes int) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lab != nil {
		select {
		case <-l.lab.Done():
		default:
			return l.lab.URL(), nil
		}
	}
	if l.closed {
		return "", context.Canceled
	}
	o := labOptions()
	o.Nodes, o.Idle = nodes, unwatched
	var err error
	if l.lab, err = lab.Open(ctx, o); err != nil {
		l.lab = nil
		return "", err
	}
	return l.lab.URL(), nil
}

func (l *labs) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.lab != nil {
		l.lab.Close()
	}
}

// labFlags are the flags of kith lab.
type labFlags struct {
	o        lab.Options
	shape    scenario.Scenario // what the flags say of lines, routers and churn
	scenario string
	noOpen   bool
}

// shaping are the flags that give the neighbours an internet of their own.
var shaping = []string{"latency", "loss", "nat", "churn", "seed"}

func labCommand() *cobra.Command {
	f := labFlags{o: labOptions()}
	f.shape.Life = true
	cmd := &cobra.Command{
		Use:   "lab",
		Short: "watch pretend neighbours share with each other",
		Long: "Starts pretend neighbours in one process, each of them a real node, who share samples with each other, and opens a page that\n" +
			"shows them, takes them away and brings them back. It runs until Ctrl-C, and leaves nothing behind unless --dir says where to live.\n\n" +
			"Without more they are on this computer's loopback, where your own node can join them: fetch one of the links that are printed.\n" +
			"With --latency, --loss, --nat, --churn or a --scenario they have an internet of their own inside the process, with long and lossy\n" +
			"lines and with routers before some, and nobody from outside sees them.\n\n" +
			"A scenario is a file that says what happens and what must come of it: the command then fails when something does not.",
		Example: "  kith lab\n  kith lab --nodes 50 --latency 20ms..150ms --loss 1% --nat 40% --churn 10/min\n" +
			"  kith lab --scenario list\n  kith lab --scenario flash-crowd --seed 3\n  kith lab kill 7",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.scenario == "list" {
				return listScenarios(cmd)
			}
			if cmd.Flags().Changed("dir") { // the default is where the user's own node lives
				f.o.Dir = cli.Dir(cmd)
			}
			if err := f.invent(cmd); err != nil {
				return err
			}
			return runLab(cmd, f.o, f.noOpen)
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&f.o.Nodes, "nodes", lab.DefaultNodes, fmt.Sprintf("how many, 2 to %d, or to %d on an internet of their own", lab.MaxNodes, scenario.MaxNodes))
	flags.TextVar(&f.shape.Latency, "latency", scenario.Range{}, "round trip between two, `RANGE` such as 20ms..150ms")
	flags.TextVar(&f.shape.Loss, "loss", scenario.Part(0), "`PART` of the packets that is lost, such as 1%")
	flags.TextVar(&f.shape.NAT, "nat", scenario.NAT{}, "`PART` of the neighbours that is behind routers, such as 40%, or the kind of router that all are behind")
	flags.TextVar(&f.shape.Churn, "churn", scenario.Rate(0), "`RATE` at which neighbours go away and come back, such as 10/min")
	flags.Uint64Var(&f.shape.Seed, "seed", 0, "the same `NUMBER` gives the same lines, routers and churn (default: drawn, and printed)")
	flags.StringVar(&f.scenario, "scenario", "", "`FILE` of a scenario, or the name of one that comes with the program; list tells of these")
	flags.BoolVar(&f.o.Stay, "stay", false, "go on when the scenario is over")
	flags.StringVar(&f.o.Network, "network", "", "`NAME` of the network (default kith, so that your own node can join them)")
	flags.StringVar(&f.o.Overlay, "overlay", "", "how they find who has what: `NAME` kad-dht, chord, kademlia or pastry (default kad-dht)")
	flags.BoolVar(&f.noOpen, "no-open", false, "do not open the page")
	cmd.AddCommand(labCommands()...)
	return cmd
}

// invent makes of the flags what lab to start.
func (f *labFlags) invent(cmd *cobra.Command) error {
	given := func(name string) bool { return cmd.Flags().Changed(name) }
	switch shaped := slices.ContainsFunc(shaping, given); {
	case f.scenario != "":
		s, err := scenario.Load(f.scenario)
		if err != nil {
			return err
		}
		for _, name := range append([]string{"nodes"}, shaping...) {
			if name != "seed" && given(name) {
				return kith.Hint(fmt.Errorf("lab: --%s and --scenario: %w", name, kith.Invalid), "the scenario says it; only --seed goes with one")
			}
		}
		if given("seed") {
			s.Seed = f.shape.Seed
		}
		f.o.Scenario = &s
	case shaped:
		f.shape.Nodes = f.o.Nodes
		if !given("seed") {
			f.shape.Seed = rand.Uint64N(1 << 32)
		}
		f.o.Scenario = &f.shape
	}
	return nil
}

func runLab(cmd *cobra.Command, o lab.Options, noOpen bool) error {
	if term.IsTerminal(int(os.Stderr.Fd())) && !cli.JSON(cmd) {
		o.Ready = func(done, of int) {
			fmt.Fprintf(cmd.ErrOrStderr(), "\r%d of %d neighbours have moved in", done, of)
			if done == of {
				fmt.Fprintln(cmd.ErrOrStderr())
			}
		}
	}
	out := &labPrinter{cmd: cmd}
	o.Tell = out.tell
	l, err := lab.Open(cmd.Context(), o)
	if err != nil {
		return err
	}
	defer l.Close()
	if err := out.begin(l, !noOpen); err != nil {
		return err
	}
	select {
	case <-cmd.Context().Done():
	case <-l.Done():
	}
	err = l.Close()
	if r := l.Result(); r != nil {
		if err := cli.Print(cmd, labResult(*r)); err != nil {
			return err
		}
		if !r.OK {
			return kith.Hint(fmt.Errorf("lab: the scenario did not come out as expected: %w", kith.Unavailable), "kith lab --scenario … --seed %d --stay leaves it there to look at", r.Seed)
		}
	}
	return err
}

// A labPrinter prints what a lab is, and then what happens in it: a line each with --json, and with a scenario. What happens before the lab is
// up waits.
type labPrinter struct {
	cmd *cobra.Command

	mu     sync.Mutex
	up     bool
	lines  bool
	before []lab.Happening
}

func (p *labPrinter) begin(l *lab.Lab, open bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := l.Summary()
	if err := cli.Print(p.cmd, labOut(s)); err != nil {
		return err
	}
	if open {
		openBrowser(l.URL())
	}
	p.up, p.lines = true, cli.JSON(p.cmd) || s.Connect == ""
	for _, h := range p.before {
		p.print(h)
	}
	p.before = nil
	return nil
}

func (p *labPrinter) tell(h lab.Happening) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.up {
		p.before = append(p.before, h)
		return
	}
	p.print(h)
}

func (p *labPrinter) print(h lab.Happening) {
	w := p.cmd.OutOrStdout()
	switch {
	case !p.lines:
	case cli.JSON(p.cmd):
		if line, err := json.Marshal(h); err == nil {
			fmt.Fprintf(w, "%s\n", line)
		}
	default:
		fmt.Fprintf(w, "%6.1f s  %s\n", h.Seconds, h)
	}
}

// labOut is how a lab is told to a person.
type labOut lab.Summary

// WriteText implements app.Texter.
func (o labOut) WriteText(w io.Writer, _ int) error {
	fmt.Fprintf(w, "the lab is up; its page, for one use within a minute: %s\n\n", o.URL)
	if o.Connect == "" {
		return o.writeApart(w)
	}
	for _, s := range o.Samples {
		fmt.Fprintf(w, "  %s shares %s\n    kith get '%s'\n", o.Neighbours[s.Owner].Name, s.Name, s.Short)
	}
	_, err := fmt.Fprintf(w, "\nThe lines above work in your own node, once kith up runs; so does\n  kith connect %s\nCtrl-C ends the lab.\n", o.Connect)
	return err
}

// writeApart tells of a lab that has an internet of its own.
func (o labOut) writeApart(w io.Writer) error {
	kinds := map[string]int{}
	for _, n := range o.Neighbours {
		kinds[n.NAT]++
	}
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(kinds)) {
		parts = append(parts, fmt.Sprintf("%d %s", kinds[k], k))
	}
	if o.Title != "" {
		fmt.Fprintf(w, "  %s\n", o.Title)
	}
	_, err := fmt.Fprintf(w, "  %d neighbours: %s\n  seed %d\n  kith lab kill 7, revive 7, share 7, get WHAT 7; kith lab who lists them. Ctrl-C ends the lab.\n\n",
		len(o.Neighbours), strings.Join(parts, ", "), o.Seed)
	return err
}

// labResult is how a scenario's end is told to a person.
type labResult lab.Result

// WriteText implements app.Texter.
func (r labResult) WriteText(w io.Writer, _ int) error {
	fmt.Fprintf(w, "\n%s, seed %d, after %.0f s\n", cmp.Or(r.Title, "scenario"), r.Seed, r.Seconds)
	for _, l := range r.Lines {
		switch {
		case !l.Want && l.Is != "failed":
		case l.Is == "met":
			fmt.Fprintf(w, "  ok      %s: at %.1f s\n", l.Text, l.When)
		case l.Is == "missed":
			fmt.Fprintf(w, "  MISSED  %s: not %s\n", l.Text, l.Not)
		default:
			fmt.Fprintf(w, "  %-6s  %s\n", strings.ToUpper(l.Is), l.Text)
		}
	}
	return nil
}
