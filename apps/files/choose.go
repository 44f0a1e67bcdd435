package files

import (
	"context"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/app"
	"kith/blob/seal"
	"kith/internal/human"
	"kith/internal/media"
	"kith/internal/plain"
	"kith/transfer"
	"kith/transfer/stage"
)

func selectOp(run func(context.Context, SelectIn) (GetOut, error)) app.Op {
	o := app.NewOp("select", "say which files of a folder are wanted of what is being fetched", run)
	o.Long = "What has come stays. Without files, all of it is wanted again. Patterns are as those of kith get --select."
	o.Example = "  kith select holiday '*.jpg' notes.txt\n  kith select holiday"
	return o
}

// wanted checks what of a folder is asked for.
func wanted(patterns []string) (only []string, err error) {
	for _, p := range patterns {
		if p = strings.Trim(path.Clean("/"+p), "/"); p == "" {
			return nil, nil // all of it
		}
		if _, err := path.Match(p, ""); err != nil || strings.Contains(p, "\n") {
			return nil, kith.Hint(fmt.Errorf("files: select %.80q is no pattern: %w", p, kith.Invalid), `as in *.mkv, or a file's path; \ stands before a bracket that is meant`)
		}
		only = append(only, p)
	}
	return only, nil
}

// chosen reports whether a file is among what is wanted.
func chosen(only []string, name string) bool {
	return len(only) == 0 || slices.ContainsFunc(only, func(p string) bool { return stage.Covers(p, name) })
}

func (f *Files) choose(ctx context.Context, in SelectIn) (GetOut, error) {
	only, err := wanted(in.Only)
	if err != nil {
		return GetOut{}, err
	}
	it, err := f.find(in.Ref)
	switch {
	case err != nil:
		return GetOut{}, err
	case it.Kind != kindDownload || it.State == stateDone && !it.Part:
		return GetOut{}, fmt.Errorf("files: select: all of %s is here: %w", plain.Text(it.Name), kith.Invalid)
	case slices.Equal(only, it.Only):
		return f.got(it), nil
	}
	it, err = f.change(ctx, it.Ref, func(it *item) {
		it.Only = only
		if l, err := kith.ParseLink(it.Link); err == nil && len(l.Select) > 0 { // what the link asked for counts no more
			l.Select = nil
			it.Link = l.String()
		}
	})
	if err != nil {
		return GetOut{}, err
	}
	switch {
	case it.State == statePaused:
	case it.dl != nil && it.State != stateDone && it.State != stateFailed:
		err = it.dl.Select(only, nil)
	default:
		it, err = f.begin(it, nil, false)
	}
	if err != nil {
		return GetOut{}, err
	}
	return f.got(it), nil
}

// nothing is a transfer.Content of which nothing is here.
type nothing struct{}

func (nothing) ReadAt([]byte, int, int64) (int, error) {
	return 0, fmt.Errorf("files: %w", kith.NotFound)
}
func (nothing) Has(transfer.Span) bool { return false }

// list tells what files there are in what a link names, and fetches none.
func (f *Files) list(ctx context.Context, in GetIn, patience time.Duration, yield func(GetOut, error) bool) {
	l, err := f.linkOf(ctx, in.Link)
	if err != nil {
		yield(GetOut{}, err)
		return
	}
	if it, ok := f.named(l); ok {
		if out := f.listed(ctx, it); out.Listed != nil {
			yield(out, nil)
			return
		}
	}
	if l.Ref.Codec == kith.Raw && l.Key == nil {
		yield(GetOut{Ref: l.Ref, Name: l.Name, Size: l.Size, ETA: -1, Link: in.Link, State: stateFinding, Listed: []TreeEntry{{Path: l.Name, Size: l.Size, Media: media.Type(l.Name)}}}, nil)
		return
	}
	if patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	f.ask(ctx, l, in.Link, yield)
}

// listed returns what is known of an item's files.
func (f *Files) listed(ctx context.Context, it item) GetOut {
	out, show := f.got(it), ShowOut{Item: Item{State: it.State}}
	if f.tree(ctx, it, &show); show.Tree == nil && !it.manifest() && !it.pending() {
		show.Tree = []TreeEntry{{Path: it.Name, Size: it.Size, Done: out.Done, Media: media.Type(it.Name)}}
	}
	out.Listed, out.More = show.Tree, show.More
	return out
}

