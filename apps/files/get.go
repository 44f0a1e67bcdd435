package files

import (
	"context"
	"fmt"
	"io"
	"iter"
	"path/filepath"
	"strings"
	"time"

	"kith"
	"kith/app"
	"kith/apps/files/spot"
	"kith/internal/human"
	"kith/internal/plain"
	"kith/transfer"
)

func getOp(run func(context.Context, GetIn) iter.Seq2[GetOut, error]) app.Op {
	o := app.NewStreamOp("get", "fetch what a link names", run)
	o.Long = "It takes Kith's links; magnet links, infohashes and .torrent files of BitTorrent, here or on the web; CIDs, ipfs:// and ipns:// addresses, /ipfs/… paths and addresses\n" +
		"of gateways; and https:// addresses of a file. Whoever has it is asked at the same time, in all networks that the link names it in: those see the\n" +
		"address of this computer, and that it fetches this. What comes from BitTorrent and IPFS is checked with their digests; what an https:// address alone names, with\n" +
		"nothing but TLS.\n" +
		"It goes on where it was when it is run again. It ends well only when all bytes are on disk and verified.\n" +
		"While nobody who has it can be reached it keeps looking; --timeout makes it give up (exit status 124)."
	o.Example = "  kith get 'magnet:?xt=urn:btih:…' -o ~/Downloads --select '*.mkv' --sequential\n  kith get 'kith:AQE…' --timeout 90s\n" +
		"  kith get debian.iso.torrent --list\n  kith get ipfs://bafy…/photos"
	return o
}

func (f *Files) get(ctx context.Context, in GetIn) iter.Seq2[GetOut, error] {
	return func(yield func(GetOut, error) bool) {
		patience, err := timeout(in.Timeout)
		if err != nil {
			yield(GetOut{}, err)
			return
		}
		if in.List {
			f.list(ctx, in, patience, yield)
			return
		}
		it, ours, err := f.want(ctx, in)
		switch {
		case err != nil:
			yield(GetOut{}, err)
		case it.dl == nil: // all of it is here
			yield(f.deliver(ctx, it, in.Output))
		case in.Detach:
			yield(f.got(it), nil)
		default:
			f.follow(ctx, it, ours, patience, in.Output, yield)
		}
	}
}

func timeout(s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("files: get: timeout %.20q: want a duration such as 90s or 5m: %w", s, kith.Invalid)
	}
	return d, nil
}

// follow tells a caller how a download goes until it ends, the caller goes away, or their patience does. A download that this call began
// does not outlive it: it pauses.
func (f *Files) follow(ctx context.Context, it item, ours bool, patience time.Duration, output string, yield func(GetOut, error) bool) {
	ref, dl := it.Ref, it.dl
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	lastDone, lastGain := int64(-1), time.Now()
	for {
		now, ok := f.byRef(ref)
		if !ok {
			yield(GetOut{}, fmt.Errorf("files: get: it was removed: %w", kith.NotFound))
			return
		}
		out := f.got(now)
		if to, err := f.destination(output); output != "" && err == nil && !spot.Is(out.Path, to) {
			out.CopyOf, out.Path = out.Path, to
		}
		switch out.State {
		case stateDone:
			yield(f.deliver(ctx, now, output))
			return
		case stateFailed:
			yield(out, failure(dl, now))
			return
		}
		if out.State == stateWaiting && dl.Status().Err != nil { // not for a source: for a person, to make room
			err := failure(dl, now)
			f.hold(ref, dl, err.Error())
			yield(out, kith.Hint(err, "%s", goOn(err, ref)))
			return
		}
		if out.Done > lastDone {
			lastDone, lastGain = out.Done, time.Now()
		}
		if waited := time.Since(lastGain); patience > 0 && waited > patience {
			reason := strings.TrimSuffix(fmt.Sprintf("gave up after %s without a byte: %s", human.Duration(waited), out.Reason), ": ")
			f.hold(ref, dl, reason)
			yield(GetOut{}, kith.Hint(fmt.Errorf("files: get %s: %s: %w", title(out), reason, kith.Timeout),
				"ask who shared it to %s, then go on with: kith resume %s", toDo(dl), ref))
			return
		}
		if !yield(out, nil) {
			if ours && !f.stopping.Load() {
				f.hold(ref, dl, "stopped; run the same kith get again to go on")
			}
			return
		}
		if f.nextLook(ctx, ref, tick.C); ctx.Err() != nil {
			if ours && !f.stopping.Load() {
				f.hold(ref, dl, "stopped; run the same kith get again to go on")
			}
			yield(GetOut{}, kith.Hint(fmt.Errorf("files: get: stopped before all of it was here: %w", kith.Unavailable),
				"nothing is lost: start the node with kith up, and it goes on"))
			return
		}
	}
}

