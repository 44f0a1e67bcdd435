package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"kith/apps"
	"kith/cli"
	"kith/lab"
)

// unwatched is how long a lab that a page started goes on when nobody looks at it.
const unwatched = 10 * time.Minute

func labOptions() lab.Options { return lab.Options{Apps: apps.New, Version: buildVersion()} }

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

func labCommand() *cobra.Command {
	o := labOptions()
	var noOpen bool
	cmd := &cobra.Command{
		Use:   "lab",
		Short: "watch pretend neighbours share with each other",
		Long: "Starts pretend neighbours in one process, each of them a real node on this computer's loopback, who share samples with each\n" +
			"other, and opens a page that shows them. It runs until Ctrl-C, and leaves nothing behind unless --dir says where to live.\n" +
			"Your own node can join them: fetch one of the links that are printed.",
		Example: "  kith lab\n  kith lab --nodes 12 --no-open",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("dir") { // the default is where the user's own node lives
				o.Dir = cli.Dir(cmd)
			}
			return runLab(cmd, o, noOpen)
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&o.Nodes, "nodes", lab.DefaultNodes, fmt.Sprintf("how many, 2 to %d", lab.MaxNodes))
	flags.StringVar(&o.Network, "network", "", "`NAME` of the network (default kith, so that your own node can join them)")
	flags.BoolVar(&noOpen, "no-open", false, "do not open the page")
	return cmd
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
	l, err := lab.Open(cmd.Context(), o)
	if err != nil {
		return err
	}
	defer l.Close()
	if err := cli.Print(cmd, labOut(l.Summary())); err != nil {
		return err
	}
	if !noOpen {
		openBrowser(l.URL())
	}
	select {
	case <-cmd.Context().Done():
	case <-l.Done():
	}
	return l.Close()
}

// labOut is how a lab is told to a person.
type labOut lab.Summary

// WriteText implements app.Texter.
func (o labOut) WriteText(w io.Writer, _ int) error {
	fmt.Fprintf(w, "the lab is up; its page, for one use within a minute: %s\n\n", o.URL)
	for _, s := range o.Samples {
		fmt.Fprintf(w, "  %s shares %s\n    kith get '%s'\n", o.Neighbours[s.Owner].Name, s.Name, s.Short)
	}
	_, err := fmt.Fprintf(w, "\nThe lines above work in your own node, once kith up runs; so does\n  kith connect %s\nCtrl-C ends the lab.\n", o.Connect)
	return err
}
