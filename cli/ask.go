package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"kith"
	"kith/app"
)

// maxSecret is how long a secret that is piped in may be, in bytes.
const maxSecret = 64 << 10

// An asker gets secrets from a person, without echo, or line by line from a pipe.
type asker struct {
	tty  *os.File // nil: stdin is no terminal
	pipe *bufio.Reader
	say  io.Writer
}

func newAsker(cmd *cobra.Command) *asker {
	a := &asker{say: cmd.ErrOrStderr()}
	if isTerminal(cmd.InOrStdin()) {
		a.tty = cmd.InOrStdin().(*os.File)
	} else {
		a.pipe = bufio.NewReader(io.LimitReader(cmd.InOrStdin(), maxSecret))
	}
	return a
}

// Secret asks for a secret, without echo, or reads a line of it from a pipe.
func Secret(cmd *cobra.Command, what string) (string, error) {
	return newAsker(cmd).line(cmd.Context(), sentence(what)+": ")
}

// secret asks for the value of a field; a new one is asked for twice.
func (a *asker) secret(ctx context.Context, f app.Field) (string, error) {
	what := f.Doc
	if what == "" {
		what = f.Name
	}
	text, err := a.line(ctx, sentence(what)+": ")
	if err == nil && text == "" && !(f.Optional && f.With == "") {
		err = fmt.Errorf("%s: nothing was given: %w", f.Name, kith.Invalid)
	}
	if err != nil || !f.New || a.tty == nil {
		return text, err
	}
	again, err := a.line(ctx, "Once more: ")
	if err == nil && again != text {
		err = fmt.Errorf("%s: the two are not alike: %w", f.Name, kith.Invalid)
	}
	return text, err
}

// sentence returns text with a capital letter.
func sentence(text string) string {
	r, n := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(r)) + text[n:]
}

func (a *asker) line(ctx context.Context, prompt string) (string, error) {
	if a.tty != nil {
		return a.hidden(ctx, prompt)
	}
	text, err := a.pipe.ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read stdin: %w", err)
	}
	return strings.TrimRight(text, "\r\n"), nil
}

// hidden reads a line without echo. When ctx ends, the terminal is as it was before.
func (a *asker) hidden(ctx context.Context, prompt string) (string, error) {
	fd := int(a.tty.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", fmt.Errorf("read terminal: %w", err)
	}
	fmt.Fprint(a.say, prompt)
	type line struct {
		text []byte
		err  error
	}
	got := make(chan line, 1)
	go func() {
		text, err := term.ReadPassword(fd)
		got <- line{text, err}
	}()
	select {
	case l := <-got:
		fmt.Fprintln(a.say)
		if l.err != nil {
			return "", fmt.Errorf("read terminal: %w", l.err)
		}
		return string(l.text), nil
	case <-ctx.Done():
		term.Restore(fd, before)
		fmt.Fprintln(a.say)
		return "", ctx.Err()
	}
}