// toDo says what whoever shared it can do so that a download goes on.
func toDo(dl *transfer.Download) string {
	if active(dl.Status().Sources) > 0 { // it answers, and has not what is missing: perhaps it was changed
		return "share it once more"
	}
	return "be online"
}

// nextLook waits for a tick, or until the download of ref has ended, which is told at once.
func (f *Files) nextLook(ctx context.Context, ref kith.Ref, tick <-chan time.Time) {
	for {
		rung := f.bell.Wait()
		if it, ok := f.byRef(ref); !ok || it.State == stateDone || it.State == stateFailed {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick:
			return
		case <-rung:
		}
	}
}

// goOn says what to do about an error that a person can mend.
func goOn(err error, ref kith.Ref) string {
	then := "then go on with: kith resume " + ref.String()
	if hint := kith.HintOf(err); hint != "" {
		return hint + "; " + then
	}
	return "mend that, " + then
}

// failure returns why an item's download has failed: what came is not right, or it could not be written down that it is here.
func failure(dl *transfer.Download, it item) error {
	s := dl.Status()
	err := s.Err
	if err == nil {
		err = fmt.Errorf("files: get: %s: %w", it.Reason, kith.Unavailable)
		return kith.Hint(err, "%s", goOn(err, it.Ref))
	}
	if s.Hint != "" && kith.HintOf(err) == "" {
		err = kith.Hint(err, "%s", s.Hint)
	}
	return err
}

// hold pauses a download and says why.
func (f *Files) hold(ref kith.Ref, dl *transfer.Download, reason string) {
	dl.Pause()
	f.settle(context.Background(), ref, statePaused, reason)
}

// deliver answers a get of what is complete: where it is, or, if it is wanted elsewhere, a copy there.
func (f *Files) deliver(ctx context.Context, it item, output string) (GetOut, error) {
	out := f.got(it)
	if output == "" {
		return out, nil
	}
	to, err := f.destination(output)
	if err != nil || spot.Is(it.Path, to) {
		return out, err
	}
	if to[len(to)-1] == filepath.Separator {
		to = filepath.Join(to, filepath.Base(it.Path))
	}
	out.CopyOf, out.Path = it.Path, to
	if same, err := spot.Same(ctx, it.Path, to); same || err != nil { // it was asked for before
		return out, err
	}
	if out.Path, err = spot.Copy(ctx, it.Path, to); err != nil {
		return GetOut{}, err
	}
	return out, nil
}

// got returns how an item's download stands.
func (f *Files) got(it item) GetOut {
	out := GetOut{Ref: it.Ref, Name: it.Name, Path: it.Path, Size: it.Size, Sources: it.Sources, State: it.State, Reason: it.Reason, ETA: -1, Link: it.Link, Part: it.Part, Verified: it.Verified}
	if it.State == stateReady {
		out.State = stateDone
	}
	if out.State == stateDone {
		out.Done, out.ETA = it.Size, 0
		return out
	}
	if it.dl == nil {
		return out
	}
	s := it.dl.Status()
	out.Done, out.Rate, out.ETA, out.Sources = s.Done, s.Rate, s.ETA, active(s.Sources)
	for _, n := range s.Networks {
		out.Networks = append(out.Networks, ItemNetwork{Network: n.Network, State: string(n.State), Said: n.Why, Peers: n.Peers, Have: n.Have, Bytes: n.Bytes, Rate: n.Rate, UpRate: n.Up, Verified: n.Verified})
		out.Sources += n.Peers
	}
	if it.State != statePaused && it.State != stateFailed {
		out.State, out.Reason = string(s.State), s.Reason
	}
	if out.State == stateDone { // not until it is written down
		out.State = "checking"
	}
	if s.Name != "" {
		out.Name = s.Name
	}
	if s.Path != "" {
		out.Path = s.Path
	}
	if s.Size >= 0 {
		out.Size = s.Size
	}
	return out
}

