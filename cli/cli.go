// Package cli makes a command line of the operations of a node's applications.
//
// It holds no behaviour of its own: a command is an operation's help, its input's tags, one call to the running node, and its output
// written for a person or, with --json, for a program. Its one idea: stdout has the result and nothing else, stderr all that is said
// on the way, so that every command can stand in a pipe.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"kith"
	"kith/app"
	"kith/config"
	"kith/internal/plain"
)

// Program is what the command line is made of.
type Program struct {
	Apps     []app.App        // whose operations become commands
	Commands []*cobra.Command // further ones, which are no operation: up, lab, open; see Dir, Print
	Version  string
	Stdin    io.Reader // nil for that of the process, as with the next two
	Stdout   io.Writer
	Stderr   io.Writer
}

// Exit codes that are no kind of error; others are those of kith.Kind.
const (
	exitInterrupt = 130 // 128 + SIGINT
	exitTerminate = 143 // 128 + SIGTERM
)

// Run carries out one command line, without the program's name, and returns the exit code. An interrupt ends the command's context; a
// second one ends the process.
func Run(ctx context.Context, p Program, args []string) int {
	if p.Stdin == nil {
		p.Stdin = os.Stdin
	}
	if p.Stdout == nil {
		p.Stdout = os.Stdout
	}
	if p.Stderr == nil {
		p.Stderr = os.Stderr
	}
	ctx, caught := catch(ctx)
	root, err := newRoot(p)
	if err == nil {
		root.SetArgs(args)
		err = root.ExecuteContext(ctx)
	}
	if err == nil {
		return 0
	}
	if code := caught(); code != 0 && errors.Is(err, context.Canceled) {
		return code
	}
	Complain(p.Stderr, hintFor(root, err))
	return kith.KindOf(err).ExitCode()
}

// hintFor makes the commands in an error's hint work as they stand for who named a data directory with --dir.
func hintFor(root *cobra.Command, err error) error {
	h := kith.HintOf(err)
	if root == nil || !root.PersistentFlags().Changed("dir") || h == "" || strings.Contains(h, "--dir") {
		return err
	}
	dir, _ := root.PersistentFlags().GetString("dir")
	return kith.Hint(err, "%s", strings.ReplaceAll(h, "kith ", "kith --dir '"+dir+"' "))
}

