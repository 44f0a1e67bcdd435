package cli

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kith"
	"kith/api"
	"kith/app"
)

// addApp adds the commands of an application: at the top if it is a Root, else under its name. The words of an operation's name nest.
func addApp(root *cobra.Command, a app.App) error {
	top, group := root, a.Name
	switch {
	case !slices.ContainsFunc(a.Ops, func(op app.Op) bool { return !op.Hidden }):
		return nil
	case a.Root:
		root.AddGroup(&cobra.Group{ID: group, Title: sentence(a.Help) + ":"})
	default:
		top, group = child(root, a.Name), ""
		top.Short = a.Help
		top.GroupID = appsGroup
	}
	for _, op := range a.Ops {
		if op.Hidden {
			continue
		}
		cmd := top
		for i, word := range strings.Fields(op.Name) {
			cmd = child(cmd, word)
			if i == 0 && cmd.GroupID == "" && group != "" {
				cmd.GroupID = group
			}
		}
		if cmd == top || cmd.Annotations[annotation] != "" {
			return fmt.Errorf("cli: two commands %q: %w", cmd.CommandPath(), kith.Exists)
		}
		if err := setOp(cmd, a, op); err != nil {
			return err
		}
	}
	for word, help := range a.Groups {
		child(top, word).Short = help
	}
	for _, c := range top.Commands() {
		if c.Short == "" && c.Annotations[onlyGroup] != "" {
			return fmt.Errorf("cli: nothing says what the commands %q are for: %w", c.CommandPath(), kith.Invalid)
		}
	}
	return nil
}

// Annotations mark a command that is an operation, by its name, and one that does nothing itself.
const (
	annotation = "op"
	onlyGroup  = "group"
)

// child returns the subcommand of that name, a new one that only shows its help if there is none.
func child(parent *cobra.Command, name string) *cobra.Command {
	for _, c := range parent.Commands() {
		if c.Name() == name {
			return c
		}
	}
	c := newGroup(name)
	parent.AddCommand(c)
	return c
}

// newGroup returns a command that has subcommands and does nothing itself.
func newGroup(name string) *cobra.Command {
	c := &cobra.Command{Use: name, SuggestionsMinimumDistance: 2, DisableFlagsInUseLine: true, Annotations: map[string]string{onlyGroup: "yes"}}
	c.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		return unknownCommand(cmd, args)
	}
	c.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	return c
}

func unknownCommand(cmd *cobra.Command, args []string) error {
	hint := "see: " + cmd.CommandPath() + " --help"
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = "did you mean: " + cmd.CommandPath() + " " + near[0]
	} else if words := asWords(cmd, args); words != "" {
		hint = words
	}
	return kith.Hint(fmt.Errorf("%s has no command %q: %w", cmd.CommandPath(), args[0], kith.Invalid), "%s", hint)
}

// asWords says what to type where the name of a command was meant as a word for the command above it: kith search hidden figures. It is empty where that takes no words.
func asWords(cmd *cobra.Command, args []string) string {
	above := cmd.Parent()
	if above == nil || !strings.Contains(above.Use, "...") {
		return ""
	}
	return "if " + cmd.Name() + " is one of the words: " + above.CommandPath() + " -- " + strings.Join(append([]string{cmd.Name()}, args...), " ")
}

// setOp makes of a command an operation.
func setOp(cmd *cobra.Command, a app.App, op app.Op) error {
	in, err := newInput(op)
	if err != nil {
		return fmt.Errorf("cli: operation %s %s: %w", a.Name, op.Name, err)
	}
	in.app = a
	cmd.Use = strings.TrimSpace(cmd.Name() + " " + in.usage())
	cmd.Short, cmd.Long, cmd.Example = op.Help, op.Long, indent(op.Example)
	cmd.Annotations = map[string]string{annotation: a.Name + " " + op.Name}
	cmd.DisableFlagsInUseLine = true
	if err := in.addFlags(cmd); err != nil {
		return fmt.Errorf("cli: operation %s %s: %w", a.Name, op.Name, err)
	}
	cmd.Args = in.check
	cmd.ValidArgsFunction = in.complete
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := api.Dial(Dir(cmd))
		if err != nil {
			return err
		}
		defer c.Close()
		values, err := in.values(cmd, args)
		if err != nil {
			return err
		}
		return carryOut(cmd, c, a.Name, op, values)
	}
	return nil
}

// carryOut calls the operation, shows its progress and prints its result.
func carryOut(cmd *cobra.Command, c *api.Client, appName string, op app.Op, values map[string]any) error {
	bar, seen := newBar(cmd.ErrOrStderr()), newPreview(cmd.OutOrStdout())
	defer bar.clear()
	var last any
	for v, err := range c.Call(cmd.Context(), appName, op, values) {
		if err != nil {
			return err
		}
		p, moves := as[app.Progresser](v)
		switch {
		case moves:
			if err := foresee(cmd, v, bar, seen); err != nil {
				return err
			}
			bar.draw(p.Progress())
		case op.Stream && !JSON(cmd):
			if err := Print(cmd, v); err != nil {
				return err
			}
			continue
		}
		last = v
	}
	bar.clear()
	if last == nil {
		return nil
	}
	seen.clear()
	return Print(cmd, last)
}

// foresee shows what a person wants to see before the stream ends, if they sit at a terminal.
func foresee(cmd *cobra.Command, v any, bar *bar, seen *preview) error {
	p, ok := as[app.Previewer](v)
	t, texts := as[app.Texter](v)
	if !ok || !texts || JSON(cmd) || !p.Preview() {
		return nil
	}
	bar.clear() // which stands below, and again at once
	bar.drawn = time.Time{}
	return seen.show(t)
}

func indent(text string) string {
	if text == "" {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i, line := range lines {
		lines[i] = "  " + strings.TrimSpace(line)
	}
	return strings.Join(lines, "\n")
}

// isTerminal reports whether f is one that a person sits at.
func isTerminal(f any) bool {
	file, ok := f.(*os.File)
	return ok && terminal(file)
}
