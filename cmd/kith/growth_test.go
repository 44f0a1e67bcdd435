package main

import (
	"bufio"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"kith/api"
	"kith/apps/files"
)

// TestNothingGrows shares, fetches and removes small things, over and over: a node that has done so two hundred times takes up what it did before.
func TestNothingGrows(t *testing.T) {
	giver, taker := boot(t), boot(t)
	give, take := giver.client(), taker.client()
	src, to := t.TempDir(), t.TempDir()
	round := func(n int) {
		for i := range n {
			path := filepath.Join(src, "x")
			file(t, path, 20_000+1000*(i%50))
			if i%4 == 3 { // a folder
				path = filepath.Join(src, "folder")
				os.Mkdir(path, 0o755)
				file(t, filepath.Join(path, "one"), 100)
				file(t, filepath.Join(path, "two"), 100_000)
			}
			shared := do[files.ShareOut](t, give, "share", files.ShareIn{Paths: []string{path}, Private: i%2 == 1}).Shared[0]
			got := do[files.GetOut](t, take, "get", files.GetIn{Link: shared.Link, Output: to, Timeout: "1m"})
			if got.State != "done" || got.Size != shared.Size {
				t.Fatalf("round %d: %+v", i, got)
			}
			do[files.RmOut](t, take, "rm", files.RmIn{Ref: shared.Ref.String(), Delete: true})
			do[files.RmOut](t, give, "rm", files.RmIn{Ref: shared.Ref.String()})
		}
	}
	round(400) // until caches and connections are what they will be, and the heap as large as the collector lets it become with the ballast
	beforeGiver, beforeTaker := giver.metrics(), taker.metrics()
	round(200)
	giver.settles(beforeGiver)
	taker.settles(beforeTaker)
	// What the garbage collector lets the heap grow by was taken before; it grows by 2 to 9 MiB all the same. 24 MiB are 120 KiB for each transfer, so a buffer that is kept of each would show.
	for c, before := range map[*computer]taken{giver: beforeGiver, taker: beforeTaker} {
		if grown := c.metrics().memory - before.memory; grown > 24<<20 {
			t.Errorf("%.0f bytes of memory more", grown)
		}
	}
}

func (c *computer) client() *api.Client {
	c.t.Helper()
	client, err := api.Dial(c.dir)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(client.Close)
	return client
}

// do carries out an operation of files, which must succeed.
func do[Out, In any](t *testing.T, c *api.Client, op string, in In) Out {
	t.Helper()
	out, err := api.Do[In, Out](t.Context(), c, "files", op, in)
	if err != nil {
		t.Fatalf("%s: %v", op, err)
	}
	return out
}

// What a node takes up, as its /metrics have it.
type taken struct{ goroutines, files, memory float64 }

func (c *computer) metrics() (m taken) {
	c.t.Helper()
	client, err := api.Dial(c.dir)
	if err != nil {
		c.t.Fatal(err)
	}
	defer client.Close()
	token, err := os.ReadFile(filepath.Join(c.dir, "token"))
	if err != nil {
		c.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(c.t.Context(), "GET", client.URL()+"/metrics", nil)
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	found := 0
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if to := map[string]*float64{"go_goroutines": &m.goroutines, "process_open_fds": &m.files, "process_resident_memory_bytes": &m.memory}[name]; to != nil {
			*to, _ = strconv.ParseFloat(value, 64)
			found++
		}
	}
	if found != 3 || resp.StatusCode != http.StatusOK {
		c.t.Fatalf("%d of 3 metrics; HTTP status %d", found, resp.StatusCode)
	}
	return m
}

// spare is how many goroutines and files more than before are no growth: those of a request that is being answered.
const spare = 5

// settles waits until the node takes up no more than it did.
func (c *computer) settles(before taken) {
	c.t.Helper()
	var now taken
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if now = c.metrics(); now.goroutines <= before.goroutines+spare && now.files <= before.files+spare {
			return
		}
	}
	c.t.Errorf("it has %v goroutines and %v files, and had %v and %v", now.goroutines, now.files, before.goroutines, before.files)
}
