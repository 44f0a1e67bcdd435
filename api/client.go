package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"mime"
	"net"
	"net/http"
	"reflect"
	"strings"

	"kith"
	"kith/app"
	"kith/config"
)

// Limits of what a node may answer.
const (
	maxAnswer = 256 << 20 // bytes of one value
)

// Client calls the operations of a running node. It is safe for concurrent use.
type Client struct {
	dir, base, token string
	http             *http.Client
}

// Dial finds the running node of a data directory. Its error is Unavailable, with the command that starts one, if there is none.
func Dial(dir string) (*Client, error) {
	p, token, err := find(dir)
	if err != nil {
		return nil, err
	}
	t := &http.Transport{MaxResponseHeaderBytes: MaxHeader, DisableCompression: true} // no proxy: the token goes nowhere else
	return &Client{dir: dir, base: "http://" + p.API, token: token, http: &http.Client{Transport: t}}, nil
}

// Close frees the client's connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// URL returns the address of the node's interface.
func (c *Client) URL() string { return c.base }

// Call carries out an operation of an application. It yields values of the type op.Out, one unless op is a Stream, and ends at the
// first error, which has the kind and the hint that the node gave it. What stops the iteration early, or ends ctx, stops the operation.
func (c *Client) Call(ctx context.Context, appName string, op app.Op, in any) iter.Seq2[any, error] {
	return func(yield func(any, error) bool) {
		for data, err := range c.call(ctx, appName, op.Path(), in) {
			if err != nil {
				yield(nil, err)
				return
			}
			v := reflect.New(op.Out)
			if err := json.Unmarshal(data, v.Interface()); err != nil {
				yield(nil, fmt.Errorf("api: answer of %s %s: %w: %w", appName, op.Name, err, kith.Corrupt))
				return
			}
			if !yield(v.Elem().Interface(), nil) {
				return
			}
		}
	}
}

// Do carries out an operation by its name, and returns its result: the last value, if it is a Stream.
func Do[In, Out any](ctx context.Context, c *Client, appName, opName string, in In) (Out, error) {
	var out Out
	path := app.Op{Name: opName}.Path()
	for data, err := range c.call(ctx, appName, path, in) {
		if err != nil {
			return out, err
		}
		var v Out
		if err := json.Unmarshal(data, &v); err != nil {
			return out, fmt.Errorf("api: answer of %s %s: %w: %w", appName, opName, err, kith.Corrupt)
		}
		out = v
	}
	return out, nil
}

// call yields the JSON of each value.
func (c *Client) call(ctx context.Context, appName, path string, in any) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		resp, err := c.post(ctx, "/api/"+appName+"/"+path, in)
		if err != nil {
			yield(nil, err)
			return
		}
		defer resp.Body.Close()
		kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
		if kind == "text/event-stream" {
			for data, err := range values(resp.Body) {
				if errors.Is(err, errCut) {
					err = c.explain(ctx, err)
				}
				if !yield(data, err) || err != nil {
					return
				}
			}
			return
		}
		data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		if err != nil {
			yield(nil, c.explain(ctx, err))
			return
		}
		yield(data, nil)
	}
}

func (c *Client) post(ctx context.Context, path string, in any) (*http.Response, error) {
	body, err := encode(in)
	if err != nil {
		return nil, fmt.Errorf("api: encode input: %w: %w", err, kith.Invalid)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("api: call %s: %w: %w", path, err, kith.Invalid)
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.explain(ctx, err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	data, _ := io.ReadAll(io.LimitReader(resp.Body, MaxBody))
	p := Problem{Title: resp.Status, Status: resp.StatusCode}
	if json.Unmarshal(data, &p) != nil {
		p = Problem{Title: resp.Status, Status: resp.StatusCode}
	}
	return nil, p.err()
}

// explain makes of a failed connection an error that says what it means.
func (c *Client) explain(ctx context.Context, err error) error {
	var op *net.OpError
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("api: %w: %w", ctx.Err(), kith.Timeout)
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &op) && op.Op == "dial":
		return notRunning(c.dir)
	case kith.KindOf(err) != kith.Internal || kith.HintOf(err) != "":
		return err
	}
	return kith.Hint(fmt.Errorf("the node went away: %w: %w", err, kith.Unavailable), "start it again with: kith up%s", dirFlag(c.dir))
}

// dirFlag returns the flag that names dir, if it is needed.
func dirFlag(dir string) string {
	if dir == defaultDir() {
		return ""
	}
	return " --dir " + quote(dir)
}

// defaultDir is where commands look without --dir.
func defaultDir() string { return config.DefaultDir() }

// quote returns a path as a shell takes it.
func quote(path string) string {
	if strings.IndexFunc(path, func(r rune) bool {
		return !(r == '/' || r == '.' || r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z')
	}) < 0 {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