// ask asks all networks that a link names content in what it consists of; the first that knows is believed.
func (f *Files) ask(ctx context.Context, l kith.Link, text string, yield func(GetOut, error) bool) {
	type answer struct {
		layout transfer.Layout
		err    error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	openers := f.opener(l)
	answers := make(chan answer, len(openers)+1)
	ask := func(run func(context.Context) (transfer.Layout, error)) {
		f.env.Go("files.list", func(context.Context) error {
			layout, err := run(ctx)
			answers <- answer{layout, err}
			return nil
		})
	}
	asked := 0
	if !l.Ref.IsZero() {
		asked++
		ask(func(ctx context.Context) (transfer.Layout, error) { return f.askPeers(ctx, l) })
	}
	for _, open := range openers {
		asked++
		ask(func(ctx context.Context) (transfer.Layout, error) {
			o, err := open(ctx, nothing{})
			if err != nil {
				return transfer.Layout{}, err
			}
			defer o.Close()
			for { // a network that is not reached yet is asked again
				layout, err := o.Layout(ctx)
				if kith.KindOf(err) != kith.Unavailable || !sleep(ctx, nil, askAgain) {
					return layout, err
				}
			}
		})
	}
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	begun := time.Now()
	for {
		select {
		case <-tick.C:
			if yield(GetOut{Name: l.Name, Size: l.Size, ETA: -1, Link: text, State: stateFinding, Reason: "asked for " + human.Duration(time.Since(begun)) + " what it consists of"}, nil) {
				continue
			}
			return
		case a := <-answers:
			if asked--; a.err == nil {
				yield(layoutOut(l, text, a.layout), nil)
				return
			} else if asked > 0 && kith.KindOf(a.err) == kith.Unavailable {
				continue
			}
			yield(GetOut{}, a.err)
			return
		case <-ctx.Done():
			yield(GetOut{}, kith.Hint(fmt.Errorf("files: get: after %s nobody has told what it consists of: %w", human.Duration(time.Since(begun)), kith.Timeout), "ask who shared it to be online"))
			return
		}
	}
}

// askAgain is the time between two questions to a network that does not answer.
const askAgain = 2 * time.Second

// askPeers has Kith's peers tell what a folder consists of.
func (f *Files) askPeers(ctx context.Context, l kith.Link) (transfer.Layout, error) {
	job := transfer.Job{Root: l.Ref, Size: -1, Name: l.Name}
	job.Peers, _ = peer.AddrInfosFromP2pAddrs(l.Peers...)
	if l.Key != nil {
		key := seal.Key(l.Key)
		job.Key = &key
	}
	man, err := f.env.Moves.Manifest(ctx, job)
	if err != nil {
		return transfer.Layout{}, err
	}
	return transfer.LayoutOf(man, l.Name), nil
}

func layoutOut(l kith.Link, text string, layout transfer.Layout) GetOut {
	out := GetOut{Ref: l.Ref, Name: layout.Name, ETA: -1, Link: text, State: stateFinding, Listed: []TreeEntry{}}
	if l.Name != "" {
		out.Name = l.Name
	}
	for i, file := range layout.Files {
		if out.Size += file.Size; file.Link != "" {
			continue
		}
		if len(out.Listed) == maxTree {
			out.More++
			continue
		}
		e := TreeEntry{Index: i, Path: file.Path, Size: file.Size, Media: media.Type(file.Path)}
		if !layout.Folder && e.Path == "" {
			e.Path = out.Name
		}
		out.Listed = append(out.Listed, e)
	}
	return out
}

// writeList writes what files there are.
func (o GetOut) writeList(w io.Writer) error {
	fmt.Fprintf(w, "%s  (%s in %s)\n\n", title(o), size(o.Size), human.Count(len(o.Listed)+o.More, "file"))
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', tabwriter.AlignRight)
	for _, e := range o.Listed {
		fmt.Fprintf(tw, "%s\t  %s\n", size(e.Size), plain.Text(e.Path))
	}
	if o.More > 0 {
		fmt.Fprintf(tw, "…\t  and %d more\n", o.More)
	}
	return tw.Flush()
}
