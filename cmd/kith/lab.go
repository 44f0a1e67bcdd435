package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"kith"
)

// labs is the lab that the page of a node may start beside it.
type labs struct{}

func (l *labs) start(ctx context.Context, nodes int) (string, error) {
	return "", fmt.Errorf("lab: %w", kith.Unavailable)
}

func (l *labs) close() {}

func labCommand() *cobra.Command {
	return &cobra.Command{Use: "lab", Short: "watch pretend neighbours", Args: cobra.NoArgs}
}
