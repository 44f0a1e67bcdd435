package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"kith"
	"kith/app"
)

type EchoIn struct {
	Text  string   `json:"text" doc:"what to say"`
	For   string   `json:"for,omitempty" enum:"link,contacts" default:"link" doc:"who hears it"`
	Times int64    `json:"times,omitempty" doc:"how often"`
	Loud  bool     `json:"loud,omitempty"`
	Paths []string `json:"paths,omitempty" path:"true"`
	Ref   kith.Ref `json:"ref,omitzero"`
}

type EchoOut struct {
	EchoIn
	List  []int             `json:"list"`
	Inner []inner           `json:"inner"`
	When  time.Time         `json:"when"`
	Map   map[string][]byte `json:"map,omitempty"`
}

type inner struct {
	Names []string `json:"names"`
}

func echo(_ context.Context, in EchoIn) (EchoOut, error) {
	return EchoOut{EchoIn: in, Inner: []inner{{}}}, nil
}

type failIn struct {
	Kind  int `json:"kind,omitempty"`
	After int `json:"after,omitempty" doc:"values before the error"`
}

var errFail = errors.New("the cause")

func fail(_ context.Context, in failIn) (inner, error) {
	return inner{}, kith.Hint(fmt.Errorf("files: fail: %w: %w", errFail, kith.Kind(in.Kind)), "try again")
}

func stream(ctx context.Context, in failIn) iter.Seq2[inner, error] {
	return func(yield func(inner, error) bool) {
		for i := range in.After {
			if !yield(inner{[]string{fmt.Sprint(i)}}, nil) {
				return
			}
		}
		if in.Kind > 0 {
			_, err := fail(ctx, in)
			yield(inner{}, err)
		}
	}
}

// left gets a value when an operation sees that its caller has gone.
var left = make(chan error, 1)

func hang(ctx context.Context, _ failIn) iter.Seq2[inner, error] {
	return func(yield func(inner, error) bool) {
		if yield(inner{}, nil) {
			<-ctx.Done()
			left <- ctx.Err()
		}
	}
}

func fakeApps() []app.App {
	get := app.NewOp("say it", "Say something", echo)
	get.Query = true
	return []app.App{{
		Name: "fake", Help: "Fakes",
		Ops: []app.Op{
			app.NewOp("echo", "Say it back", echo), get, app.NewOp("fail", "Fail", fail),
			app.NewStreamOp("stream", "Say several things", stream), app.NewStreamOp("hang", "Say no more", hang),
			app.NewOp("panic", "Panic", func(context.Context, failIn) (inner, error) { panic("argh") }),
		},
		HTTP: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n, _ := io.Copy(io.Discard, r.Body)
			fmt.Fprintf(w, "%s %s %d", r.Method, r.URL.Path, n)
		}),
	}}
}

var fakePage = fstest.MapFS{
	"index.html":          {Data: []byte("<title>the shell</title>")},
	"assets/app-1234.js":  {Data: []byte("1")},
	"assets/app-1234.css": {Data: []byte("1")},
}

type fixture struct {
	*Server
	t     *testing.T
	token string
}

