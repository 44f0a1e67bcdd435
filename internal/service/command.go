package service

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"
)

// Command returns kith service and its three commands. It reads the flags --dir and --json, which the root command has.
func Command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "service",
		Short: "have a node start by itself when you log in",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(installCommand(), action("uninstall", "take back all that kith service install did", installer.uninstall),
		action("status", "show whether a node starts by itself, and runs", installer.status))
	return cmd
}

func installCommand() *cobra.Command {
	var magnet, show bool
	cmd := action("install", "have a node start by itself when you log in", func(in installer) (Report, error) { return in.install(magnet) })
	cmd.Example = "  kith service install\n  kith service install --print\n  kith service install --magnet"
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if !show {
			return run(cmd, args)
		}
		in, err := newInstaller(cmd)
		if err != nil {
			return err
		}
		return in.show(cmd.OutOrStdout(), magnet)
	}
	cmd.Flags().BoolVar(&magnet, "magnet", false, "also open magnet links with Kith (Linux)")
	cmd.Flags().BoolVar(&show, "print", false, "show what would be written, and write nothing")
	return cmd
}

func action(use, short string, do func(installer) (Report, error)) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.NoArgs, Example: "  kith service " + use,
		RunE: func(cmd *cobra.Command, _ []string) error {
			in, err := newInstaller(cmd)
			if err != nil {
				return err
			}
			r, err := do(in)
			if asJSON, _ := cmd.Flags().GetBool("json"); err == nil && asJSON {
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetIndent("", "  ")
				return e.Encode(r)
			}
			if err != nil { // what was done is told even when the rest failed
				r.writeDeeds(cmd.ErrOrStderr())
				return err
			}
			return r.WriteText(cmd.OutOrStdout())
		},
	}
}

func newInstaller(cmd *cobra.Command) (installer, error) {
	dir, err := cmd.Flags().GetString("dir")
	if err == nil {
		dir, err = filepath.Abs(dir)
	}
	if err != nil {
		return installer{}, fmt.Errorf("service: find the data directory: %w", err)
	}
	p, err := here(dir)
	return installer{p, runCommand}, err
}

// show writes what install would write.
func (in installer) show(w io.Writer, magnet bool) error {
	m, err := managerOf(in.place)
	if err != nil {
		return err
	}
	files := []file{m.unit}
	if magnet {
		more, err := in.magnetFiles()
		if err != nil {
			return err
		}
		files = append(files, more...)
	}
	for n, f := range files {
		if n > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "--- %s\n%s", f.path, f.text)
	}
	return nil
}

// WriteText writes the report for a person.
func (r Report) WriteText(w io.Writer) error {
	var b bytes.Buffer
	r.writeDeeds(&b)
	switch {
	case len(r.Removed) > 0:
		fmt.Fprintln(&b, "Kith no longer starts by itself. Your data directory is as it was.")
	case r.Enabled && r.Running:
		fmt.Fprintf(&b, "Kith starts when you log in (%s), and runs now.\n", r.Manager)
	case r.Enabled:
		fmt.Fprintf(&b, "Kith starts when you log in (%s); it does not run now.\n", r.Manager)
	default:
		fmt.Fprintln(&b, "Kith does not start by itself. To change that: kith service install")
	}
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "Note: %s\n", n)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// writeDeeds writes what was done, a line each.
func (r Report) writeDeeds(w io.Writer) {
	for _, list := range []struct {
		label string
		lines []string
	}{{"wrote", r.Wrote}, {"kept", r.Kept}, {"removed", r.Removed}, {"ran", r.Ran}} {
		for _, line := range list.lines {
			fmt.Fprintf(w, "%-8s %s\n", list.label, line)
		}
	}
}
