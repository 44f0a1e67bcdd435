package files

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"kith"
	"kith/app"
	"kith/blob/folder"
	"kith/internal/human"
	"kith/internal/plain"
)

func rmOp(run func(context.Context, RmIn) (RmOut, error)) app.Op {
	o := app.NewOp("rm", "stop sharing or fetching an item, and take it off the list", run)
	o.Long = "The files stay. With --delete a download's files are deleted too; what was shared in place never is."
	o.Example = "  kith rm festival.mkv\n  kith rm --delete holiday"
	return o
}

func pauseOp(run func(context.Context, RefIn) (GetOut, error)) app.Op {
	return app.NewOp("pause", "pause a download; what has come stays", run)
}

func resumeOp(run func(context.Context, RefIn) (GetOut, error)) app.Op {
	return app.NewOp("resume", "go on with a download", run)
}

func limitOp(run func(context.Context, LimitIn) (LimitOut, error)) app.Op {
	o := app.NewOp("limit", "set how fast the node may send and receive", run)
	o.Long = "Without flags it shows the limits. They hold until the node stops; config.toml has those it starts with."
	o.Example = "  kith limit --up 500K --down 2M\n  kith limit --up 0\n  kith limit --ratio 1.0\n  kith limit --ratio none --seed-time 7d"
	return o
}

func limitsOp(run func(context.Context, None) (LimitOut, error)) app.Op {
	o := app.NewOp("limits", "show how fast the node may send and receive", run)
	o.Query, o.Hidden = true, true
	return o
}

func (f *Files) rm(ctx context.Context, in RmIn) (RmOut, error) {
	it, err := f.find(in.Ref)
	if err != nil {
		return RmOut{}, err
	}
	if in.Delete && it.Kind == kindShare {
		return RmOut{}, kith.Hint(fmt.Errorf("files: rm %s: it was shared in place, not downloaded by kith: %w", plain.Text(it.Name), kith.Denied),
			"kith rm %s takes it off the list; delete %s yourself if you mean it", it.Ref, it.Path)
	}
	path := f.got(it).Path
	if strings.HasSuffix(path, string(filepath.Separator)) {
		path = "" // it never got as far as a name
	}
	var of *folder.Manifest
	if in.Delete && it.manifest() {
		of, _ = f.env.Blobs.Manifest(ctx, it.Ref, sealKey(it)) // of what was not fetched so far nothing is known, nor here
	}
	if it.dl != nil {
		it.dl.Cancel()
	}
	if keys := rendezvous(it); len(keys) > 0 {
		if err := f.env.Routes.Withdraw(ctx, keys...); err != nil {
			return RmOut{}, fmt.Errorf("files: rm: %w", err)
		}
	}
	for _, b := range f.env.Bridges {
		if err := b.Withdraw(ctx, it.Ref); err != nil {
			return RmOut{}, fmt.Errorf("files: rm: withdraw from %s: %w", b.Name(), err)
		}
	}
	if it.dl != nil {
		if it.dl.Wait(ctx); ctx.Err() != nil { // what it says is that it was canceled
			return RmOut{}, fmt.Errorf("files: rm: %w", ctx.Err())
		}
	}
	if it.Kind == kindDownload {
		if err := f.env.Moves.Discard(it.Ref); err != nil && kith.KindOf(err) != kith.NotFound {
			return RmOut{}, err
		}
	}
	deleted, err := f.env.Blobs.Delete(ctx, it.Ref, in.Delete)
	if err != nil && kith.KindOf(err) != kith.NotFound {
		return RmOut{}, err
	}
	if err := f.forget(ctx, it.Ref); err != nil {
		return RmOut{}, err
	}
	if err := f.desk.EndPath(it.Path); err != nil {
		return RmOut{}, err
	}
	if _, err := os.Lstat(path); !deleted && err != nil {
		path = "" // there is nothing, so nothing stays
	}
	out := RmOut{Ref: it.Ref, Name: it.Name, Deleted: deleted, Path: path}
	if in.Delete && path != "" {
		f.kept(ctx, it, of, &out)
	}
	return out, nil
}

const maxKept = 100 // files that rm tells of

// kept tells what is left at out.Path of an item that was to be deleted, and why.
func (f *Files) kept(ctx context.Context, it item, of *folder.Manifest, out *RmOut) {
	ours := map[string]kith.Ref{".": it.Ref}
	if of != nil {
		for _, e := range of.Entries {
			ours[filepath.FromSlash(e.Path)] = e.Ref
		}
		if of.Single() {
			ours["."] = of.Entries[0].Ref
		}
	}
	var owners map[kith.Ref]string
	filepath.WalkDir(out.Path, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		if len(out.Kept) == maxKept {
			out.More++
			return nil
		}
		rel, _ := filepath.Rel(out.Path, path)
		if owners == nil {
			owners = f.owners(ctx)
		}
		ref, fetched := ours[rel]
		k := Kept{Path: rel, Why: "it was here before, or was changed since"}
		if rel == "." {
			k.Path = ""
		}
		switch owner := owners[ref]; {
		case !fetched:
			k.Why = "kith did not fetch it"
		case owner != "":
			k.Why = fmt.Sprintf("it is in %q too", owner)
		}
		out.Kept = append(out.Kept, k)
		return nil
	})
}

