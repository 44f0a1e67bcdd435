package files

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"iter"
	"reflect"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/multiformats/go-multiaddr"

	"kith"
	"kith/app"
	"kith/apps/files/swarm"
	"kith/blob/seal"
	"kith/internal/human"
	"kith/internal/media"
	"kith/internal/plain"
	"kith/internal/qr"
	"kith/transfer"
)

// None is the input of an operation that needs none.
type None struct{}

func lsOp(run func(context.Context, None) (LsOut, error)) app.Op {
	o := app.NewOp("ls", "list what is shared and fetched", run)
	o.Query = true
	return o
}

func watchOp(run func(context.Context, None) iter.Seq2[LsOut, error]) app.Op {
	o := app.NewStreamOp("watch", "list what is shared and fetched, again whenever it changes", run)
	o.Query, o.Hidden = true, true
	return o
}

func showOp(run func(context.Context, RefIn) (ShowOut, error)) app.Op {
	o := app.NewOp("show", "show all that is known of an item: link, sources, files", run)
	o.Query = true
	o.Example = "  kith show festival.mkv"
	return o
}

func (f *Files) ls(context.Context, None) (LsOut, error) {
	out := LsOut{Items: []Item{}}
	ups, addrs := f.env.Moves.Uploads(), f.addrs()
	for _, it := range f.all() {
		out.Items = append(out.Items, f.view(it, ups, addrs))
	}
	out.Guests = f.guests()
	out.Rate, out.Up = f.env.Moves.Rates()
	return out, nil
}

// watchEvery bounds how often watch tells what has changed.
const watchEvery = 500 * time.Millisecond

func (f *Files) watch(ctx context.Context, _ None) iter.Seq2[LsOut, error] {
	return func(yield func(LsOut, error) bool) {
		var last LsOut
		first := true
		for {
			rung := f.bell.Wait()
			now, err := f.ls(ctx, None{})
			if err != nil {
				yield(LsOut{}, err)
				return
			}
			if first || !reflect.DeepEqual(now, last) {
				if !yield(now, nil) {
					return
				}
			}
			first, last = false, now
			if now.Rate == 0 && now.Up == 0 { // at rest: sleep until something happens, with a look now and then
				if !sleep(ctx, rung, 5*time.Second) {
					return
				}
			}
			if !sleep(ctx, nil, watchEvery) {
				return
			}
		}
	}
}

// sleep waits for d, or until woken; it reports whether ctx still holds.
func sleep(ctx context.Context, woken <-chan struct{}, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-woken:
	case <-t.C:
	}
	return true
}

// view returns an item as others see it.
func (f *Files) view(it item, ups map[kith.Ref]transfer.Upload, addrs []multiaddr.Multiaddr) Item {
	l, got := f.linkTo(it, addrs), f.got(it)
	v := Item{Ref: it.Ref, Name: got.Name, Size: got.Size, Files: it.Files, Folder: it.manifest() && !(it.Key != nil && it.Files == 1), Kind: it.Kind, State: got.State, Reason: got.Reason,
		For: it.For, Private: it.Key != nil, Path: got.Path, Link: l.String(), Short: l.Short(), Done: got.Done, Rate: got.Rate, ETA: got.ETA,
		Sources: got.Sources, Added: it.Added, Up: it.Up + ups[it.Ref].Bytes, UpRate: ups[it.Ref].Rate}
	if it.State == stateReady || it.State == stateGone {
		v.State, v.Done, v.ETA = it.State, it.Size, 0
	}
	v.Only, v.Part, v.Networks = it.Only, it.Part, f.networksOf(it, got.Networks)
	for _, n := range v.Networks {
		v.Up += n.Up
		v.UpRate += n.UpRate
	}
	if it.pending() {
		v.Folder = it.Files > 1 || it.dl != nil && it.dl.Status().Folder
		v.Short = v.Link
	}
	if v.Name == "" {
		v.Name = it.Ref.Short()
	}
	if !v.Folder {
		v.Media = media.Type(v.Name)
	}
	return v
}

// Limits of what show tells.
const (
	maxStretches = 512
	maxTree      = 2000
	maxOthers    = 200 // peers of one other network
)

func (f *Files) show(ctx context.Context, in RefIn) (ShowOut, error) {
	it, err := f.find(in.Ref)
	if err != nil {
		return ShowOut{}, err
	}
	out := ShowOut{Item: f.view(it, f.env.Moves.Uploads(), f.addrs()), From: []swarm.Source{}}
	out.Command = "kith get '" + out.Short + "'"
	if out.QR, err = qr.SVG(out.Short); err != nil && !it.pending() { // a magnet of many trackers has no room in one
		return ShowOut{}, fmt.Errorf("files: show: %w", err)
	}
	have := []byte{255}
	if it.dl != nil {
		var rarity []byte
		have, rarity = it.dl.Pieces(maxStretches)
		out.Rarity = base64.StdEncoding.EncodeToString(rarity)
		for _, s := range it.dl.Status().Sources {
			out.From = append(out.From, f.source(s))
		}
	}
	out.Pieces = base64.StdEncoding.EncodeToString(have)
	for i, n := range out.Networks {
		out.From = append(out.From, f.others(it, n, out.From)...)
		if s, ok := f.bridge(n.Network).(sayer); ok {
			if st, err := s.StatusOf(it.Names); err == nil {
				out.Copies, out.Trackers = st.Copies, swarm.Trackers(st.Trackers)
				out.Up, out.UpRate = out.Up+st.Up-n.Up, out.UpRate+st.UpRate-n.UpRate
				out.Networks[i].Up, out.Networks[i].UpRate, out.Networks[i].Ratio = st.Up, st.UpRate, ratio(st.Up, it.Size)
			}
		}
	}
	if it.manifest() || it.pending() {
		f.tree(ctx, it, &out)
	}
	return out, nil
}

