package bittorrent

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"kith/bridge"
	"kith/transfer"
)

// TestCensus: of a swarm of two, each knows of the other what it is and how they are connected, and what the trackers said. There is more than what is asked for, and so a connection.
func TestCensus(t *testing.T) {
	ctx := timed(t, time.Minute)
	answers := func(what string) string {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, what) }))
		t.Cleanup(srv.Close)
		return srv.URL + "/announce"
	}
	good, bad := answers("d8:intervali1800e5:peers6:\x7f\x00\x00\x01\x00\x01e"), answers("d14:failure reason7:go awaye")
	a, b := newNode(t, nil), newNode(t, nil)
	names, err := a.Publish(ctx, a.share("film", theFilm))
	if err != nil {
		t.Fatal(err)
	}
	l := a.link(names)
	l.Trackers = []string{good, bad, "ws://127.0.0.1:1/announce"}
	d := b.get(ctx, l)
	if err := d.span(ctx, transfer.Span{N: d.layout.Unit}); err != nil {
		t.Fatal(err)
	}
	// met returns the only peer of a node, and what the node knows of the swarm.
	met := func(n *node) (p transfer.OriginPeer, st bridge.Status) {
		until(t, 10*time.Second, "there is one peer", func() bool {
			st, err = n.StatusOf(names)
			return err == nil && len(st.Peers) == 1 && st.Peers[0].Program != "" && st.Peers[0].Bytes+st.Peers[0].Sent > 0
		})
		return st.Peers[0], st
	}
	p, st := met(b)
	if p.Name != l.Swarm[0] || p.Program != "Kith test" || p.Have != 1 || p.Bytes < d.layout.Unit || p.Sent != 0 || p.Via != "tcp" && p.Via != "utp" || p.Flags[0] != "outgoing" || st.Copies != 1 {
		t.Errorf("who gives is %+v, of %v copies", p, st.Copies)
	}
	q, st := met(a)
	if q.Program != "Kith test" || q.Have == 1 || q.Sent < d.layout.Unit || q.Bytes != 0 || q.Via != p.Via || q.Flags[0] != "incoming" || st.Copies >= 1 {
		t.Errorf("who fetches is %+v, of %v copies", q, st.Copies)
	}
	if is := func(p transfer.OriginPeer) bool { return slices.Contains(p.Flags, "encrypted") }; is(p) != is(q) {
		t.Errorf("one says %q, the other %q", p.Flags, q.Flags)
	}
	until(t, 10*time.Second, "the trackers were asked", func() bool {
		st, err = b.StatusOf(names)
		return err == nil && len(st.Trackers) == 3 && !slices.ContainsFunc(st.Trackers[:2], func(t bridge.Tracker) bool { return t.Asked.IsZero() })
	})
	for _, tr := range st.Trackers {
		said := fmt.Sprint(tr.Peers, " ", tr.Why)
		next := time.Until(tr.Next)
		switch {
		case tr.URL == good && said == "1 " && next > 25*time.Minute && next <= 30*time.Minute:
		case tr.URL == bad && said == "0 go away" && next > 0 && next <= time.Minute:
		case strings.HasPrefix(tr.URL, "ws:") && tr == (bridge.Tracker{URL: l.Trackers[2]}):
		default:
			t.Errorf("%+v, in %v", tr, next)
		}
	}
}
