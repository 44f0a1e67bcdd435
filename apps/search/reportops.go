package search

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"kith/app"
	"kith/internal/human"
	"kith/internal/plain"
)

// ReportIn names what contacts are to be told of.
type ReportIn struct {
	What string `json:"what" arg:"0" doc:"a publisher's peer ID or the end of it that a search shows, a contact, or a link: of what is reported then only this content is"`
	Why  string `json:"why,omitempty" enum:"spam,fake,malware,illegal,other" default:"spam" doc:"what it is; fake: not what it says"`
	Note string `json:"note,omitempty" doc:"what to remember it by; it stays here"`
	Undo bool   `json:"undo,omitempty" doc:"take the report back, and show it again"`
}

// Word is what one contact says of a result.
type Word struct {
	By  string `json:"by" doc:"the contact, as the person calls them"`
	Why string `json:"why" enum:"spam,fake,malware,illegal,other"`
}

// Reported is what a contact reports.
type Reported struct {
	What  string    `json:"what" doc:"peer ID of a publisher, or CID of a content"`
	Kind  string    `json:"kind" enum:"publisher,content"`
	Why   string    `json:"why" enum:"spam,fake,malware,illegal,other"`
	Since time.Time `json:"since" doc:"as they say"`
}

// Voice is what one contact reports.
type Voice struct {
	By      string     `json:"by" doc:"the contact, as the person calls them; me: the person, at another device"`
	Count   int        `json:"count" doc:"reports"`
	Worth   float64    `json:"worth" doc:"how much each of them counts: 1, less of who reports much; what has 1.5 against it is set aside"`
	Reports []Reported `json:"reports" doc:"the latest first"`
}

// ReportsOut lists what contacts report.
type ReportsOut struct {
	Contacts []Voice `json:"contacts"`
}

func reportOp(run func(context.Context, ReportIn) (HiddenOut, error)) app.Op {
	o := app.NewOp("search report", "hide what is spam, and tell your contacts", run)
	o.Long = "It is shown here no more, as with kith search hide, and your contacts are told, now or when they are connected, and nobody else: not who shares it. What they find of it says that you\n" +
		"report it, and comes behind the rest; what two of their contacts report they see only if they want to. They do not pass it on. --undo takes it back.\n" +
		"To search for the word report itself: kith search -- report 2024."
	o.Example = "  kith search report …x7Kq2p9d\n  kith search report 'magnet:?xt=…' --why fake\n  kith search report …x7Kq2p9d --undo"
	return o
}

func reportsOp(run func(context.Context, None) (ReportsOut, error)) app.Op {
	o := app.NewOp("search reports", "list what contacts report as spam", run)
	o.Query = true
	return o
}

// shownReports is how many reports of a contact are shown in a text.
const shownReports = 10

// WriteText implements app.Texter.
func (out ReportsOut) WriteText(w io.Writer, width int) error {
	var b strings.Builder
	for _, v := range out.Contacts {
		fmt.Fprintf(&b, "%s  %s", plain.Text(v.By), human.Count(v.Count, "report"))
		if v.Worth < 1 {
			fmt.Fprintf(&b, ", so many that each counts %.2g", v.Worth)
		}
		b.WriteString("\n")
		for _, r := range v.Reports[:min(len(v.Reports), shownReports)] {
			fmt.Fprintf(&b, "  %s  %s · %s · %s\n", tail(r.What), r.Kind, r.Why, r.Since.Local().Format("2 January 2006"))
		}
		if more := len(v.Reports) - shownReports; more > 0 {
			fmt.Fprintf(&b, "  and %d more: --json has all\n", more)
		}
	}
	if len(out.Contacts) == 0 {
		b.WriteString("No contact reports anything. What you report yourself: kith search hidden\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// said is what contacts say of a result, "" if they say nothing.
func (r Result) said() string {
	var parts []string
	for _, w := range r.Reports {
		if w.By == ownName {
			parts = append(parts, "you report this as "+w.Why+", at another device")
		} else {
			parts = append(parts, plain.Text(w.By)+" reports this as "+w.Why)
		}
	}
	return strings.Join(parts, "; ")
}

// asideText says what was set aside.
func (out SearchOut) asideText(w io.Writer) {
	if n := len(out.Reported); n > 0 {
		fmt.Fprintf(w, "%s set aside, since contacts report %s; show %s with --reported.\n", map[bool]string{true: "1 result was", false: fmt.Sprintf("%d results were", n)}[n == 1],
			map[bool]string{true: "it", false: "them"}[n == 1], map[bool]string{true: "it", false: "them"}[n == 1])
	}
}