// others returns the peers of another network that an item comes from or goes to, but for those that are listed.
func (f *Files) others(it item, n ItemNetwork, listed []swarm.Source) (list []swarm.Source) {
	b := f.bridge(n.Network)
	if b == nil || slices.ContainsFunc(listed, func(s swarm.Source) bool { return s.Network == n.Network }) {
		return nil
	}
	st, err := b.Status(it.Ref)
	if err != nil {
		return nil
	}
	for _, p := range st.Peers {
		if len(list) == maxOthers {
			break
		}
		state := transfer.Idle
		if p.Down > 0 || p.Up > 0 {
			state = transfer.Active
		}
		list = append(list, swarm.Seen(n.Network, p, state))
	}
	return list
}

// networksOf returns how an item stands in other networks, as its download says it and as the bridges do.
func (f *Files) networksOf(it item, came []ItemNetwork) []ItemNetwork {
	by := map[string]ItemNetwork{}
	for _, n := range came {
		by[n.Network] = n
	}
	return f.inNetworks(it, by)
}

// tree adds the files of a folder, as far as it is known what they are.
func (f *Files) tree(ctx context.Context, it item, out *ShowOut) {
	if it.pending() {
		for _, file := range filesOf(it, maxTree) {
			if file.Size < 0 { // nobody has told yet
				break
			}
			out.Tree = append(out.Tree, TreeEntry{Index: file.Index, Path: file.Path, Size: file.Size, Done: file.Done, Media: media.Type(file.Path), Wanted: chosen(it.Only, file.Path)})
		}
		if len(out.Tree) == maxTree {
			all := it.Files // that are wanted, or here
			if it.dl != nil {
				all = it.dl.Drafted()
			}
			out.More = max(0, all-maxTree)
		}
		return
	}
	done := map[int]int64{}
	if it.dl != nil {
		for _, file := range it.dl.Files(maxTree) {
			done[file.Index] = file.Done
		}
	}
	m, err := f.env.Blobs.Manifest(ctx, it.Ref, sealKey(it))
	if err != nil {
		return // not here yet
	}
	for i, e := range m.Entries {
		if !e.File() {
			continue
		}
		if len(out.Tree) == maxTree {
			out.More++
			continue
		}
		t := TreeEntry{Index: i, Path: e.Path, Size: e.Size, Media: media.Type(e.Path), Wanted: chosen(it.Only, e.Path)}
		if out.State == stateReady || out.State == stateDone && (t.Wanted || !it.Part) {
			t.Done = e.Size
		} else {
			t.Done = done[i]
		}
		out.Tree = append(out.Tree, t)
	}
}

func sealKey(it item) *seal.Key {
	if it.Key == nil {
		return nil
	}
	k := seal.Key(it.Key)
	return &k
}

func (f *Files) source(s transfer.Source) swarm.Source {
	if s.Network != "" {
		return swarm.Seen(s.Network, s.Seen, s.State)
	}
	v := swarm.Source{Peer: s.Peer.String(), State: string(s.State), Why: s.Why, Have: s.Have, Bytes: s.Bytes, Rate: s.Rate, Via: s.Via}
	v.Name = f.env.People.Name(s.Peer)
	if p, ok := f.env.Host.Peer(s.Peer); ok && v.Why == "" {
		v.Why = p.Why
	}
	return v
}

// WriteText implements app.Texter.
func (o LsOut) WriteText(w io.Writer, width int) error {
	if len(o.Items) == 0 && len(o.Guests) > 0 {
		return GuestsOut{o.Guests}.WriteText(w, width)
	}
	if len(o.Items) == 0 {
		_, err := fmt.Fprintln(w, "nothing shared and nothing fetched yet; share something with: kith share PATH")
		return err
	}
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(tw, "NAME\tSIZE\tSTATE\tSENT\tFOR\tREF")
	for _, it := range o.Items {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\n", plain.Text(it.Name), size(it.Size), state(it), human.Bytes(it.Up), who(it), it.Ref.Short())
	}
	if err := tw.Flush(); err != nil || len(o.Guests) == 0 {
		return err
	}
	fmt.Fprintln(w)
	return GuestsOut{o.Guests}.WriteText(w, width)
}

