package search_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"kith"
	"kith/apps/files"
	"kith/apps/search"
	"kith/apptest"
	told "kith/search/report"
	"kith/wire"
)

// both makes two nodes contacts of each other.
func both(t *testing.T, a *apptest.Node, nameOfB string, b *apptest.Node, nameOfA string) {
	t.Helper()
	befriend(t, a, nameOfB, b)
	befriend(t, b, nameOfA, a)
}

func said(r search.Result) (by []string) {
	for _, w := range r.Reports {
		by = append(by, w.By+" "+w.Why)
	}
	slices.Sort(by)
	return by
}

// What a contact reports comes behind the rest and says so, what two do is set aside, until they take it back; contacts of theirs hear nothing of it, and it is there after a
// restart. Who is no contact any more, or hidden, does not count.
func TestReport(t *testing.T) {
	var w tap
	net := apptest.New(t, 5, w.build)
	ben, anna, carl, dora, spammer := net.Node(0), net.Node(1), net.Node(2), net.Node(3), net.Node(4)
	both(t, ben, "Anna", anna, "Ben")
	both(t, ben, "Carl", carl, "Ben")
	both(t, anna, "Dora", dora, "Anna") // whom ben does not know
	share(t, spammer, "pills.txt", "1", files.ShareIn{For: "public"})
	share(t, dora, "a very long text of many words in which pills are said to do harm.txt", "2", files.ShareIn{For: "public"})
	two := func(out search.SearchOut) bool { return len(out.Results) == 2 }
	for i := range 4 {
		until(t, net.Node(i), "pills", "not all is found", two)
	}
	if r := find(t, ben, "pills").Results[0]; r.Name != "pills.txt" || len(r.Reports) > 0 {
		t.Fatalf("before: %+v", r)
	}
	id := spammer.Network().ID().String()
	tail := "…" + id[len(id)-8:]
	out := call[search.HiddenOut](t, anna, "search report", search.ReportIn{What: tail, Note: "pills"})
	if len(out.Hidden) != 1 || out.Hidden[0].What != id || out.Hidden[0].Reported != "spam" || out.Hidden[0].Why != "pills" {
		t.Errorf("%+v", out)
	}
	if out := find(t, anna, "pills"); !one(out) || out.Results[0].Name == "pills.txt" {
		t.Errorf("who reports it finds %+v", out)
	}
	until(t, ben, "pills", "a contact does not hear it", func(out search.SearchOut) bool {
		return two(out) && out.Results[1].Name == "pills.txt" && slices.Equal(said(out.Results[1]), []string{"Anna spam"}) && len(out.Results[0].Reports) == 0
	})
	link := find(t, carl, "pills").Results[0]
	if link.Name != "pills.txt" {
		t.Fatalf("%+v", link)
	}
	call[search.HiddenOut](t, carl, "search report", search.ReportIn{What: link.Link, Why: "fake"})
	found := until(t, ben, "pills", "what two report is shown", func(out search.SearchOut) bool { return one(out) && len(out.Reported) == 1 })
	if got := said(found.Reported[0]); !slices.Equal(got, []string{"Anna spam", "Carl fake"}) || found.Total != 2 {
		t.Errorf("%v of %d", got, found.Total)
	}
	var text strings.Builder
	if err := found.WriteText(&text, 80); err != nil || !strings.Contains(text.String(), "1 result was set aside, since contacts report it; show it with --reported.") {
		t.Errorf("%s, %v", text.String(), err)
	}
	var all search.SearchOut
	if err := ben.Call(t.Context(), "search", "search", search.SearchIn{Words: []string{"pills"}, Reported: true}, &all); err != nil || len(all.Results) != 2 || len(all.Reported) != 0 || all.Results[1].Name != "pills.txt" {
		t.Errorf("with --reported: %+v, %v", all, err)
	}
	text.Reset()
	if err := all.WriteText(&text, 80); err != nil || !strings.Contains(text.String(), "Anna reports this as spam; Carl reports this as fake") {
		t.Errorf("%s, %v", text.String(), err)
	}
	net.Restart(0)
	if out := find(t, net.Node(0), "pills"); !one(out) || len(out.Reported) != 1 {
		t.Errorf("after a restart: %+v", out)
	}
	ben = net.Node(0)
	for _, n := range []*apptest.Node{ben, dora} { // what each hears: ben of both, dora of anna alone
		heard := call[search.ReportsOut](t, n, "search reports", search.None{})
		var by []string
		for _, v := range heard.Contacts {
			by = append(by, fmt.Sprintf("%s %d %v %s %s", v.By, v.Count, v.Worth, v.Reports[0].Why, v.Reports[0].Kind))
		}
		want := []string{"Anna 1 1 spam publisher", "Carl 1 1 fake content"}
		if n == dora {
			want = want[:1]
		}
		if !slices.Equal(by, want) {
			t.Errorf("heard: %q, want %q", by, want)
		}
	}
	call[search.HiddenOut](t, anna, "search report", search.ReportIn{What: tail, Undo: true})
	if out := find(t, anna, "pills"); len(out.Results) != 2 && len(out.Results)+len(out.Reported) != 2 {
		t.Errorf("who takes it back finds %+v", out)
	}
	until(t, ben, "pills", "what is taken back counts", func(out search.SearchOut) bool {
		return two(out) && slices.Equal(said(out.Results[1]), []string{"Carl fake"})
	})
	call[search.HiddenOut](t, ben, "search hide", search.HideIn{What: "@carl"})
	if out := find(t, ben, "pills"); len(said(out.Results[0]))+len(said(out.Results[1])) > 0 {
		t.Errorf("who is hidden counts: %+v", out.Results)
	}
	call[search.HiddenOut](t, ben, "search unhide", search.UnhideIn{What: "@carl"})
	until(t, ben, "pills", "who is hidden no more does not count", func(out search.SearchOut) bool { return two(out) && len(out.Results[1].Reports) == 1 })
	if err := ben.Call(t.Context(), "node", "people rm", map[string]string{"name": "Carl"}, new(any)); err != nil {
		t.Fatal(err)
	}
	if out := find(t, ben, "pills"); len(out.Results) != 2 || len(said(out.Results[0]))+len(said(out.Results[1])) > 0 {
		t.Errorf("who is no contact any more counts: %+v", out)
	}
}