// catch returns a context that ends at the first signal to stop, and what tells the exit code of that signal, 0 if none came.
func catch(ctx context.Context) (context.Context, func() int) {
	ctx, cancel := context.WithCancel(ctx)
	signals := make(chan os.Signal, 1)
	code := make(chan int, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	stop := context.AfterFunc(ctx, func() { signal.Stop(signals) })
	go func() {
		select {
		case s := <-signals:
			if s == os.Interrupt {
				code <- exitInterrupt
			} else {
				code <- exitTerminate
			}
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, func() int {
		stop()
		signal.Stop(signals)
		cancel()
		select {
		case c := <-code:
			return c
		default:
			return 0
		}
	}
}

// Complain writes an error as a person reads it, and what to do about it on a line of its own.
func Complain(w io.Writer, err error) {
	text := strings.TrimPrefix(err.Error(), "kith: ")
	if errors.Is(err, kith.Invalid) { // the word adds nothing to what is wrong
		text = strings.TrimSuffix(text, ": "+kith.Invalid.Error())
	}
	fmt.Fprintf(w, "kith: %s\n", plain.Lines(text))
	if h := kith.HintOf(err); h != "" {
		fmt.Fprintf(w, "      %s\n", plain.Lines(h))
	}
}

// Groups of commands in the help: those of the program itself, and applications that have a command of their own.
const (
	programGroup = "program"
	appsGroup    = "apps"
)

const long = `Kith shares files straight from person to person.

stdout has a command's result and nothing else; progress, questions and errors go to stderr. With --json the
result is one JSON document. A command ends with 0, or with the number of the kind of error:
1 internal, 2 invalid, 3 not found, 4 denied, 5 exists, 6 corrupt, 7 unavailable, 8 too large, 9 gone,
124 timed out, 130 interrupted.`

// newRoot makes the tree of commands.
func newRoot(p Program) (*cobra.Command, error) {
	root := newGroup("kith")
	root.Short, root.Long, root.Version = "Share files, straight from person to person", long, p.Version
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetIn(p.Stdin)
	root.SetOut(p.Stdout)
	root.SetErr(p.Stderr)
	root.SetVersionTemplate("kith {{.Version}}\n")
	// A command that only has subcommands is not shown as if it did something alone.
	root.SetUsageTemplate(strings.Replace(root.UsageTemplate(), "{{if .Runnable}}",
		`{{if and .Runnable (ne (index .Annotations "`+onlyGroup+`") "yes")}}`, 1))
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if bad := (*pflag.InvalidValueError)(nil); errors.As(err, &bad) {
			return kith.Hint(fmt.Errorf("--%s: %w", bad.GetFlag().Name, badValue(bad)), "see: %s --help", cmd.CommandPath())
		}
		return kith.Hint(fmt.Errorf("%w: %w", err, kith.Invalid), "see: %s --help (before a name that begins with a dash, put --)", cmd.CommandPath())
	})
	flags := root.PersistentFlags()
	flags.String("dir", config.DefaultDir(), "data directory of the node, also set by KITH_DIR")
	flags.Bool("json", false, "print one JSON document")
	if err := root.MarkPersistentFlagDirname("dir"); err != nil {
		return nil, err
	}
	if len(p.Commands) > 0 {
		root.AddGroup(&cobra.Group{ID: programGroup, Title: "Start and look:"})
	}
	for _, a := range p.Apps {
		if err := addApp(root, a); err != nil {
			return nil, err
		}
	}
	for _, c := range append(slices.Clone(p.Commands), manCommand()) {
		plainArgs(c)
		if len(p.Commands) > 0 && c.GroupID == "" {
			c.GroupID = programGroup
		}
		root.AddCommand(c)
	}
	nameOwnCommands(root)
	for _, c := range root.Commands() {
		if c.GroupID == appsGroup && !root.ContainsGroup(appsGroup) {
			root.AddGroup(&cobra.Group{ID: appsGroup, Title: "Applications:"})
		}
	}
	return root, nil
}

// badValue says what is wrong with what a flag was given.
func badValue(bad *pflag.InvalidValueError) error {
	err := errors.Unwrap(bad)
	if errors.Is(err, kith.Invalid) {
		return err
	}
	return fmt.Errorf("%q is no %s: %w", bad.GetValue(), bad.GetFlag().Value.Type(), kith.Invalid)
}

// nameOwnCommands gives the commands that cobra adds a place among the others, and words like theirs.
func nameOwnCommands(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		switch c.Name() {
		case "help":
			c.Short = "show help for a command"
		case "completion":
			c.Short = "print what makes a shell complete commands"
			c.Long = "Each shell's own help says how to load it: kith completion bash --help"
			for _, shell := range c.Commands() {
				shell.Short = "for " + shell.Name()
			}
		default:
			continue
		}
		if root.ContainsGroup(programGroup) {
			c.GroupID = programGroup
		}
	}
}

// plainArgs makes of cobra's complaints about the arguments of a command, and of its subcommands, errors of ours.
func plainArgs(c *cobra.Command) {
	check := c.Args
	if check == nil {
		check = cobra.ArbitraryArgs
	}
	c.Args = func(cmd *cobra.Command, args []string) error {
		err := check(cmd, args)
		if err == nil || errors.Is(err, kith.Invalid) {
			return err
		}
		if strings.HasPrefix(err.Error(), "unknown command") && len(args) > 0 { // of a command that takes none
			err = fmt.Errorf("it takes no argument %q", args[0])
		}
		return kith.Hint(fmt.Errorf("%s: %w: %w", cmd.CommandPath(), err, kith.Invalid), "see: %s --help", cmd.CommandPath())
	}
	for _, sub := range c.Commands() {
		plainArgs(sub)
	}
}

// Dir returns the data directory that a command is for.
func Dir(cmd *cobra.Command) string {
	dir, _ := cmd.Flags().GetString("dir")
	return absolute(dir)
}

// JSON reports whether a command's result is for a program.
func JSON(cmd *cobra.Command) bool {
	j, _ := cmd.Flags().GetBool("json")
	return j
}

func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}