// Suggest implements app.Suggester: an item's name, or the end of its ref where another has that name too or it is no word for a terminal.
func (o LsOut) Suggest() []string {
	named := map[string]int{}
	for _, it := range o.Items {
		named[it.Name]++
	}
	var all []string
	for _, it := range o.Items {
		if name := it.Name; named[name] == 1 && name == plain.Text(name) {
			all = append(all, name)
		} else {
			all = append(all, it.Ref.Short()+"\t"+plain.Text(name)) // cobra: what stands behind the tab is told, not typed
		}
	}
	return all
}

// who says who may fetch an item, whether the key is needed too, and in which other networks it is served.
func who(it Item) string {
	text := it.For
	if it.Private {
		text += ", encrypted"
	}
	for _, n := range it.Networks {
		if n.Served {
			text += ", " + n.Network
		}
	}
	return text
}

// words says how an item stands in another network.
func (n ItemNetwork) words() string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	switch {
	case n.Served && n.Until > 0 && !n.Ends.IsZero():
		add("served until %.1f times its size was sent, or for another %s", n.Until, human.Duration(max(time.Until(n.Ends).Round(time.Second), 0)))
	case n.Served && n.Until > 0:
		add("served until %.1f times its size was sent", n.Until)
	case n.Served && !n.Ends.IsZero():
		add("served for another %s", human.Duration(max(time.Until(n.Ends).Round(time.Second), 0)))
	case n.Served:
		add("served")
	case n.State != "":
		add("%s", n.State)
	default:
		add("known there, not served")
	}
	if n.Peers > 0 {
		add("%s", human.Count(n.Peers, "peer"))
	}
	switch {
	case n.Rate > 0:
		add("%s came at %s", human.Bytes(n.Bytes), human.Rate(n.Rate))
	case n.Bytes > 0:
		add("%s came from there", human.Bytes(n.Bytes))
	}
	if n.Up > 0 {
		add("%s sent at %s, ratio %.2f", human.Bytes(n.Up), human.Rate(n.UpRate), n.Ratio)
	}
	if n.Verified {
		add("verified")
	}
	if n.Said != "" {
		add("%s", plain.Text(n.Said))
	}
	return strings.Join(parts, "; ")
}

func size(n int64) string {
	if n < 0 {
		return "?"
	}
	return human.Bytes(n)
}

// state says in a few words how an item is.
func state(it Item) string {
	switch it.State {
	case stateReady:
		return "shared"
	case stateDone:
		return "fetched"
	case stateFetching:
		if it.Size > 0 {
			s := fmt.Sprintf("%d%% %s", 100*it.Done/it.Size, human.Rate(it.Rate))
			if it.ETA >= 0 {
				s += ", " + human.Duration(time.Duration(it.ETA*float64(time.Second))) + " left"
			}
			return s
		}
	}
	how := it.State
	if it.Done > 0 && it.Size > 0 && it.State != stateGone {
		how += fmt.Sprintf(" at %d%%", 100*it.Done/it.Size)
	}
	if it.Reason != "" {
		how += ": " + plain.Text(it.Reason)
	}
	return how
}

// WriteText implements app.Texter.
func (o ShowOut) WriteText(w io.Writer, width int) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintf(tw, "name\t%s\n", plain.Text(o.Name))
	fmt.Fprintf(tw, "size\t%s\n", size(o.Size))
	fmt.Fprintf(tw, "state\t%s\n", state(o.Item))
	fmt.Fprintf(tw, "for\t%s\n", audience(o.For))
	fmt.Fprintf(tw, "path\t%s\n", plain.Text(o.Path))
	fmt.Fprintf(tw, "ref\t%s\n", o.Ref)
	fmt.Fprintf(tw, "sent\t%s\n", human.Bytes(o.Up))
	if o.Copies > 0 {
		fmt.Fprintf(tw, "copies\t%.2f among its peers\n", o.Copies)
	}
	if len(o.Only) > 0 {
		fmt.Fprintf(tw, "only\t%s\n", plain.Text(strings.Join(o.Only, ", ")))
	}
	for _, n := range o.Networks {
		fmt.Fprintf(tw, "%s\t%s\n", n.Network, n.words())
		for _, name := range n.Names {
			fmt.Fprintf(tw, "\t%s\n", plain.Text(name))
		}
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\n%s\n\nfetch it elsewhere with:\n  %s\n", o.Link, o.Command)
	if len(o.From) > 0 {
		fmt.Fprintln(w, "\nsources")
		if err := swarm.WriteSources(w, o.From); err != nil {
			return err
		}
	}
	if len(o.Trackers) > 0 {
		fmt.Fprintln(w, "\ntrackers")
		if err := swarm.WriteTrackers(w, o.Trackers, time.Now()); err != nil {
			return err
		}
	}
	if len(o.Tree) > 0 {
		fmt.Fprintln(w, "\nfiles")
		tw = tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
		for _, e := range o.Tree {
			fmt.Fprintf(tw, "  %s\t%s\n", human.Bytes(e.Size), plain.Text(e.Path))
		}
		if o.More > 0 {
			fmt.Fprintf(tw, "  …\tand %d more\n", o.More)
		}
		return tw.Flush()
	}
	return nil
}
