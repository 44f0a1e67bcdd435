package kith

import "fmt"

// A Kind classifies an error for whoever must act on it: an HTTP status, an exit code, a byte on
// the wire. It is itself an error: wrap one with %w and test with errors.Is. The numbers are on
// the wire: add at the end, never reorder.
type Kind uint8

// The kinds of error.
const (
	Internal    Kind = iota // a defect of ours
	Invalid                 // the request makes no sense as it stands
	NotFound                // what was named does not exist here
	Denied                  // the caller may not
	Exists                  // it is already there
	Corrupt                 // bytes are not what their name says
	Unavailable             // it may work later: no peer, no room, no network
	TooLarge                // over a named limit
	Timeout                 // the caller's own time limit ran out
	Gone                    // it was here, and was changed or removed by its owner
)

// kinds is the one table of what each Kind means outside: text, HTTP status (RFC 9110) and exit code.
// Exit code 2 is also what a command line that cannot be parsed ends with; 124 is that of timeout(1).
var kinds = [...]struct {
	text       string
	http, exit int
}{
	Internal:    {"internal error", 500, 1},
	Invalid:     {"invalid", 400, 2},
	NotFound:    {"not found", 404, 3},
	Denied:      {"denied", 403, 4},
	Exists:      {"already exists", 409, 5},
	Corrupt:     {"corrupt", 422, 6},
	Unavailable: {"unavailable", 503, 7},
	TooLarge:    {"too large", 413, 8},
	Timeout:     {"timed out", 504, 124},
	Gone:        {"gone", 410, 9},
}

// Error returns the kind in words.
func (k Kind) Error() string { return k.row().text }

// HTTPStatus returns the HTTP status that reports the kind.
func (k Kind) HTTPStatus() int { return k.row().http }

// ExitCode returns the exit status of a command that ends with the kind.
func (k Kind) ExitCode() int { return k.row().exit }

func (k Kind) row() struct {
	text       string
	http, exit int
} {
	if int(k) < len(kinds) {
		return kinds[k]
	}
	return kinds[Internal]
}

// KindOf returns the Kind that err wraps, or Internal.
func KindOf(err error) Kind {
	for err != nil {
		switch e := err.(type) {
		case Kind:
			return e
		case interface{ Unwrap() error }:
			err = e.Unwrap()
		case interface{ Unwrap() []error }:
			for _, inner := range e.Unwrap() {
				if k := KindOf(inner); k != Internal {
					return k
				}
			}
			return Internal
		default:
			return Internal
		}
	}
	return Internal
}

// KindFromHTTP returns the Kind that an HTTP status reports.
func KindFromHTTP(status int) Kind {
	for k, row := range kinds {
		if row.http == status {
			return Kind(k)
		}
	}
	if status >= 400 && status < 500 {
		return Invalid
	}
	return Internal
}

// A hint carries, beside an error, what the person who reads it can do.
type hint struct {
	err  error
	text string
}

func (h hint) Error() string { return h.err.Error() }
func (h hint) Unwrap() error { return h.err }

// Hint adds to err a sentence that tells a person what to do next. It returns nil for a nil err.
func Hint(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return hint{err, fmt.Sprintf(format, args...)}
}

// HintOf returns the outermost hint that err carries, or "".
func HintOf(err error) string {
	for err != nil {
		if h, ok := err.(hint); ok {
			return h.text
		}
		u, ok := err.(interface{ Unwrap() error })
		if !ok {
			return ""
		}
		err = u.Unwrap()
	}
	return ""
}
