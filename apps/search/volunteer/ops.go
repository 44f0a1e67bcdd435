package volunteer

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"

	"kith/app"
	"kith/internal/human"
)

// None is the input of operations that take nothing.
type None struct{}

// VolunteerOnIn says how much is kept for others. The name is the one that it has in the API, as that of VolunteerOut.
type VolunteerOnIn struct {
	Most int `json:"most,omitempty" default:"1000000" doc:"so many publications at most that others do not keep, up to 5,000,000; a million take about 1 GB"`
}

// VolunteerOut says how it stands with volunteers.
type VolunteerOut struct {
	On      bool  `json:"on" doc:"this node indexes all of its shard, for others too"`
	Most    int   `json:"most,omitempty" doc:"so many publications are kept at most that others do not keep"`
	Kept    int   `json:"kept" doc:"so many are"`
	All     int   `json:"all" doc:"publications that this node knows, these among them"`
	Disk    int64 `json:"disk" doc:"bytes of all of them and of the index"`
	Fetched int64 `json:"fetched" doc:"bytes of publications that came since the node was started and that others do not keep"`
	Asked   int64 `json:"asked" doc:"questions that it has answered since then"`
	Given   int64 `json:"given" doc:"publications in these answers"`
	Sent    int64 `json:"sent" doc:"bytes of these"`
	Devices int   `json:"devices" doc:"others of the shard of which this node knows who has what"`
	Others  int   `json:"others" doc:"of these, who say that they volunteer"`
}

// ShowOp describes Show.
func ShowOp(run func(context.Context, None) (VolunteerOut, error)) app.Op {
	o := app.NewOp("search volunteer", "show whether this node indexes for others what they search, and what it takes", run)
	o.Query = true
	return o
}

// OnOp describes On.
func OnOp(run func(context.Context, VolunteerOnIn) (VolunteerOut, error)) app.Op {
	o := app.NewOp("search volunteer on", "index all that is published in this part of the network, for others too", run)
	o.Long = "Every node keeps some of what each device publishes, up to a limit, and asks for the rest. A volunteer fetches the rest too, and others ask it beside those who publish: they find more, and what is\n" +
		"of somebody who is off. It is a role that any node can take and nobody depends on: whoever asks checks the signature of each answer, and compares it with those of others. It takes disk (a million\n" +
		"publications about 1 GB) and some upload, and this node learns what others look for. It stays on through restarts, until: kith search volunteer off"
	o.Example = "  kith search volunteer on\n  kith search volunteer on --most 200000"
	return o
}

// OffOp describes Off.
func OffOp(run func(context.Context, None) (VolunteerOut, error)) app.Op {
	return app.NewOp("search volunteer off", "volunteer no more, and keep no more than others do", run)
}

// On switches the role on, or changes how much it keeps.
func (r *Role) On(ctx context.Context, in VolunteerOnIn) (VolunteerOut, error) {
	if err := r.set(ctx, cmp.Or(in.Most, defaultBeyond)); err != nil {
		return VolunteerOut{}, err
	}
	return r.Show(ctx, None{})
}

// Off switches it off, and drops what others do not keep.
func (r *Role) Off(ctx context.Context, _ None) (VolunteerOut, error) {
	if err := r.set(ctx, 0); err != nil {
		return VolunteerOut{}, err
	}
	return r.Show(ctx, None{})
}

// Show says how it stands.
func (r *Role) Show(context.Context, None) (VolunteerOut, error) {
	out := VolunteerOut{
		Most: r.beyond(), Kept: r.o.Spread.Far(), All: r.o.Spread.Len(), Disk: r.disk(),
		Fetched: r.o.Spread.FarCame(), Asked: r.asked.Load(), Given: r.given.Load(), Sent: r.bytes.Load(),
	}
	out.On = out.Most > 0
	for _, k := range r.o.Shard.Known() {
		out.Devices++
		if k.Filter.Volunteers() {
			out.Others++
		}
	}
	return out, nil
}

// WriteText implements app.Texter.
func (out VolunteerOut) WriteText(w io.Writer, width int) error {
	var b strings.Builder
	if out.On {
		fmt.Fprintf(&b, "This node volunteers: it keeps %s that others do not keep, of %d at most.\n", human.Count(out.Kept, "publication"), out.Most)
		fmt.Fprintf(&b, "  fetched %s for it, answered %s with %s (%s) since it was started\n", human.Bytes(out.Fetched), human.Count(int(out.Asked), "question"), human.Count(int(out.Given), "publication"), human.Bytes(out.Sent))
	} else {
		b.WriteString("This node does not volunteer; it would with: kith search volunteer on\n")
	}
	fmt.Fprintf(&b, "  knows %s; they and the index have %s\n", human.Count(out.All, "publication"), human.Bytes(out.Disk))
	fmt.Fprintf(&b, "  of %s that publish or volunteer, %d volunteer\n", human.Count(out.Devices, "other device"), out.Others)
	_, err := io.WriteString(w, b.String())
	return err
}
