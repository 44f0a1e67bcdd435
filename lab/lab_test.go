package lab_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kith"
	"kith/api"
	"kith/app"
	"kith/apps"
	"kith/lab"
)

// TestLab: neighbours who know nobody else get each other's samples, the page is told so, and nothing is left when they move out.
func TestLab(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	l, err := lab.Open(ctx, lab.Options{Nodes: 3, Network: "lab-test", Apps: apps.New})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := l.Summary()
	if len(s.Neighbours) != 3 || len(s.Samples) != 3 || !strings.HasPrefix(s.Connect, "/ip4/127.0.0.1/") {
		t.Fatalf("%+v", s)
	}
	for _, sample := range s.Samples {
		if link, err := kith.ParseLink(sample.Link); err != nil || len(link.Peers) == 0 {
			t.Errorf("link %q works not alone: %v", sample.Link, err)
		}
	}
	base := s.URL[:strings.Index(s.URL, "/#")]
	if r, err := http.Get(base + "/api/lab/watch"); err != nil || r.StatusCode != http.StatusUnauthorized {
		t.Errorf("watched by who may not: %v %v", r, err)
	}
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), "kith-lab-*"))
	if len(dirs) != 1 {
		t.Fatalf("folders %q", dirs)
	}
	client, err := api.Dial(dirs[0])
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	watchUntilAllHaveAll(ctx, t, client)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), "*")); len(left) != 0 {
		t.Errorf("%q is left", left)
	}
	if r, err := http.Get(base + "/"); err == nil {
		t.Errorf("the page still answers: %s", r.Status)
	}
}

func watchUntilAllHaveAll(ctx context.Context, t *testing.T, client *api.Client) {
	op := app.NewStreamOp[struct{}, lab.State]("watch", "", nil)
	op.Query = true
	var best string
	for v, err := range client.Call(ctx, "lab", op, struct{}{}) {
		if err != nil {
			t.Fatalf("%v; it came to %s", err, best)
		}
		var s lab.State
		data, _ := json.Marshal(v)
		if err := json.Unmarshal(data, &s); err != nil {
			t.Fatal(err)
		}
		full := 0
		for _, n := range s.Neighbours {
			for _, have := range n.Have {
				if have == 1 {
					full++
				}
			}
		}
		if full == 9 && s.Moved > 0 && len(s.Wires) == 3 {
			return
		}
		best = fmt.Sprintf("%d of 9 copies, %d bytes, %d wires", full, s.Moved, len(s.Wires))
	}
	t.Fatalf("the stream ended; it came to %s", best)
}

func TestRefuses(t *testing.T) {
	node := t.TempDir()
	if err := os.Mkdir(filepath.Join(node, "identity"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		o    lab.Options
		want error
	}{
		"one":  {lab.Options{Nodes: 1, Apps: apps.New}, kith.Invalid},
		"many": {lab.Options{Nodes: lab.MaxNodes + 1, Apps: apps.New}, kith.Invalid},
		"home": {lab.Options{Dir: node, Apps: apps.New}, kith.Exists},
	} {
		if l, err := lab.Open(t.Context(), c.o); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
			if err == nil {
				l.Close()
			}
		}
	}
}
