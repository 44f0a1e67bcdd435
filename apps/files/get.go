package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/app"
	"kith/blob/seal"
	"kith/internal/human"
	"kith/internal/plain"
	"kith/network"
	"kith/transfer"
)

func getOp(run func(context.Context, GetIn) iter.Seq2[GetOut, error]) app.Op {
	o := app.NewStreamOp("get", "fetch what a link names", run)
	o.Long = "It goes on where it was when it is run again. It ends well only when all bytes are on disk and verified.\n" +
		"While nobody who has it can be reached it keeps looking; --timeout makes it give up (exit status 124)."
	o.Example = "  kith get 'magnet:?xt=urn:blake3:…' -o ~/Downloads\n  kith get 'kith:AQE…' --timeout 90s"
	return o
}

func (f *Files) get(ctx context.Context, in GetIn) iter.Seq2[GetOut, error] {
	return func(yield func(GetOut, error) bool) {
		patience, err := timeout(in.Timeout)
		if err != nil {
			yield(GetOut{}, err)
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

// want makes sure that what the link names is here or being fetched. ours says that this call has begun (or gone on with) it.
func (f *Files) want(ctx context.Context, in GetIn) (it item, ours bool, err error) {
	l, err := kith.ParseLink(in.Link)
	if err != nil {
		return item{}, false, err
	}
	if l.Ref.IsZero() {
		return item{}, false, kith.Hint(fmt.Errorf("files: get: only other networks know what that names, and this node is in none of them: %w", kith.Unavailable), "ask for a link that kith share printed")
	}
	if l.Network != "" && l.Network != f.env.Host.Name() { // a short link does not say
		return item{}, false, kith.Hint(fmt.Errorf("files: get: the link is of network %q, this node is on %q: %w", networkName(l.Network), f.env.Host.Name(), kith.Invalid),
			"start a node on it: kith up --network %s --dir DIR", networkName(l.Network))
	}
	sources, err := peer.AddrInfosFromP2pAddrs(l.Peers...)
	if err != nil {
		return item{}, false, fmt.Errorf("files: get: %w: %w", err, kith.Invalid)
	}
	it, ok := f.byRef(l.Ref)
	if ok {
		if ok, err = f.stays(ctx, it, in); err != nil {
			return item{}, false, err
		}
	}
	if ok {
		if l.Key != nil && it.Key == nil {
			it.Key = l.Key
		}
		switch {
		case it.State == stateReady || it.State == stateDone:
			err := f.env.Blobs.Look(ctx, it.Ref, it.Path)
			if kith.KindOf(err) != kith.Gone {
				it.dl = nil
				return it, false, err
			} // it was moved, changed or deleted: what is missing is fetched again
			if in.Output != "" {
				if it.Path, err = f.destination(in.Output); err != nil {
					return item{}, false, err
				}
			}
		case it.dl != nil && it.State != statePaused && it.State != stateFailed:
			for _, s := range sources {
				it.dl.Add(s)
			}
			return it, false, nil
		}
		it, err = f.begin(it, sources, in.Sequential)
		return it, true, err
	}
	it = item{Ref: l.Ref, Kind: kindDownload, Name: l.Name, Size: l.Size, For: forLink, Key: l.Key, Link: in.Link, State: stateFinding, Added: time.Now()}
	if it.Path, err = f.destination(in.Output); err != nil {
		return item{}, false, err
	}
	if err := f.save(ctx, it); err != nil {
		return item{}, false, err
	}
	it, err = f.begin(it, sources, in.Sequential)
	return it, true, err
}

// stays reports whether an item that is wanted at another place stays where it is, for a copy to be made of it. What had not begun to come
// is forgotten, to begin there.
func (f *Files) stays(ctx context.Context, it item, in GetIn) (bool, error) {
	if in.Output == "" || it.State == stateReady || it.State == stateDone || it.State == stateGone {
		return true, nil
	}
	to, err := f.destination(in.Output)
	if err != nil {
		return false, err
	}
	now := f.got(it)
	_, begun := f.env.Blobs.State(ctx, it.Ref)
	switch {
	case sameplace(now.Path, to):
		return true, nil
	case kith.KindOf(begun) == kith.NotFound && (it.State == statePaused || it.State == stateFailed):
		if it.dl != nil {
			it.dl.Cancel()
		}
		return false, f.forget(ctx, it.Ref)
	case in.Detach:
		return false, kith.Hint(fmt.Errorf("files: get: it was begun at %s: %w", plain.Text(now.Path), kith.Exists),
			"go on there with: kith resume %s", it.Ref)
	}
	return true, nil
}

// sameplace reports whether a destination, as destination returns it, is path.
func sameplace(path, to string) bool {
	return path == to || filepath.Clean(to) == path || filepath.Dir(path)+string(filepath.Separator) == to
}

func networkName(n string) string {
	if n == "" {
		return network.DefaultName
	}
	return n
}

// destination returns where a download shall go: a folder with a slash at its end, in which it gets its own name, or a full path.
func (f *Files) destination(output string) (string, error) {
	if output == "" {
		if err := os.MkdirAll(f.env.Files, 0o755); err != nil {
			return "", fmt.Errorf("files: get: %w", err)
		}
		return f.env.Files + string(filepath.Separator), nil
	}
	if !filepath.IsAbs(output) {
		return "", fmt.Errorf("files: get: output %q is not an absolute path: %w", output, kith.Invalid)
	}
	if st, err := os.Stat(output); err == nil && st.IsDir() {
		return filepath.Clean(output) + string(filepath.Separator), nil
	}
	if st, err := os.Stat(filepath.Dir(output)); err != nil || !st.IsDir() {
		return "", kith.Hint(fmt.Errorf("files: get: there is no folder %s: %w", filepath.Dir(output), kith.NotFound), "make it first: mkdir -p '%s'", filepath.Dir(output))
	}
	return output, nil
}

// begin starts a download, or goes on with it, and sees it through in the background.
func (f *Files) begin(it item, sources []peer.AddrInfo, sequential bool) (item, error) {
	job := transfer.Job{Root: it.Ref, Size: -1, Name: it.Name, Peers: sources, Sequential: sequential}
	if it.Ref.Codec == kith.Raw && it.Key == nil {
		job.Size = it.Size
	}
	if it.Key != nil {
		key := seal.Key(it.Key)
		job.Key = &key
	}
	if len(sources) == 0 && it.Link != "" {
		if l, err := kith.ParseLink(it.Link); err == nil {
			job.Peers, _ = peer.AddrInfosFromP2pAddrs(l.Peers...)
		}
	}
	if dir, name := filepath.Split(it.Path); name == "" {
		job.Dir = filepath.Clean(dir)
	} else {
		job.Path = it.Path
	}
	dl, err := f.env.Moves.Start(job)
	if err != nil {
		return it, err
	}
	dl.Resume()
	it.dl, it.State, it.Reason = dl, stateFetching, ""
	if err := f.save(context.Background(), it); err != nil {
		return it, err
	}
	f.env.Go("files.see "+it.Ref.Short(), func(ctx context.Context) error { return f.see(ctx, it.Ref, dl) })
	return it, nil
}

// see follows a download in the background, and writes down how it ends.
func (f *Files) see(ctx context.Context, ref kith.Ref, dl *transfer.Download) error {
	announced, narrowed := false, false
	for {
		changed, s := dl.Changed(), dl.Status()
		f.bell.Ring()
		it, ok := f.byRef(ref)
		if !ok || it.dl != dl { // it was removed, or begun anew elsewhere
			return nil
		}
		if it.Name != s.Name && s.Name != "" || it.Size < 0 && s.Size >= 0 { // the link did not say
			it.Name, it.Size, it.Files = s.Name, s.Size, s.Files
			if err := f.save(ctx, it); err != nil {
				f.env.Log.Warn("item not saved", "ref", ref, "err", err) // it is once more in the end
				f.know(it)
			}
		}
		if narrow := dl.Narrow(); narrow && it.For == forLink || narrowed && !narrow {
			narrowed, it.For = narrow, forLink
			if narrow {
				it.For = forContacts
			}
			if err := f.save(ctx, it); err != nil {
				return err
			}
		}
		if !announced && s.Done > 0 {
			announced = true
			f.announce(ctx, it) // what is here already is served on
		}
		switch s.State {
		case transfer.Done:
			if err := f.finished(ctx, ref, s); err != nil {
				f.settle(ctx, ref, stateFailed, err.Error())
				return err
			}
			return nil
		case transfer.Failed:
			if !errors.Is(s.Err, transfer.ErrCanceled) { // who cancels it says what becomes of the item
				f.settle(ctx, ref, stateFailed, s.Reason)
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

func (f *Files) finished(ctx context.Context, ref kith.Ref, s transfer.Status) error {
	it, ok := f.byRef(ref)
	if !ok {
		return nil
	}
	it.Name, it.Path, it.Size, it.Files, it.State, it.Reason = s.Name, s.Path, s.Size, s.Files, stateDone, ""
	it.Sources = s.From
	if err := f.env.Blobs.Pin(ctx, ref); err != nil {
		return err
	}
	if err := f.save(ctx, it); err != nil {
		return err
	}
	f.mu.Lock()
	if live := f.items[ref]; live != nil {
		live.dl = nil
	}
	f.mu.Unlock()
	f.bell.Ring()
	return nil
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
		if to, err := f.destination(output); output != "" && err == nil && !sameplace(out.Path, to) {
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
			reason := fmt.Sprintf("gave up after %s without a byte: %s", human.Duration(waited), out.Reason)
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
	if err != nil || sameplace(it.Path, to) {
		return out, err
	}
	if to[len(to)-1] == filepath.Separator {
		to = filepath.Join(to, filepath.Base(it.Path))
	}
	out.CopyOf, out.Path = it.Path, to
	if same, err := sameBytes(ctx, it.Path, to); same || err != nil { // it was asked for before
		return out, err
	}
	if out.Path, err = copyTree(ctx, it.Path, to); err != nil {
		return GetOut{}, err
	}
	return out, nil
}

// got returns how an item's download stands.
func (f *Files) got(it item) GetOut {
	out := GetOut{Ref: it.Ref, Name: it.Name, Path: it.Path, Size: it.Size, Sources: it.Sources, State: it.State, Reason: it.Reason, ETA: -1, Link: it.Link}
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

// active counts the sources that bytes are asked of.
func active(sources []transfer.Source) (n int) {
	for _, s := range sources {
		if s.State == transfer.Active || s.State == transfer.Slow {
			n++
		}
	}
	return n
}

// Progress implements app.Progresser.
func (o GetOut) Progress() app.Progress {
	note := human.Count(o.Sources, "source")
	switch {
	case o.Reason != "":
		note = plain.Text(o.Reason)
	case o.State == statePaused:
		note = "paused by somebody"
	}
	if o.CopyOf != "" {
		note += "; goes on at " + plain.Text(o.CopyOf) + ", where it was begun, and is copied then"
	}
	return app.Progress{Label: title(o), Done: o.Done, Total: max(o.Size, 0), Note: note}
}

// WriteText implements app.Texter.
func (o GetOut) WriteText(w io.Writer, _ int) error {
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
	if o.Sources > 0 {
		from = " from " + human.Count(o.Sources, "source")
	}
	if o.CopyOf != "" {
		from += "; a copy of " + plain.Text(o.CopyOf) // what was verified
	} else {
		from += ", verified"
	}
	_, err := fmt.Fprintf(w, "%s  (%s%s)\n", plain.Text(o.Path), human.Bytes(o.Size), from)
	return err
}
