// Kith makes a computer an equal member of a peer-to-peer network. This is the program: it chooses implementations, and does nothing else.
package main

import (
	"context"
	"os"

	"github.com/spf13/cobra"

	"kith/api"
	"kith/app"
	"kith/apps"
	"kith/cli"
	"kith/internal/service"
	"kith/node"
)

// version is set when a release is built.
var version = ""

func main() {
	os.Exit(cli.Run(context.Background(), cli.Program{
		Apps:     described(),
		Commands: []*cobra.Command{upCommand(), openCommand(), labCommand(), simCommand(), versionCommand(), openAPICommand(), service.Command()},
		Version:  buildVersion(),
	}, os.Args[1:]))
}

// described returns all applications as the faces need them: none of them is started.
func described() []app.App {
	list, _ := apps.New()
	return append(list, api.NewPhone().App(), node.Describe(ops(nil, nil)...))
}

// PageOut is an address of the page.
type PageOut struct {
	URL string `json:"url" doc:"good for one use within a minute"`
}

// LabIn asks for pretend neighbours.
type LabIn struct {
	Nodes int `json:"nodes,omitempty" default:"8" doc:"how many, at most 32"`
}

// ops returns the operations of a node that need what only this program sees: the page's address, and a lab beside the node.
func ops(page func() string, neighbours *labs) []app.Op {
	open := app.NewOp("page", "make an address that opens the page once", func(context.Context, node.None) (PageOut, error) {
		return PageOut{page()}, nil
	})
	lab := app.NewOp("lab start", "start pretend neighbours, to see how a network moves", func(ctx context.Context, in LabIn) (PageOut, error) {
		url, err := neighbours.start(ctx, in.Nodes)
		return PageOut{url}, err
	})
	open.Hidden, lab.Hidden = true, true
	open.Here = true
	return []app.Op{open, lab}
}
