package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"kith/api"
	"kith/cli"
)

// VersionOut says what program this is.
type VersionOut struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
}

// WriteText implements app.Texter.
func (v VersionOut) WriteText(w io.Writer, _ int) error {
	_, err := fmt.Fprintf(w, "kith %s (%s, %s/%s)\n", v.Version, v.Go, v.OS, v.Arch)
	return err
}

// buildVersion returns the version set at the release, else the commit that the program was built from.
func buildVersion() string {
	if version != "" {
		return version
	}
	if c := commit(); c != "" {
		return "dev-" + c[:min(len(c), 10)]
	}
	return "dev"
}

func commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return ""
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "say what program this is",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cli.Print(cmd, VersionOut{buildVersion(), commit(), runtime.Version(), runtime.GOOS, runtime.GOARCH})
		},
	}
}

// openAPICommand prints the document that the types of the page are made from.
func openAPICommand() *cobra.Command {
	return &cobra.Command{
		Use:    "openapi",
		Short:  "print the OpenAPI document of the local interface",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			doc, err := api.OpenAPI(described(), "dev") // without a version: the document changes with the operations only
			if err == nil {
				_, err = cmd.OutOrStdout().Write(doc)
			}
			return err
		},
	}
}
