package app

import (
	"context"
	"errors"
	"iter"
	"reflect"
	"testing"

	"kith"
)

type in struct {
	N int `json:"n"`
}

// decodeTo returns a decode that fills an in.
func decodeTo(n int, err error) func(any) error {
	return func(into any) error {
		into.(*in).N = n
		return err
	}
}

// collect returns what an operation yields; at most limit pairs are taken.
func collect(op Op, limit int, decode func(any) error) (values []any, errs []error) {
	for v, err := range op.Run(context.Background(), decode) {
		values, errs = append(values, v), append(errs, err)
		if len(values) == limit {
			break
		}
	}
	return values, errs
}

func TestNewOp(t *testing.T) {
	op := NewOp("double it", "Twice as much", func(_ context.Context, in in) (int, error) {
		if in.N < 0 {
			return 7, kith.Invalid // a result beside an error is no result
		}
		return 2 * in.N, nil
	})
	if op.In != reflect.TypeFor[in]() || op.Out != reflect.TypeFor[int]() || op.Stream || op.Path() != "double-it" {
		t.Errorf("%+v", op)
	}
	for _, tt := range []struct {
		n     int
		err   error
		want  any
		fails error
	}{{3, nil, 6, nil}, {-1, nil, nil, kith.Invalid}, {3, kith.TooLarge, nil, kith.TooLarge}} {
		values, errs := collect(op, 9, decodeTo(tt.n, tt.err))
		if len(values) != 1 || values[0] != tt.want || !errors.Is(errs[0], tt.fails) {
			t.Errorf("%d, %v: got %v, %v", tt.n, tt.err, values, errs)
		}
	}
}

func TestNewStreamOp(t *testing.T) {
	stopped := false
	op := NewStreamOp("count", "Count", func(_ context.Context, in in) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			for i := range in.N {
				if !yield(i, nil) {
					stopped = true
					return
				}
			}
			if yield(0, kith.Gone) {
				t.Error("asked for more after an error")
			}
		}
	})
	if !op.Stream {
		t.Error("no stream")
	}
	values, errs := collect(op, 9, decodeTo(2, nil))
	if !reflect.DeepEqual(values, []any{0, 1, nil}) || !reflect.DeepEqual(errs, []error{nil, nil, kith.Gone}) {
		t.Errorf("got %v, %v", values, errs)
	}
	if collect(op, 1, decodeTo(2, nil)); !stopped {
		t.Error("not told that its caller has gone")
	}
	if _, errs := collect(op, 9, decodeTo(2, kith.Invalid)); len(errs) != 1 || errs[0] != kith.Invalid {
		t.Errorf("input that cannot be decoded: %v", errs)
	}
}

func TestFields(t *testing.T) {
	type Inner struct {
		Deep string `json:"deep,omitzero" secret:"new" with:"keep"`
	}
	type input struct {
		Paths  []string `json:"paths" arg:"0" path:"true" doc:"what"`
		For    string   `json:"for,omitempty" short:"f" enum:"a,b c" default:"a"`
		hidden int
		Inner
		Skip  int `json:"-"`
		Plain bool
		Pass  string `json:"pass" secret:"true"`
	}
	_ = input{hidden: 0}
	got := Fields(reflect.TypeFor[input]())
	text, flag := reflect.TypeFor[string](), -1
	want := []Field{
		{Name: "paths", Index: []int{0}, Type: reflect.TypeFor[[]string](), Doc: "what", Arg: 0, Path: true},
		{Name: "for", Index: []int{1}, Type: text, Optional: true, Arg: flag, Short: "f", Enum: []string{"a", "b c"}, Default: "a"},
		{Name: "deep", Index: []int{3, 0}, Type: text, Optional: true, Arg: flag, Secret: true, New: true, With: "keep"},
		{Name: "Plain", Index: []int{5}, Type: reflect.TypeFor[bool](), Arg: flag},
		{Name: "pass", Index: []int{6}, Type: text, Arg: flag, Secret: true},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}