// tell tells one node what another reports, as it were the other's program, and returns why that is not heard.
func tell(t *testing.T, from, to *apptest.Node, list []byte) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	st, err := from.Network().Open(ctx, to.Network().ID(), told.ProtocolID)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	return told.Tell(ctx, st, list)
}

// One contact who reports everything, and two who do, set nothing aside; what is no list changes nothing, nor does what a stranger says; and who is reported is not told.
func TestReportEverything(t *testing.T) {
	var w tap
	net := apptest.New(t, 4, w.build)
	ben, mallory, eve, stranger := net.Node(0), net.Node(1), net.Node(2), net.Node(3)
	both(t, ben, "Mallory", mallory, "Ben")
	befriend(t, ben, "Eve", eve)
	const things = 12
	var reports []told.Report
	for i := range things {
		s := share(t, stranger, fmt.Sprintf("winter %d.txt", i), fmt.Sprint(i), files.ShareIn{For: "public"})
		link, err := kith.ParseLink(s.Link)
		if err != nil {
			t.Fatal(err)
		}
		reports = append(reports, told.Report{What: link.Ref.String(), Why: told.Spam, At: time.Now()})
	}
	all := func(out search.SearchOut) bool { return len(out.Results) == things && len(out.Reported) == 0 }
	until(t, ben, "winter", "not all is found", all)
	for i := len(reports); i < told.Max; i++ {
		reports = append(reports, told.Report{What: kith.RawRef([32]byte{1, byte(i), byte(i >> 8)}).String(), Why: told.Spam, At: time.Now()})
	}
	everything, err := told.Seal(reports)
	if err != nil {
		t.Fatal(err)
	}
	few, _ := told.Seal(reports[:2])
	if err := tell(t, stranger, ben, few); !errors.Is(err, kith.Denied) {
		t.Errorf("a stranger is heard: %v", err)
	}
	if err := tell(t, mallory, ben, everything); err != nil {
		t.Fatal(err)
	}
	if err := tell(t, eve, ben, everything); err != nil {
		t.Fatal(err)
	}
	if out := find(t, ben, "winter"); !all(out) || len(out.Results[0].Reports) != 2 {
		t.Errorf("two who report everything: %d results, %d set aside", len(out.Results), len(out.Reported))
	}
	for name, list := range map[string]any{"garbage": "x", "no things": []map[int]any{{1: "anna"}}, "too many": make([]int, 600)} {
		data, _ := wire.Marshal(list)
		if err := tell(t, mallory, ben, data); err == nil {
			t.Errorf("%s is heard", name)
		}
	}
	if v := call[search.ReportsOut](t, ben, "search reports", search.None{}).Contacts; len(v) != 2 || v[0].Count != told.Max || v[0].Worth != 0.1 {
		t.Errorf("%d voices", len(v))
	}
	if err := tell(t, mallory, ben, few); err != nil {
		t.Fatal(err)
	}
	if err := tell(t, eve, ben, few); err != nil {
		t.Fatal(err)
	}
	if out := find(t, ben, "winter"); len(out.Results) != things-2 || len(out.Reported) != 2 {
		t.Errorf("two who report two things: %d results, %d set aside", len(out.Results), len(out.Reported))
	}
	call[search.HiddenOut](t, ben, "search report", search.ReportIn{What: "@mallory", Why: "malware"})
	if out := find(t, ben, "winter"); !all(out) {
		t.Errorf("without one of them: %d results, %d set aside", len(out.Results), len(out.Reported))
	}
	if v := call[search.ReportsOut](t, mallory, "search reports", search.None{}).Contacts; len(v) != 0 {
		t.Errorf("who is reported hears it: %+v", v)
	}
}

