// Package swarm says who an item comes from and goes to: peers, how they are connected and what moves, and the trackers that name them. It is what people see of that, as types of operations and
// as text; it fetches nothing and knows no network.
package swarm

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"kith/bridge"
	"kith/internal/human"
	"kith/internal/plain"
	"kith/transfer"
)

// Source is a peer that an item comes from, or that it goes to in another network.
type Source struct {
	Peer    string   `json:"peer"`
	Network string   `json:"network,omitempty" doc:"other network that it is in"`
	Name    string   `json:"name,omitempty" doc:"what its owner is called; in another network its program, if it says so"`
	State   string   `json:"state" enum:"connecting,active,idle,slow,dropped,cut off" doc:"cut off: it sent bytes that are not what their name says"`
	Why     string   `json:"why,omitempty"`
	Have    float64  `json:"have" doc:"part of the content that it has, 0 to 1"`
	Bytes   int64    `json:"bytes" doc:"verified bytes that came from it"`
	Rate    float64  `json:"rate"`
	Sent    int64    `json:"sent,omitempty" doc:"bytes that it was sent, where that is known"`
	UpRate  float64  `json:"up_rate,omitempty" doc:"bytes a second that it is sent, where that is known"`
	Via     string   `json:"via,omitempty" doc:"transport"`
	Flags   []string `json:"flags,omitempty" doc:"how the connection stands, in words: who dialled, by what it was found, how it is encrypted, who serves whom"`
}

// Tracker is what was heard of one that a torrent is told to.
type Tracker struct {
	URL   string    `json:"url"`
	Asked time.Time `json:"asked,omitzero" doc:"when it was asked last; absent: not yet, or it is one over a WebSocket, of which that is not known"`
	Next  time.Time `json:"next,omitzero" doc:"when it is asked again; absent: as soon as may be"`
	Peers int       `json:"peers" doc:"that it named when it answered last"`
	Why   string    `json:"why,omitempty" doc:"why it did not answer, or refused; absent: it answered"`
}

// Seen returns a peer of another network.
func Seen(network string, p transfer.OriginPeer, state transfer.SourceState) Source {
	return Source{Peer: p.Name, Network: network, Name: p.Program, State: string(state), Have: p.Have, Bytes: p.Bytes, Rate: p.Down, Sent: p.Sent, UpRate: p.Up, Via: p.Via, Flags: p.Flags}
}

// Trackers returns what a bridge has heard of trackers.
func Trackers(heard []bridge.Tracker) (list []Tracker) {
	for _, t := range heard {
		list = append(list, Tracker(t))
	}
	return list
}

// WriteSources writes a table of peers.
func WriteSources(w io.Writer, list []Source) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(tw, "  WHO\tHOW\tHAS\tCAME\tRATE\tSENT\tRATE\tSTATE")
	for _, s := range list {
		who := s.Peer
		if s.Name != "" {
			who += " (" + s.Name + ")"
		}
		state := s.State
		if s.Why != "" {
			state += ", " + s.Why
		}
		if len(s.Flags) > 0 {
			state += ": " + strings.Join(s.Flags, ", ")
		}
		fmt.Fprintf(tw, "  %s\t%s\t%.0f%%\t%s\t%s\t%s\t%s\t%s\n", plain.Text(who), plain.Text(strings.TrimSpace(s.Network+" "+s.Via)), 100*s.Have,
			human.Bytes(s.Bytes), human.Rate(s.Rate), human.Bytes(s.Sent), human.Rate(s.UpRate), plain.Text(state))
	}
	return tw.Flush()
}

// WriteTrackers writes a line for each tracker.
func WriteTrackers(w io.Writer, list []Tracker, now time.Time) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, t := range list {
		fmt.Fprintf(tw, "  %s\t%s\n", plain.Text(t.URL), plain.Text(t.words(now)))
	}
	return tw.Flush()
}

// words says how a tracker stands.
func (t Tracker) words(now time.Time) string {
	left := func(d time.Duration) string { return human.Duration(max(d, 0).Round(time.Second)) }
	switch {
	case t.Asked.IsZero() && strings.HasPrefix(t.URL, "ws"):
		return "asked over a WebSocket"
	case t.Asked.IsZero():
		return "not asked yet"
	}
	text := fmt.Sprintf("named %s %s ago", human.Count(t.Peers, "peer"), left(now.Sub(t.Asked)))
	if t.Why != "" {
		text = fmt.Sprintf("failed %s ago: %s", left(now.Sub(t.Asked)), t.Why)
	}
	if t.Next.After(now) {
		text += "; asked again in " + left(t.Next.Sub(now))
	}
	return text
}
