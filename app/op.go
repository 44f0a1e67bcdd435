package app

import (
	"context"
	"io"
	"iter"
	"reflect"
	"strings"
)

// An Op is one operation, defined once: the CLI makes a command of it, the API an endpoint with its OpenAPI entry, the clients
// a typed call, the page a form.
//
// Its input is a struct whose fields are JSON fields (a field that may be left out has omitempty) and carry these tags:
//
//	doc:"…"        what it is, in a few words: help text and OpenAPI description
//	arg:"0"        on the command line it is the positional argument of that number; a slice takes all that follow
//	short:"o"      the flag's one-letter form; every field without arg is a flag of its JSON name, with - for _
//	path:"true"    it is a path (or list of paths) of the caller's; the CLI makes it absolute; path:"maybe": if there is such a file
//	enum:"a,b"     the values it may have
//	default:"a"    the value it has when left out
//	secret:"true"  a passphrase: the CLI asks for it without echo, and takes it from no flag; secret:"new" is asked for twice;
//	               with arg it stands on the command line, and is asked for if that says -
//	with:"keep"    a secret that is asked for only when that switch is on
//
// An output may implement Texter, to be read by people; Progresser, to drive a progress bar; Previewer, to be seen before the stream ends; Resulter, to say what of it is the
// result.
type Op struct {
	Name    string // the words of the command: "share", "id phrase"; joined by - in the URL
	Help    string // one line
	Long    string // more lines, "" for none
	Example string // commands that work as they stand
	Query   bool   // it changes nothing: a GET, which may be repeated
	Stream  bool   // it yields several values: server-sent events; the last one is the result
	Hidden  bool   // no command: for the page and for programs
	Here    bool   // only for who sits at this computer, not for a phone that has the page: it shows or changes who the person is
	In, Out reflect.Type
	// Run carries the operation out. decode fills a pointer to a value of type In, and checks nothing but its form. An Op that is no
	// Stream yields exactly one pair. When the caller goes away, ctx ends.
	Run func(ctx context.Context, decode func(any) error) iter.Seq2[any, error]
}

// Path returns the op's name as it stands in a URL.
func (o Op) Path() string { return strings.ReplaceAll(o.Name, " ", "-") }

// NewOp makes an Op of an ordinary function.
func NewOp[In, Out any](name, help string, run func(context.Context, In) (Out, error)) Op {
	return Op{
		Name: name, Help: help, In: reflect.TypeFor[In](), Out: reflect.TypeFor[Out](),
		Run: func(ctx context.Context, decode func(any) error) iter.Seq2[any, error] {
			return func(yield func(any, error) bool) {
				var in In
				if err := decode(&in); err != nil {
					yield(nil, err)
					return
				}
				out, err := run(ctx, in)
				if err != nil {
					yield(nil, err)
					return
				}
				yield(out, nil)
			}
		},
	}
}

// NewStreamOp makes an Op of a function that yields values while it works. It ends at the first error.
func NewStreamOp[In, Out any](name, help string, run func(context.Context, In) iter.Seq2[Out, error]) Op {
	return Op{
		Name: name, Help: help, Stream: true, In: reflect.TypeFor[In](), Out: reflect.TypeFor[Out](),
		Run: func(ctx context.Context, decode func(any) error) iter.Seq2[any, error] {
			return func(yield func(any, error) bool) {
				var in In
				if err := decode(&in); err != nil {
					yield(nil, err)
					return
				}
				for out, err := range run(ctx, in) {
					if err != nil {
						yield(nil, err)
						return
					}
					if !yield(out, nil) {
						return
					}
				}
			}
		},
	}
}

// A Texter is an output that people read. WriteText writes it to a terminal of the given width in columns (0: no terminal, so no
// QR codes, no colours); text from peers must go through internal/plain first.
type Texter interface {
	WriteText(w io.Writer, width int) error
}

// Progress says how far a stream has come.
type Progress struct {
	Label       string // what is being done now: a file's name, a reason for waiting
	Done, Total int64  // bytes; Total is 0 if not known
	Note        string // stands behind the bar: "3 sources"
}

// A Progresser is an output of a stream that a progress bar can be drawn from.
type Progresser interface{ Progress() Progress }

// A Previewer is an output of a stream that a person wants to see before the stream ends: on a terminal each is shown in the place of the one before, if Preview reports that there is
// something to see. It is a Texter too.
type Previewer interface{ Preview() bool }

// A Suggester is an output that has values for fields of other ops' inputs; a shell completes them.
type Suggester interface{ Suggest() []string }

// A Resulter is a last output of a stream of which only a part, or another form, is the result: what --json prints.
type Resulter interface{ Result() any }