// owners returns, for each file that is here, the name of an item that it is in.
func (f *Files) owners(ctx context.Context) map[kith.Ref]string {
	all := map[kith.Ref]string{}
	for _, it := range f.all() {
		all[it.Ref] = it.Name
		if !it.manifest() {
			continue
		}
		m, err := f.env.Blobs.Manifest(ctx, it.Ref, sealKey(it))
		if err != nil {
			continue // not here yet
		}
		for _, e := range m.Entries {
			if e.File() {
				all[e.Ref] = it.Name
			}
		}
	}
	return all
}

// WriteText implements app.Texter.
func (o RmOut) WriteText(w io.Writer, _ int) error {
	name, path := plain.Text(o.Name), plain.Text(o.Path)
	if len(o.Kept) == 0 {
		what := "it stays at " + path
		switch {
		case o.Path == "":
			what = "nothing of it had come"
		case o.Deleted:
			what = path + " is deleted"
		}
		_, err := fmt.Fprintf(w, "%s is off the list; %s\n", name, what)
		return err
	}
	what := "nothing is deleted"
	if o.Deleted {
		what = "it is deleted but for"
	}
	fmt.Fprintf(w, "%s is off the list; %s:\n", name, what)
	for _, k := range o.Kept {
		fmt.Fprintf(w, "  %s: %s\n", plain.Text(filepath.Join(o.Path, k.Path)), plain.Text(k.Why))
	}
	if o.More > 0 {
		fmt.Fprintf(w, "  and %d more files in %s\n", o.More, path)
	}
	return nil
}

func (f *Files) pause(ctx context.Context, in RefIn) (GetOut, error) {
	it, err := f.download(in)
	if err != nil {
		return GetOut{}, err
	}
	if it.dl != nil {
		it.dl.Pause()
	}
	f.settle(ctx, it.Ref, statePaused, "")
	it, _ = f.byRef(it.Ref)
	return f.got(it), nil
}

func (f *Files) resume(_ context.Context, in RefIn) (GetOut, error) {
	it, err := f.download(in)
	if err != nil {
		return GetOut{}, err
	}
	if it, err = f.begin(it, nil, false); err != nil {
		return GetOut{}, err
	}
	return f.got(it), nil
}

// download returns an unfinished download.
func (f *Files) download(in RefIn) (item, error) {
	it, err := f.find(in.Ref)
	if err == nil && (it.Kind != kindDownload || it.State == stateDone) {
		err = fmt.Errorf("files: %s is not being fetched: %w", plain.Text(it.Name), kith.Invalid)
	}
	return it, err
}

func (f *Files) limit(ctx context.Context, in LimitIn) (LimitOut, error) {
	up, down := f.env.Moves.Limits()
	most, long := f.backNow()
	for _, v := range []struct {
		text string
		to   *int64
	}{{in.Up, &up}, {in.Down, &down}} {
		if v.text == "" {
			continue
		}
		n, err := human.ParseRate(v.text)
		if err != nil {
			return LimitOut{}, fmt.Errorf("files: limit: %w", err)
		}
		*v.to = n
	}
	if in.Ratio != "" {
		r, err := strconv.ParseFloat(in.Ratio, 64)
		if in.Ratio == "none" {
			r, err = math.Inf(1), nil
		}
		if err != nil || !(r >= 0) {
			return LimitOut{}, kith.Hint(fmt.Errorf("files: limit: ratio %.20q: %w", in.Ratio, kith.Invalid), "want a number such as 2.0, or none")
		}
		most = r
	}
	if in.SeedTime != "" {
		d, err := seedTime(in.SeedTime)
		if err != nil {
			return LimitOut{}, fmt.Errorf("files: limit: %w", err)
		}
		long = d
	}
	f.mu.Lock()
	f.ratio, f.seedTime = most, long
	f.mu.Unlock()
	select {
	case f.backed <- struct{}{}:
	default:
	}
	f.env.Moves.SetLimits(up, down)
	return f.limits(ctx, None{})
}

func (f *Files) limits(context.Context, None) (LimitOut, error) {
	up, down := f.env.Moves.Limits()
	most, long := f.backNow()
	out := LimitOut{Up: up, Down: down, Ratio: most, SeedTime: long.Seconds()}
	if math.IsInf(out.Ratio, 1) { // which JSON has not
		out.Ratio = -1
	}
	return out, nil
}

// WriteText implements app.Texter.
func (o LimitOut) WriteText(w io.Writer, _ int) error {
	say := func(n int64) string {
		if n == 0 {
			return "no limit"
		}
		return human.Rate(float64(n))
	}
	back := fmt.Sprintf("until %.1f times its size was sent", o.Ratio)
	switch o.Ratio {
	case 0:
		back = "not at all"
	case -1:
		back = "without an end"
	}
	if o.SeedTime > 0 && o.Ratio != 0 {
		back += ", for " + human.Duration(time.Duration(o.SeedTime*float64(time.Second))) + " at most"
	}
	_, err := fmt.Fprintf(w, "up     %s\ndown   %s\nratio  what came by a torrent is given back %s\n", say(o.Up), say(o.Down), back)
	return err
}
