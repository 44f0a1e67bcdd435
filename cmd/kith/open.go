package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"

	"github.com/spf13/cobra"

	"kith/api"
	"kith/apps/files"
	"kith/cli"
	"kith/node"
)

func openCommand() *cobra.Command {
	var show bool
	cmd := &cobra.Command{
		Use:     "open [ITEM]",
		Short:   "open the page, or show an item in the browser, even while it comes",
		Example: "  kith open\n  kith open festival.mkv\n  kith open --print",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := api.Dial(cli.Dir(cmd))
			if err != nil {
				return err
			}
			defer client.Close()
			var out PageOut
			if len(args) == 0 {
				out, err = api.Do[node.None, PageOut](cmd.Context(), client, "node", "page", node.None{})
			} else {
				var v files.OpenOut
				v, err = api.Do[files.OpenIn, files.OpenOut](cmd.Context(), client, "files", "open", files.OpenIn{Ref: args[0]})
				out.URL = v.URL
			}
			if err != nil {
				return err
			}
			if cli.JSON(cmd) {
				return cli.Print(cmd, out)
			}
			if show || !openBrowser(out.URL) {
				fmt.Fprintln(cmd.OutOrStdout(), out.URL)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&show, "print", false, "print the address instead")
	return cmd
}

// openBrowser shows url in the person's browser, if there seems to be one, and reports whether it tried. Whoever has no screen has the
// printed address.
func openBrowser(url string) bool {
	var cmd *exec.Cmd
	switch {
	case runtime.GOOS == "darwin":
		cmd = exec.Command("open", url)
	case runtime.GOOS == "windows":
		cmd = exec.Command("rundll32", "url.dll,FileProtocolHandler", url)
	case os.Getenv("DISPLAY") == "" && os.Getenv("WAYLAND_DISPLAY") == "":
		return false
	default:
		cmd = exec.Command("xdg-open", url)
	}
	if err := cmd.Start(); err != nil {
		return false
	}
	go cmd.Wait()
	return true
}
