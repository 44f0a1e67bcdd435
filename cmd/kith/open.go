package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"kith"
	"kith/api"
	"kith/apps/files"
	"kith/cli"
	"kith/node"
)

func openCommand() *cobra.Command {
	var printed bool
	cmd := &cobra.Command{
		Use:     "open [ITEM|LINK]",
		Short:   "open the page, or show an item in the browser, even while it comes",
		Long:    "With an invite, or a link to what is not here, the page opens with the link in its box: nothing happens until you say so.",
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
				out, err = page(cmd.Context(), client)
			} else {
				out, err = show(cmd.Context(), client, args[0])
			}
			if err != nil {
				return err
			}
			if cli.JSON(cmd) {
				return cli.Print(cmd, out)
			}
			if printed || !openBrowser(out.URL) {
				fmt.Fprintln(cmd.OutOrStdout(), out.URL)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&printed, "print", false, "print the address instead")
	return cmd
}

func page(ctx context.Context, c *api.Client) (PageOut, error) {
	return api.Do[node.None, PageOut](ctx, c, "node", "page", node.None{})
}

// show returns where an item can be seen, or, for an invite and for a link to what is not here, the page with the link in its box.
func show(ctx context.Context, c *api.Client, item string) (PageOut, error) {
	if !strings.HasPrefix(item, kith.InviteScheme) {
		v, err := api.Do[files.OpenIn, files.OpenOut](ctx, c, "files", "open", files.OpenIn{Ref: item})
		if _, bad := kith.ParseLink(item); bad != nil || !errors.Is(err, kith.NotFound) {
			return PageOut{v.URL}, err
		}
	}
	out, err := page(ctx, c)
	out.URL += "&link=" + url.QueryEscape(item)
	return out, err
}

// openBrowser shows an address in the person's browser, if there seems to be one, and reports whether it tried. Whoever has no screen has the
// printed address.
func openBrowser(addr string) bool {
	var cmd *exec.Cmd
	switch {
	case runtime.GOOS == "darwin":
		cmd = exec.Command("open", addr)
	case runtime.GOOS == "windows":
		cmd = exec.Command("rundll32", "url.dll,FileProtocolHandler", addr)
	case os.Getenv("DISPLAY") == "" && os.Getenv("WAYLAND_DISPLAY") == "":
		return false
	default:
		cmd = exec.Command("xdg-open", addr)
	}
	if err := cmd.Start(); err != nil {
		return false
	}
	go cmd.Wait()
	return true
}
