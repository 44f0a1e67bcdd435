// Package web holds the page that a person sees in the browser, as it was built from web/ui.
//
// It is not a server: it hands out the built files, which package api serves. Its one idea is that the built page is part of
// the source, so that building Kith needs Go alone; `make web` builds it anew.
package web

import (
	"embed"
	"io/fs"
)

//go:embed all:dist
var dist embed.FS

// FS returns the page's files; index.html is the page, and all that it names is beside it.
func FS() fs.FS {
	sub, err := fs.Sub(dist, "dist")
	if err != nil { // cannot be: the name is a constant and valid
		return dist
	}
	return sub
}