// title returns what a download is called, or the end of its ref while no source has told its name.
func title(o GetOut) string {
	if o.Name == "" {
		return o.Ref.Short()
	}
	return plain.Text(o.Name)
}

// active counts the peers of Kith that bytes are asked of.
func active(sources []transfer.Source) (n int) {
	for _, s := range sources {
		if s.Network == "" && (s.State == transfer.Active || s.State == transfer.Slow) {
			n++
		}
	}
	return n
}

// Progress implements app.Progresser.
func (o GetOut) Progress() app.Progress {
	note := human.Count(o.Sources, "source")
	if from := o.from(); from != "" {
		note = from
	}
	switch {
	case o.Reason != "":
		note = plain.Text(o.Reason)
	case o.State == statePaused:
		note = "paused by somebody"
	case o.State == string(transfer.Checking):
		note = "checking what came"
	case o.Sources == 0 && (o.State == stateFinding || o.State == stateFetching):
		note = "looking for sources"
	}
	if o.CopyOf != "" {
		note += "; goes on at " + plain.Text(o.CopyOf) + ", where it was begun, and is copied then"
	}
	return app.Progress{Label: title(o), Done: o.Done, Total: max(o.Size, 0), Note: note}
}

// from says where bytes come from in other networks, as in "kith 1, bittorrent 5, ipfs 2".
func (o GetOut) from() string {
	var parts []string
	others := 0
	for _, n := range o.Networks {
		others += n.Peers
		if n.Peers > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", n.Network, n.Peers))
		}
	}
	if native := o.Sources - others; native > 0 && others > 0 {
		parts = append([]string{fmt.Sprintf("kith %d", native)}, parts...)
	}
	return strings.Join(parts, ", ")
}

// WriteText implements app.Texter.
func (o GetOut) WriteText(w io.Writer, width int) error {
	if o.Listed != nil {
		return o.writeList(w)
	}
	if o.State != stateDone {
		text := "%s: " + o.State + "; see how it goes with: kith ls\n"
		switch o.State {
		case stateFinding, stateFetching:
			text = "%s is being fetched; see how it goes with: kith ls\n"
		case statePaused:
			text = "%s is paused; go on with: kith resume " + o.Ref.Short() + "\n"
		}
		_, err := fmt.Fprintf(w, text, title(o))
		return err
	}
	from := ""
	if o.Part {
		from = ", what was selected of it"
	}
	if o.Sources > 0 {
		from += " from " + human.Count(o.Sources, "source")
	}
	if o.CopyOf != "" {
		from += "; a copy of " + plain.Text(o.CopyOf) // what was verified
	} else {
		from += ", " + o.verified()
	}
	_, err := fmt.Fprintf(w, "%s  (%s%s)\n", plain.Text(o.Path), human.Bytes(o.Size), from)
	return err
}

// verified says in words by what it was verified: BLAKE3 always, which means little where only an https:// address named it.
func (o GetOut) verified() string {
	switch {
	case len(o.Verified) > 0:
		return "verified, by " + strings.Join(o.Verified, " and ") + " too"
	case o.Link != "" && unnamed(o.Link):
		return "verified by nothing but TLS"
	}
	return "verified"
}

// unnamed reports whether no digest stands in a link.
func unnamed(link string) bool {
	l, err := kith.ParseLink(link)
	return err == nil && l.Ref.IsZero() && l.Names.V1 == (kith.InfoHash{}) && l.Names.V2 == [32]byte{} && !l.Names.IPFS.Defined() && l.Names.IPNS == ""
}
