package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"reflect"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"kith"
)

// serveCall carries an operation out. One that changes nothing may be a GET with its input as query parameters; every one may be a POST
// with its input as a JSON object.
func (s *Server) serveCall(c *call) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost && !(c.op.Query && r.Method == http.MethodGet) {
			allow := "POST"
			if c.op.Query {
				allow = "GET, POST"
			}
			w.Header().Set("Allow", allow)
			writeProblem(w, &statusError{http.StatusMethodNotAllowed,
				fmt.Errorf("api: %s does not answer to %s: %w", c.path, r.Method, kith.Invalid)})
			return
		}
		if c.op.Here && s.doorOf(r.Context()).far {
			writeProblem(w, kith.Hint(fmt.Errorf("api: that is not done from a phone: %w", kith.Denied), "do it at the computer that kith runs on"))
			return
		}
		input, err := c.input(w, r)
		if err != nil {
			writeProblem(w, err)
			return
		}
		out := newAnswer(w, c.op.Stream)
		defer out.close()
		defer func() {
			if p := recover(); p != nil {
				s.log.Error("operation panicked", "op", c.path, "err", p, "stack", string(debug.Stack()))
				out.fail(fmt.Errorf("api: %s panicked: %v: %w", c.path, p, kith.Internal))
			}
		}()
		s.run(r.Context(), c, input, out)
	})
}

// run sends what the operation yields.
func (s *Server) run(ctx context.Context, c *call, input []byte, out *answer) {
	decode := func(into any) error { return c.decode(input, into) }
	for v, err := range c.op.Run(ctx, decode) {
		if err != nil {
			if ctx.Err() == nil && kith.KindOf(err) == kith.Internal {
				s.log.Error("operation failed", "op", c.path, "err", err)
			}
			out.fail(err)
			return
		}
		if out.value(v) != nil {
			return // the caller has gone
		}
	}
	out.end()
}

// input returns the checked JSON object that the request brings.
func (c *call) input(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	var data []byte
	var err error
	if r.Method == http.MethodGet {
		data, err = c.query(r.URL.Query())
	} else {
		data, err = readBody(w, r)
	}
	if err != nil {
		return nil, err
	}
	return data, c.validate(data)
}

// readBody reads a JSON body of at most MaxBody bytes; no body is an empty object.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	rc := http.NewResponseController(w)
	rc.SetReadDeadline(time.Now().Add(bodyTimeout))
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	rc.SetReadDeadline(time.Time{})
	var big *http.MaxBytesError
	switch {
	case errors.As(err, &big):
		return nil, fmt.Errorf("api: input of more than %d bytes: %w", MaxBody, kith.TooLarge)
	case err != nil:
		return nil, fmt.Errorf("api: read input: %w: %w", err, kith.Invalid)
	case len(bytes.TrimSpace(data)) == 0:
		return []byte("{}"), nil
	}
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
		return nil, &statusError{http.StatusUnsupportedMediaType,
			fmt.Errorf("api: input is %.40q, want application/json: %w", kind, kith.Invalid)}
	}
	return data, nil
}

// query makes a JSON object of query parameters, by the types of the input's members.
func (c *call) query(q url.Values) ([]byte, error) {
	m := map[string]any{}
	for name, values := range q {
		s := c.in.Properties[name]
		if s == nil {
			m[name] = values[0] // validate names it
			continue
		}
		if s.Type == huma.TypeArray {
			list := make([]any, len(values))
			for i, v := range values {
				list[i] = textValue(v, s.Items.Type)
			}
			m[name] = list
			continue
		}
		if len(values) > 1 {
			return nil, &inputError{[]FieldProblem{{name, "given more than once"}}}
		}
		m[name] = textValue(values[0], s.Type)
	}
	return json.Marshal(m)
}

// textValue returns text as JSON of a type, or as the text that validate will refuse.
func textValue(text, kind string) any {
	switch kind {
	case huma.TypeBoolean:
		if b, err := strconv.ParseBool(text); err == nil {
			return b
		}
	case huma.TypeInteger, huma.TypeNumber:
		if _, err := strconv.ParseFloat(text, 64); err == nil && json.Valid([]byte(text)) {
			return json.RawMessage(text)
		}
	}
	return text
}

// inputError says which members of an input are wrong.
type inputError struct{ fields []FieldProblem }

func (e *inputError) Unwrap() error { return kith.Invalid }
func (e *inputError) Error() string {
	var all []string
	for _, f := range e.fields {
		all = append(all, strings.TrimPrefix(f.Field+": "+f.Wrong, ": "))
	}
	return "invalid input: " + strings.Join(all, "; ")
}

// validate checks an input against its schema: unknown and missing members, types, values.
func (c *call) validate(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	var v any
	if err := dec.Decode(&v); err != nil {
		return fmt.Errorf("api: input is not JSON: %w: %w", err, kith.Invalid)
	}
	if _, err := dec.Token(); err != io.EOF {
		return fmt.Errorf("api: input is more than one JSON value: %w", kith.Invalid)
	}
	var res huma.ValidateResult
	huma.Validate(c.registry, c.in, huma.NewPathBuffer(nil, 0), huma.ModeWriteToServer, v, &res)
	if len(res.Errors) == 0 {
		return nil
	}
	in := &inputError{}
	for _, e := range res.Errors {
		f := FieldProblem{Wrong: e.Error()}
		if d, ok := e.(*huma.ErrorDetail); ok {
			f = FieldProblem{Field: d.Location, Wrong: d.Message}
		}
		in.fields = append(in.fields, f)
	}
	return in
}

// decode fills a value of the input's type.
func (c *call) decode(data []byte, into any) error {
	if t := reflect.TypeOf(into); t != reflect.PointerTo(c.op.In) {
		return fmt.Errorf("api: %s decodes into %v, not into its input type: %w", c.path, t, kith.Internal)
	}
	for _, d := range [][]byte{c.defaults, data} {
		if err := json.Unmarshal(d, into); err != nil {
			return fmt.Errorf("invalid input: %w: %w", err, invalidOr(err))
		}
	}
	return nil
}

// invalidOr returns the kind of an error of a member's own decoding, or Invalid.
func invalidOr(err error) kith.Kind {
	if k := kith.KindOf(err); k != kith.Internal {
		return k
	}
	return kith.Invalid
}