func TestReportRefused(t *testing.T) {
	var w tap
	n := apptest.New(t, 1, w.build).Node(0)
	root := kith.RawRef([32]byte{9}).String()
	for name, c := range map[string]struct {
		in   search.ReportIn
		kind kith.Kind
	}{
		"nobody":       {search.ReportIn{What: "@nobody"}, kith.NotFound},
		"no reason":    {search.ReportIn{What: root, Why: "boring"}, kith.Invalid},
		"not reported": {search.ReportIn{What: root, Undo: true}, kith.NotFound},
		"a long note":  {search.ReportIn{What: root, Note: strings.Repeat("a", 300)}, kith.TooLarge},
	} {
		if err := n.Call(t.Context(), "search", "search report", c.in, new(any)); !errors.Is(err, c.kind) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if out := call[search.HiddenOut](t, n, "search hidden", search.None{}); len(out.Hidden) != 0 {
		t.Errorf("what was refused is hidden: %+v", out)
	}
	call[search.HiddenOut](t, n, "search hide", search.HideIn{What: root})
	if err := n.Call(t.Context(), "search", "search report", search.ReportIn{What: root, Undo: true}, new(any)); !errors.Is(err, kith.NotFound) {
		t.Errorf("what is hidden alone is taken back: %v", err)
	}
	call[search.HiddenOut](t, n, "search report", search.ReportIn{What: root})
	if out := call[search.HiddenOut](t, n, "search unhide", search.UnhideIn{What: root}); len(out.Hidden) != 0 {
		t.Errorf("%+v", out)
	}
	if out := call[search.HiddenOut](t, n, "search report", search.ReportIn{What: root, Why: "other"}); len(out.Hidden) != 1 || out.Hidden[0].Reported != "other" {
		t.Errorf("%+v", out)
	}
}

// A result says whether any of who shares it is there, and when it was if it is not.
func TestLive(t *testing.T) {
	var w tap
	net := apptest.New(t, 2, w.build)
	share(t, net.Node(1), "winter.txt", "1", files.ShareIn{For: "public"})
	share(t, net.Node(0), "summer.txt", "2", files.ShareIn{For: "public"})
	if r := until(t, net.Node(0), "winter", "what is public is not found", one).Results[0]; r.Live != "now" || !r.Seen.IsZero() {
		t.Errorf("who is connected: %q, %v", r.Live, r.Seen)
	}
	if r := until(t, net.Node(0), "summer", "what is here is not found", one).Results[0]; r.Live != "" {
		t.Errorf("what is here: %q", r.Live)
	}
	net.Node(1).Stop()
	out := until(t, net.Node(0), "winter", "who is gone is said to be there", func(out search.SearchOut) bool { return one(out) && out.Results[0].Live == "seen" })
	if ago := time.Since(out.Results[0].Seen); ago < -time.Second || ago > 10*time.Minute {
		t.Errorf("it was seen %v ago", ago)
	}
	var text strings.Builder
	if err := out.WriteText(&text, 80); err != nil || !strings.Contains(text.String(), "last seen 1 min ago") {
		t.Errorf("%s, %v", text.String(), err)
	}
	net.Restart(0)
	if out := find(t, net.Node(0), "winter"); !one(out) || out.Results[0].Live != "unknown" {
		t.Errorf("after a restart: %+v", out.Results)
	}
}
