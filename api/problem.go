package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"kith"
)

// Problem is an error as it travels: RFC 9457 problem details, with the kind of error and what a person can do as members of their own.
type Problem struct {
	Title  string         `json:"title" doc:"what went wrong, in general"`
	Status int            `json:"status" doc:"HTTP status"`
	Detail string         `json:"detail" doc:"what went wrong this time"`
	Kind   string         `json:"kind" doc:"kind of error, as the exit codes of the command line tell them apart"`
	Hint   string         `json:"hint,omitempty" doc:"what to do about it"`
	Fields []FieldProblem `json:"fields,omitempty" doc:"which members of the input are wrong"`
}

// FieldProblem says what is wrong with one member of an input.
type FieldProblem struct {
	Field string `json:"field" doc:"path of the member"`
	Wrong string `json:"wrong" doc:"what is wrong with it"`
}

const problemType = "application/problem+json"

// problemOf returns err as it travels.
func problemOf(err error) Problem {
	kind := kith.KindOf(err)
	if kind == kith.Internal && errors.Is(err, context.DeadlineExceeded) {
		kind = kith.Timeout
	}
	p := Problem{Title: kind.Error(), Status: kind.HTTPStatus(), Detail: err.Error(), Kind: kind.Error(), Hint: kith.HintOf(err)}
	var in *inputError
	if errors.As(err, &in) {
		p.Fields = in.fields
	}
	var st *statusError
	if errors.As(err, &st) {
		p.Status, p.Title = st.status, http.StatusText(st.status)
	}
	return p
}

// A remoteError is a Problem that came back: its text, and its kind for errors.Is.
type remoteError struct {
	text string
	kind kith.Kind
}

func (e *remoteError) Error() string { return e.text }
func (e *remoteError) Unwrap() error { return e.kind }

// err returns the error that the problem tells of, with its kind and hint.
func (p Problem) err() error {
	kind := kith.KindFromHTTP(p.Status)
	for k := kith.Internal; k <= kith.Gone; k++ {
		if k.Error() == p.Kind {
			kind = k
		}
	}
	text := p.Detail
	if text == "" {
		text = fmt.Sprintf("api: %s (HTTP status %d)", p.Title, p.Status)
	}
	err := error(&remoteError{text, kind})
	if p.Hint != "" {
		err = kith.Hint(err, "%s", p.Hint)
	}
	return err
}

// A statusError has an HTTP status of its own, where that of its kind would say too little.
type statusError struct {
	status int
	err    error
}

func (e *statusError) Error() string { return e.err.Error() }
func (e *statusError) Unwrap() error { return e.err }

// writeProblem answers a request with err.
func writeProblem(w http.ResponseWriter, err error) {
	p := problemOf(err)
	h := w.Header()
	h.Set("Content-Type", problemType)
	h.Set("Cache-Control", "no-store")
	switch p.Status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Bearer realm="kith"`)
	case http.StatusTooManyRequests:
		h.Set("Retry-After", "1")
	}
	w.WriteHeader(p.Status)
	json.NewEncoder(w).Encode(p)
}
