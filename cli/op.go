package cli

import (
	"path/filepath"

	"github.com/spf13/cobra"

	"kith/api"
	"kith/app"
)

func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// addApp adds the commands of an application.
func addApp(root *cobra.Command, a app.App) error {
	for _, op := range a.Ops {
		if op.Hidden {
			continue
		}
		root.AddCommand(&cobra.Command{Use: op.Name, Short: op.Help, Long: op.Long, Example: op.Example,
			RunE: func(cmd *cobra.Command, args []string) error {
				c, err := api.Dial(Dir(cmd))
				if err != nil {
					return err
				}
				defer c.Close()
				var last any
				for v, err := range c.Call(cmd.Context(), a.Name, op, map[string]any{}) {
					if err != nil {
						return err
					}
					last = v
				}
				return Print(cmd, last)
			}})
	}
	return nil
}
