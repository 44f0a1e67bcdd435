package cli

import (
	"io"
	"os"

	"golang.org/x/term"
)

// width returns the columns of the terminal behind w, or 0 if it is none.
func width(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0
	}
	n, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 80
	}
	return n
}