// serve starts a server that ends with the test.
func serve(t *testing.T) *fixture {
	t.Helper()
	dir := t.TempDir()
	s, err := New(Options{Addr: "127.0.0.1:0", Dir: dir, Apps: fakeApps(), Page: fakePage, Version: "1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	token, err := os.ReadFile(filepath.Join(dir, tokenFile))
	if err != nil {
		t.Fatal(err)
	}
	return &fixture{s, t, strings.TrimSpace(string(token))}
}

// request is what a test sends. Host is the server's own unless Header has another.
type request struct {
	method, path, body string
	header             map[string]string
}

type answered struct {
	status int
	header http.Header
	body   string
}

func (f *fixture) send(q request) answered {
	f.t.Helper()
	r, err := http.NewRequest(q.method, "http://"+f.Addr()+q.path, strings.NewReader(q.body))
	if err != nil {
		f.t.Fatal(err)
	}
	for k, v := range q.header {
		r.Header.Set(k, v)
		if k == "Host" {
			r.Host = v
		}
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return answered{resp.StatusCode, resp.Header, string(body)}
}

// call sends with the token, as JSON.
func (f *fixture) call(method, path, body string) answered {
	f.t.Helper()
	return f.send(request{method, path, body, map[string]string{"Authorization": "Bearer " + f.token, "Content-Type": "application/json"}})
}

// problem checks that an answer is a problem, and returns it.
func (a answered) problem(t *testing.T, status int) Problem {
	t.Helper()
	var p Problem
	if a.status != status || a.header.Get("Content-Type") != problemType {
		t.Errorf("status %d, type %q, want problem %d: %s", a.status, a.header.Get("Content-Type"), status, a.body)
	}
	if err := json.Unmarshal([]byte(a.body), &p); err != nil {
		t.Errorf("problem: %v", err)
	}
	if p.Status != status || p.Title == "" || p.Detail == "" || p.Kind == "" {
		t.Errorf("problem lacks something: %s", a.body)
	}
	return p
}

func TestCall(t *testing.T) {
	f := serve(t)
	const rest = `"ref":"","list":[],"inner":[{"names":[]}],"when":"0001-01-01T00:00:00Z"}`
	want := `{"text":"hi","for":"link","times":9007199254740993,` + rest[len(`"ref":"",`):] + "\n"
	a := f.call("POST", "/api/fake/echo", `{"text":"hi","times":9007199254740993}`)
	if a.status != 200 || a.body != want {
		t.Errorf("POST: %d %s\n want %s", a.status, a.body, want)
	}
	a = f.call("GET", "/api/fake/say-it?text=hi&times=9007199254740993", "")
	if a.status != 200 || a.body != want {
		t.Errorf("GET: %d %s\n want %s", a.status, a.body, want)
	}
	a = f.call("GET", "/api/fake/say-it?text=&loud=true&paths=/a&paths=/b&for=contacts", "")
	if !strings.HasPrefix(a.body, `{"text":"","for":"contacts","loud":true,"paths":["/a","/b"],`) {
		t.Errorf("GET: %d %s", a.status, a.body)
	}
	a = f.call("POST", "/api/fake/say-it", `{"text":"hi"}`)
	if a.status != 200 {
		t.Errorf("POST of a query: %d %s", a.status, a.body)
	}
	a = f.call("PUT", "/api/fake/-/upload/x", strings.Repeat("x", 2*MaxBody))
	if want := fmt.Sprintf("PUT /upload/x %d", 2*MaxBody); a.body != want {
		t.Errorf("application's own handler: %q, want %q", a.body, want)
	}
}

// What is wrong with an input is named.
func TestInvalidInput(t *testing.T) {
	f := serve(t)
	for _, tt := range []struct {
		body   string
		status int
		detail string
	}{
		{`{"text":"a","colour":"red"}`, 400, "colour"},
		{`{"TEXT":"a"}`, 400, "TEXT"},
		{`{}`, 400, "text"},
		{``, 400, "text"},
		{`{"text":5}`, 400, "text: expected string"},
		{`{"text":null}`, 400, "text: expected string"},
		{`{"text":"a","for":"everyone"}`, 400, `for: expected value to be one of "link, contacts"`},
		{`{"text":"a","times":1.5}`, 400, "times"},
		{`{"text":"a","times":1e300}`, 400, "times"},
		{`{"text":"a","ref":"nonsense"}`, 400, "not a CID"},
		{`{"text":"a","paths":"/x"}`, 400, "paths: expected array"},
		{`{"text":"a"}{}`, 400, "more than one"},
		{`{"text":`, 400, "not JSON"},
		{`[]`, 400, "object"},
		{`{"text":"` + strings.Repeat("x", MaxBody) + `"}`, 413, "1048576 bytes"},
	} {
		p := f.call("POST", "/api/fake/echo", tt.body).problem(t, tt.status)
		if !strings.Contains(p.Detail, tt.detail) {
			t.Errorf("%.60s: detail %q lacks %q", tt.body, p.Detail, tt.detail)
		}
	}
	for path, detail := range map[string]string{
		"/api/fake/say-it?text=a&colour=red":     "colour",
		"/api/fake/say-it?text=a&text=b":         "text: given more than once",
		"/api/fake/say-it?text=a&times=x":        "times: expected integer",
		"/api/fake/say-it?text=a&loud=x":         "loud: expected boolean",
		"/api/fake/say-it?text=a&times=0x10":     "times: expected integer",
		"/api/fake/say-it?text=a&times=Infinity": "times: expected integer",
	} {
		p := f.call("GET", path, "").problem(t, 400)
		if !strings.Contains(p.Detail, detail) {
			t.Errorf("%s: detail %q lacks %q", path, p.Detail, detail)
		}
	}
	if p := f.call("POST", "/api/fake/nothing", "").problem(t, 404); p.Hint == "" {
		t.Error("no hint for an operation that does not exist")
	}
}

// Every kind of error travels with its status, its hint and its text, on all ways.
func TestErrors(t *testing.T) {
	f := serve(t)
	c := dial(t, f)
	for k := kith.Internal; k <= kith.Gone; k++ {
		p := f.call("POST", "/api/fake/fail", fmt.Sprintf(`{"kind":%d}`, k)).problem(t, k.HTTPStatus())
		if p.Kind != k.Error() || p.Hint != "try again" {
			t.Errorf("%v: %+v", k, p)
		}
		_, err := Do[failIn, inner](t.Context(), c, "fake", "fail", failIn{Kind: int(k)})
		checkFail(t, err, k)
		if k == kith.Internal { // stream fails with others only
			continue
		}
		for after := range 2 {
			_, err = Do[failIn, inner](t.Context(), c, "fake", "stream", failIn{Kind: int(k), After: after})
			checkFail(t, err, k)
		}
	}
	p := f.call("POST", "/api/fake/panic", "").problem(t, 500)
	if !strings.Contains(p.Detail, "argh") {
		t.Errorf("panic: %+v", p)
	}
}

func checkFail(t *testing.T, err error, k kith.Kind) {
	t.Helper()
	if kith.KindOf(err) != k || kith.HintOf(err) != "try again" || !strings.Contains(err.Error(), "files: fail: the cause") {
		t.Errorf("%v: kind %v, hint %q, text %q", k, kith.KindOf(err), kith.HintOf(err), err)
	}
}

func dial(t *testing.T, f *fixture) *Client {
	t.Helper()
	c, err := Dial(f.o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestStream(t *testing.T) {
	f := serve(t)
	a := f.call("POST", "/api/fake/stream", `{"after":2,"kind":2}`)
	want := "data: {\"names\":[\"0\"]}\n\ndata: {\"names\":[\"1\"]}\n\nevent: error\ndata: "
	if a.status != 200 || a.header.Get("Content-Type") != "text/event-stream" || !strings.HasPrefix(a.body, want) {
		t.Errorf("%d %v\n%s", a.status, a.header, a.body)
	}
	a = f.call("POST", "/api/fake/stream", `{"after":0}`)
	if a.status != 200 || a.body != "event: end\ndata: {}\n\n" {
		t.Errorf("%d %v\n%s", a.status, a.header, a.body)
	}
	c := dial(t, f)
	op := f.o.Apps[0].Ops[3]
	var got []any
	for v, err := range c.Call(t.Context(), "fake", op, failIn{After: 2}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, v)
	}
	if want := []any{inner{[]string{"0"}}, inner{[]string{"1"}}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// The operation learns that its caller has gone, however it went.
func TestCallerGone(t *testing.T) {
	f := serve(t)
	c := dial(t, f)
	op := f.o.Apps[0].Ops[4]
	ctx, cancel := context.WithCancel(t.Context())
	for _, err := range c.Call(ctx, "fake", op, failIn{}) {
		if err != nil {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("error %v, want %v", err, context.Canceled)
			}
			break
		}
		cancel()
	}
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	for range c.Call(t.Context(), "fake", op, failIn{}) {
		break
	}
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("iteration stopped: %v", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := Do[failIn, inner](ctx, c, "fake", "hang", failIn{})
	if kith.KindOf(err) != kith.Timeout {
		t.Errorf("deadline: %v", err)
	}
	<-left
}

func TestClientFindsNode(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "it's here")
	_, err := Dial(dir)
	if kith.KindOf(err) != kith.Unavailable || !strings.HasPrefix(kith.HintOf(err), "start one with: kith up --dir '") {
		t.Errorf("no node: %v, hint %q", err, kith.HintOf(err))
	}
	t.Setenv("KITH_DIR", dir)
	if _, err := Dial(dir); kith.HintOf(err) != "start one with: kith up" {
		t.Errorf("hint %q", kith.HintOf(err))
	}
	// One that was killed leaves its files.
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := announce(dir, l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, tokenFile), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Dial(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Do[failIn, inner](t.Context(), c, "fake", "fail", failIn{}); kith.KindOf(err) != kith.Unavailable {
		t.Errorf("killed node: %v", err)
	}
	withdraw(dir, l.Addr().String())
	if _, err := os.Stat(filepath.Join(dir, placeFile)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after withdraw: %v", err)
	}
}

// The document is OpenAPI 3.1, refers to nothing that is not in it, and changes only when somebody means it.
func TestOpenAPI(t *testing.T) {
	doc, err := OpenAPI(fakeApps(), "0")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/openapi.json", doc)
	var v map[string]any
	if err := json.Unmarshal(doc, &v); err != nil {
		t.Fatal(err)
	}
	if v["openapi"] != "3.1.0" {
		t.Errorf("openapi is %v", v["openapi"])
	}
	var walk func(any)
	walk = func(x any) {
		switch x := x.(type) {
		case map[string]any:
			if ref, ok := x["$ref"].(string); ok && lookup(v, ref) == nil {
				t.Errorf("%s is not in the document", ref)
			}
			for _, e := range x {
				walk(e)
			}
		case []any:
			for _, e := range x {
				walk(e)
			}
		}
	}
	walk(v)
	if ref := lookup(v, "#/components/schemas/EchoOut/properties/ref"); !reflect.DeepEqual(ref, map[string]any{"type": "string"}) {
		t.Errorf("a Ref is %v, want a string", ref)
	}
}

func lookup(v any, ref string) any {
	for _, key := range strings.Split(strings.TrimPrefix(ref, "#/"), "/") {
		m, _ := v.(map[string]any)
		v = m[key]
	}
	return v
}

// golden compares with a file, and writes it when KITH_UPDATE is set.
func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if os.Getenv("KITH_UPDATE") != "" {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; if that is meant, run the test with KITH_UPDATE=1", path)
	}
}

type Same struct {
	A int `json:"a"`
}

func TestOpenAPINames(t *testing.T) {
	ping := func(context.Context, Same) (failIn, error) { return failIn{}, nil }
	if _, err := OpenAPI([]app.App{{Name: "a", Ops: []app.Op{app.NewOp("x", "", ping), app.NewOp("x", "", ping)}}}, ""); !errors.Is(err, kith.Exists) {
		t.Errorf("two operations at one path: %v", err)
	}
	if _, err := OpenAPI([]app.App{{Name: "a", Ops: []app.Op{{Name: "x"}}}}, ""); !errors.Is(err, kith.Invalid) {
		t.Errorf("operation without types: %v", err)
	}
}
