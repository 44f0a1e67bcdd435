package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"kith"
	"kith/api"
	"kith/cli"
	"kith/lab"
	"kith/lab/scenario"
)

// labCommands are the commands for a lab that runs.
func labCommands() []*cobra.Command {
	who := &cobra.Command{
		Use: "who", Short: "list the neighbours of the lab that runs, and what they share", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withLab(cmd, func(ctx context.Context, c *api.Client) error {
				s, err := api.Do[struct{}, lab.Summary](ctx, c, "lab", "who", struct{}{})
				if err != nil {
					return err
				}
				return cli.Print(cmd, whoOut(s))
			})
		},
	}
	page := labVerb("page WHO", "open a neighbour's own page", cobra.ExactArgs(1), func(ctx context.Context, c *api.Client, args []string) (any, error) {
		p, err := api.Do[lab.ShareIn, lab.PageOut](ctx, c, "lab", "page", lab.ShareIn{Who: args[0]})
		return p, err
	})
	list := []*cobra.Command{who, page}
	for verb, help := range map[string]string{"kill": "take neighbours away, without a word to the others", "revive": "bring neighbours back"} {
		list = append(list, labVerb(verb+" WHO…", help, cobra.MinimumNArgs(1), func(ctx context.Context, c *api.Client, args []string) (any, error) {
			return api.Do[lab.WhoIn, lab.DoneOut](ctx, c, "lab", verb, lab.WhoIn{Who: args})
		}))
	}
	return append(list,
		labVerb("share WHO", "let a neighbour share another sample", cobra.ExactArgs(1), func(ctx context.Context, c *api.Client, args []string) (any, error) {
			return api.Do[lab.ShareIn, lab.DoneOut](ctx, c, "lab", "share", lab.ShareIn{Who: args[0]})
		}),
		labVerb("get WHAT WHO…", "let neighbours fetch something that is shared", cobra.MinimumNArgs(2), func(ctx context.Context, c *api.Client, args []string) (any, error) {
			return api.Do[lab.GetIn, lab.DoneOut](ctx, c, "lab", "get", lab.GetIn{What: args[0], Who: args[1:]})
		}))
}

func labVerb(use, help string, args cobra.PositionalArgs, do func(context.Context, *api.Client, []string) (any, error)) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: help, Args: args,
		Long: help + ", in the lab that runs on this computer (or in --dir). WHO is a number, a name, a group, or all.",
		RunE: func(cmd *cobra.Command, args []string) error {
			return withLab(cmd, func(ctx context.Context, c *api.Client) error {
				out, err := do(ctx, c, args)
				if err != nil {
					return err
				}
				if d, ok := out.(lab.DoneOut); ok {
					out = doneOut(d)
				}
				return cli.Print(cmd, out)
			})
		},
	}
}

// withLab finds the lab that runs: in --dir, or the only one among the temporary folders.
func withLab(cmd *cobra.Command, do func(context.Context, *api.Client) error) error {
	dirs := []string{cli.Dir(cmd)}
	if !cmd.Flags().Changed("dir") {
		dirs, _ = filepath.Glob(filepath.Join(os.TempDir(), lab.TempName+"*"))
	}
	var found []*api.Client
	var where []string
	for _, dir := range dirs {
		c, err := api.Dial(dir)
		if err != nil {
			continue
		}
		defer c.Close()
		if _, err := api.Do[struct{}, lab.Summary](cmd.Context(), c, "lab", "who", struct{}{}); err == nil {
			found, where = append(found, c), append(where, dir)
		}
	}
	switch len(found) {
	case 0:
		return kith.Hint(fmt.Errorf("lab: none runs here: %w", kith.Unavailable), "start one with: kith lab; one with a folder of its own is found with --dir")
	case 1:
		return do(cmd.Context(), found[0])
	}
	return kith.Hint(fmt.Errorf("lab: %d run here: %w", len(found), kith.Invalid), "say which: --dir %s", strings.Join(where, ", or --dir "))
}

// doneOut is how it is told what was done.
type doneOut lab.DoneOut

// WriteText implements app.Texter.
func (d doneOut) WriteText(w io.Writer, _ int) error {
	what := strings.Join(d.Done, ", ")
	if d.What != "" {
		what += ": " + d.What
	}
	if what == "" {
		what = "nobody: it was so already"
	}
	_, err := fmt.Fprintln(w, what)
	return err
}

// whoOut lists neighbours.
type whoOut lab.Summary

// WriteText implements app.Texter.
func (s whoOut) WriteText(w io.Writer, _ int) error {
	for _, n := range s.Neighbours {
		state := ""
		if len(n.Addrs) == 0 {
			state = "away"
		}
		fmt.Fprintf(w, "%4d  %-12s %-12s %-10s %s\n", n.Number, n.Name, n.NAT, n.Group, state)
	}
	for _, x := range s.Samples {
		fmt.Fprintf(w, "      %s shares %s\n", s.Neighbours[x.Owner].Name, x.Name)
	}
	return nil
}

// A scenarioOut is a scenario that comes with the program.
type scenarioOut struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	About string `json:"about"`
	Nodes int    `json:"nodes"`
	Lasts string `json:"lasts"`
}

type scenariosOut []scenarioOut

// WriteText implements app.Texter.
func (list scenariosOut) WriteText(w io.Writer, _ int) error {
	for _, s := range list {
		fmt.Fprintf(w, "%-16s %d neighbours, %s\n    %s\n", s.Name, s.Nodes, s.Lasts, s.About)
	}
	_, err := fmt.Fprintln(w, "\nkith lab --scenario NAME runs one; docs/lab.md tells how to write one.")
	return err
}

func listScenarios(cmd *cobra.Command) error {
	var list scenariosOut
	for _, name := range scenario.Names() {
		s, err := scenario.Load(name)
		if err != nil {
			return err
		}
		list = append(list, scenarioOut{name, s.Title, s.About, s.Size(), s.End().String()})
	}
	return cli.Print(cmd, list)
}
