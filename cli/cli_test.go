package cli_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"kith"
	"kith/api"
	"kith/app"
	"kith/cli"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"kith": func() {
			os.Exit(cli.Run(context.Background(), cli.Program{Apps: fakeApps(), Version: "1.2.3"}, os.Args[1:]))
		},
	})
}

// TestScripts runs the command lines in testdata/script against a real interface, with applications that only echo.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("KITH_DIR", filepath.Join(env.WorkDir, "data"))
			env.Setenv("NO_COLOR", "1")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"node": startNode, "code": exitCode},
	})
}

// startNode serves the fake applications for the rest of the script: node [DIR].
func startNode(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.Getenv("KITH_DIR")
	if len(args) > 0 {
		dir = ts.MkAbs(args[0])
	}
	ts.Check(os.MkdirAll(dir, 0o700))
	s, err := api.New(api.Options{Addr: "127.0.0.1:0", Dir: dir, Apps: fakeApps()})
	ts.Check(err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	ts.Defer(func() {
		cancel()
		ts.Check(<-done)
	})
}

// exitCode runs a command that must end with a code: code N command….
func exitCode(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

type none struct{}

type shareIn struct {
	Paths   []string `json:"paths" arg:"0" path:"true" doc:"files and folders to share"`
	For     string   `json:"for,omitempty" enum:"link,contacts,public" default:"link" doc:"who may fetch it"`
	Private bool     `json:"private,omitempty" doc:"encrypt it"`
	Output  string   `json:"output,omitempty" short:"o" path:"true" doc:"where to put it"`
	MaxRate int64    `json:"max_rate,omitempty" doc:"bytes a second"`
	Tag     []string `json:"tag,omitempty" doc:"what to call it"`
}

type shareOut struct {
	In   *shareIn `json:"in,omitempty"`
	Done int64    `json:"done"`
	Link string   `json:"link,omitempty"`
}

func (o shareOut) Progress() app.Progress {
	return app.Progress{Label: "film.mkv", Done: o.Done, Total: 100}
}
func (o shareOut) Result() any { return map[string]any{"link": o.Link, "in": o.In} }
func (o *shareOut) WriteText(w io.Writer, width int) error {
	_, err := fmt.Fprintf(w, "%s\n", o.Link)
	return err
}

func share(_ context.Context, in shareIn) iter.Seq2[shareOut, error] {
	return func(yield func(shareOut, error) bool) {
		if yield(shareOut{Done: 50}, nil) {
			yield(shareOut{Done: 100, Link: "magnet:?xt=1&dn=x", In: &in}, nil)
		}
	}
}

type kindIn struct {
	Kind int    `json:"kind" arg:"0" doc:"number of the kind of error"`
	Text string `json:"text,omitempty" arg:"1" doc:"what it says"`
}

func fail(_ context.Context, in kindIn) (none, error) {
	err := fmt.Errorf("files: fail %s: %w", in.Text, kith.Kind(in.Kind))
	return none{}, kith.Hint(err, "try: kith ls")
}

type item struct {
	Name  string   `json:"name"`
	Size  int64    `json:"size"`
	Ready bool     `json:"ready"`
	Ref   kith.Ref `json:"ref"`
}

type lsIn struct {
	Only string `json:"only,omitempty" doc:"part of the name"`
}

type lsOut struct {
	Items []item `json:"items"`
	Free  int64  `json:"free_bytes"`
}

func ls(context.Context, lsIn) (lsOut, error) {
	return lsOut{Items: []item{{"film \x1b[2J\u202eexe.mkv", 5, true, kith.RawRef([32]byte{1})}, {"b", 0, false, kith.Ref{}}}, Free: 7}, nil
}

func (o lsOut) Suggest() []string { return []string{"film.mkv", "b"} }

type pickIn struct {
	Ref string `json:"ref" arg:"0" suggest:"ls" doc:"one of what ls lists"`
}

type confirmIn struct {
	Words      []string `json:"words" arg:"0" doc:"the words"`
	Keep       bool     `json:"keep,omitempty" doc:"keep the key"`
	Passphrase string   `json:"passphrase,omitempty" secret:"new" with:"keep" doc:"passphrase"`
}

type restoreIn struct {
	Phrase []string `json:"phrase" secret:"true" doc:"recovery phrase"`
}

func wait(ctx context.Context, _ none) iter.Seq2[tick, error] {
	return func(yield func(tick, error) bool) {
		if yield(tick{1}, nil) {
			<-ctx.Done()
			yield(tick{}, ctx.Err())
		}
	}
}

type tick struct {
	N int `json:"n"`
}

func count(_ context.Context, _ none) iter.Seq2[tick, error] {
	return func(yield func(tick, error) bool) {
		for n := range 3 {
			if !yield(tick{n + 1}, nil) {
				return
			}
		}
	}
}

func echo[T any](_ context.Context, in T) (T, error) { return in, nil }

func fakeApps() []app.App {
	lsOp := app.NewOp("ls", "List what is here", ls)
	lsOp.Query = true
	shareOp := app.NewStreamOp("share", "Share files where they are", share)
	shareOp.Example = "kith share film.mkv\nkith share --private letters"
	hidden := app.NewOp("secret-door", "Never seen", echo[none])
	hidden.Hidden = true
	return []app.App{
		{Name: "files", Help: "Files", Root: true, Ops: []app.Op{
			shareOp, lsOp, app.NewOp("fail", "Fail", fail), hidden,
			app.NewOp("pick", "Pick one", echo[pickIn]), app.NewStreamOp("wait", "Wait for ever", wait), app.NewStreamOp("count", "Count to three", count),
			app.NewOp("id", "Who this is", echo[none]),
			app.NewOp("id confirm", "Prove it", echo[confirmIn]), app.NewOp("id restore", "Come back", echo[restoreIn]),
			app.NewOp("pack", "Pack files", echo[shareIn]), app.NewOp("pack list", "What is packed", echo[none]),
		}},
		{Name: "vault", Help: "Keep secrets", Ops: []app.Op{app.NewOp("put", "Put one in", echo[none])}},
	}
}

// A second application of the same command is a mistake that must be seen at once.
func TestTwoCommandsOfOneName(t *testing.T) {
	var out, errs bytes.Buffer
	apps := append(fakeApps(), app.App{Name: "more", Root: true, Ops: []app.Op{app.NewOp("ls", "", ls)}})
	code := cli.Run(t.Context(), cli.Program{Apps: apps, Stdout: &out, Stderr: &errs}, []string{"ls"})
	if code != kith.Exists.ExitCode() || !strings.Contains(errs.String(), `two commands "kith ls"`) {
		t.Errorf("code %d, stderr %q", code, errs.String())
	}
}

// An interrupt ends the operation at the node too, and the command with 130.
func TestInterrupt(t *testing.T) {
	dir := t.TempDir()
	s, err := api.New(api.Options{Addr: "127.0.0.1:0", Dir: dir, Apps: fakeApps()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	defer func() {
		cancel()
		<-done
	}()
	r, w := io.Pipe()
	code := make(chan int)
	go func() {
		code <- cli.Run(t.Context(), cli.Program{Apps: fakeApps(), Stdout: w, Stderr: io.Discard}, []string{"wait", "--dir", dir})
		w.Close()
	}()
	if line, err := bufio.NewReader(r).ReadString('\n'); line != "n:  1\n" {
		t.Fatalf("first value: %q, %v", line, err)
	}
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Signal(os.Interrupt)
	}
	if err != nil {
		t.Fatal(err)
	}
	go io.Copy(io.Discard, r)
	if got := <-code; got != 130 {
		t.Errorf("exit code %d, want 130", got)
	}
}
