package torrents

import (
	"context"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"kith"
	"kith/app"
	"kith/apps/torrents/resume"
	"kith/internal/human"
	"kith/internal/plain"
	"kith/transfer"
)

// Opener brings what another program has of a download.
type Opener = transfer.Opener

// ImportIn says what to take over.
type ImportIn struct {
	Path   string   `json:"path,omitempty" arg:"0" path:"true" doc:"where the other program keeps its state; default: where it usually is"`
	DryRun bool     `json:"dry_run,omitempty" short:"n" doc:"list and check what is there, and take nothing over"`
	Only   []string `json:"only,omitempty" doc:"only torrents whose names contain one of these"`
}

// Imported is one torrent of another program, and what became of it.
type Imported struct {
	Name   string    `json:"name"`
	State  string    `json:"state" enum:"shared,goes on,paused,known,left" doc:"shared: all of it is there and is served where it is; goes on: what is right was taken over, the rest is fetched; left: not taken over"`
	Why    string    `json:"why,omitempty"`
	Path   string    `json:"path,omitempty"`
	Size   int64     `json:"size"`
	Right  int64     `json:"right" doc:"bytes that are there, and what the torrent says"`
	Up     int64     `json:"up,omitempty" doc:"bytes that the other program has sent"`
	Added  time.Time `json:"added,omitzero"`
	Paused bool      `json:"paused,omitempty"`
}

// ImportOut tells how far it is; in the end all that was found.
type ImportOut struct {
	Name   string     `json:"name,omitempty" doc:"what is being read now"`
	Done   int64      `json:"done"`
	Total  int64      `json:"total" doc:"bytes to read, of this torrent"`
	N      int        `json:"n" doc:"number of this torrent"`
	Of     int        `json:"of"`
	DryRun bool       `json:"dry_run,omitempty"`
	All    []Imported `json:"all,omitempty" doc:"in the last event: every torrent"`
}

func importTransmissionOp(run func(context.Context, ImportIn) iter.Seq2[ImportOut, error]) app.Op {
	o := app.NewStreamOp("import transmission", "take over the torrents of Transmission", run)
	o.Long = importLong
	o.Example = "  kith import transmission --dry-run\n  kith import transmission /var/lib/transmission-daemon/.config/transmission-daemon"
	return o
}

func importQBittorrentOp(run func(context.Context, ImportIn) iter.Seq2[ImportOut, error]) app.Op {
	o := app.NewStreamOp("import qbittorrent", "take over the torrents of qBittorrent", run)
	o.Long = importLong
	o.Example = "  kith import qbittorrent --dry-run\n  kith import qbittorrent ~/.local/share/qBittorrent/BT_backup --only debian"
	return o
}

const importLong = "Its files are read, nothing of them is changed, and nothing that is complete is copied: it is served where it is, once it was read and compared with its torrent. Of what is not\n" +
	"complete, what is right is copied into a download that goes on here. What is paused there is paused here. Stop the other program first, so that two do not write the same."

// importTransmission implements import transmission.
func (t *Torrents) importTransmission(ctx context.Context, in ImportIn) iter.Seq2[ImportOut, error] {
	return t.imports(ctx, in, usual("transmission-daemon", "transmission"), func(path string) ([]resume.Torrent, error) { return resume.Transmission(path) })
}

func (t *Torrents) importQBittorrent(ctx context.Context, in ImportIn) iter.Seq2[ImportOut, error] {
	places := usual("qBittorrent")
	if home, err := os.UserHomeDir(); err == nil {
		places = append([]string{filepath.Join(home, ".local/share/qBittorrent"), filepath.Join(home, ".local/share/data/qBittorrent"), filepath.Join(home, "Library/Application Support/qBittorrent")}, places...)
	}
	if local := os.Getenv("LOCALAPPDATA"); local != "" {
		places = append([]string{filepath.Join(local, "qBittorrent")}, places...)
	}
	return t.imports(ctx, in, places, func(path string) ([]resume.Torrent, error) { return resume.QBittorrent(ctx, path) })
}

// usual returns where programs keep their state in this system.
func usual(names ...string) (all []string) {
	if dir, err := os.UserConfigDir(); err == nil {
		for _, n := range names {
			all = append(all, filepath.Join(dir, n))
		}
	}
	return all
}

func (t *Torrents) imports(ctx context.Context, in ImportIn, places []string, read func(string) ([]resume.Torrent, error)) iter.Seq2[ImportOut, error] {
	return func(yield func(ImportOut, error) bool) {
		if in.Path == "" {
			i := slices.IndexFunc(places, func(p string) bool { _, err := os.Stat(p); return err == nil })
			if i < 0 {
				yield(ImportOut{}, kith.Hint(fmt.Errorf("torrents: import: nothing at %s: %w", strings.Join(places, ", "), kith.NotFound), "say where its state is, the folder that has its .torrent or .resume files: kith import transmission DIR"))
				return
			}
			in.Path = places[i]
		}
		found, err := read(in.Path)
		if err != nil {
			yield(ImportOut{}, err)
			return
		}
		if len(in.Only) > 0 {
			found = slices.DeleteFunc(found, func(f resume.Torrent) bool {
				return !slices.ContainsFunc(in.Only, func(o string) bool { return strings.Contains(strings.ToLower(f.Name), strings.ToLower(o)) })
			})
		}
		out := ImportOut{Of: len(found), DryRun: in.DryRun}
		all := []Imported{}
		for i, f := range found {
			out.N, out.Name = i+1, f.Name
			one, going := t.importOne(ctx, f, in.DryRun, func(done, total int64) bool {
				out.Done, out.Total = done, total
				return yield(out, nil)
			})
			if !going {
				return
			}
			if ctx.Err() != nil {
				yield(out, ctx.Err())
				return
			}
			all = append(all, one)
		}
		out.All, out.Name, out.Done, out.Total = all, "", 0, 0
		yield(out, nil)
	}
}

const importEvery = 200 * time.Millisecond

// importOne takes over one torrent. going is false if nobody listens any more.
func (t *Torrents) importOne(ctx context.Context, f resume.Torrent, dry bool, tell func(done, total int64) bool) (one Imported, going bool) {
	one = Imported{Name: f.Name, State: "left", Size: -1, Up: f.Up, Added: f.Added, Paused: f.Paused, Why: f.Trouble}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	going = true
	var last time.Time
	progress := func(done, total int64) {
		if now := time.Now(); going && now.Sub(last) >= importEvery {
			if last = now; !tell(done, total) {
				going = false
				cancel()
			}
		}
	}
	fail := func(err error) (Imported, bool) {
		one.State, one.Why = "left", err.Error()
		if kith.KindOf(err) == kith.Exists {
			one.State, one.Why = "known", ""
		}
		return one, going
	}
	switch {
	case f.Trouble != "":
		return one, true
	case f.File == nil && f.Link == "":
		one.Why = "neither its .torrent nor its infohash is there"
		return one, true
	case f.File == nil:
		l, err := kith.ParseLink(f.Link)
		if err == nil && !dry {
			err = t.files.FetchFrom(ctx, l, "", f.Added, f.Paused, nil)
		}
		if err != nil {
			return fail(err)
		}
		one.State = state(f.Paused, "goes on")
		return one, true
	}
	read := int64(0)
	var size int64
	found, err := resume.Check(ctx, f, func(n int64) { read += n; progress(read, max(size, read)) })
	if err != nil {
		return fail(err)
	}
	one.Size, one.Right, one.Path = found.Info.Size(), found.Bytes, found.Path
	if found.Whole && found.Extra > 0 {
		one.Why = fmt.Sprintf("its folder has %s more that the torrent does not have: move them out, and import again", human.Count(found.Extra, "file"))
		return one, going
	}
	one.State = state(f.Paused, "goes on")
	if found.Whole {
		one.State = state(f.Paused, "shared")
	} else if f.Renamed && found.Bytes == 0 {
		one.Why = "files were renamed there: what they are now was not found"
	}
	if dry {
		return one, going
	}
	return t.takeOver(ctx, f, found, one, progress, fail, &going)
}

func state(paused bool, else_ string) string {
	if paused {
		return "paused"
	}
	return else_
}

func (t *Torrents) takeOver(ctx context.Context, f resume.Torrent, found *resume.Found, one Imported, progress func(done, total int64), fail func(error) (Imported, bool), going *bool) (Imported, bool) {
	b, err := t.torrents()
	if err != nil {
		return fail(err)
	}
	l, err := b.AddTorrent(ctx, f.File)
	if err != nil {
		return fail(err)
	}
	if found.Whole {
		err = t.files.Adopt(ctx, found.Path, l, f.Added, f.Paused, progress)
	} else {
		err = t.files.FetchFrom(ctx, l, "", f.Added, f.Paused, (&disk{found: found}).open)
	}
	if err != nil {
		return fail(err)
	}
	if err := b.Moved(ctx, l.Names, f.Up, f.Down); err != nil {
		one.Why = "what it had sent is not counted: " + err.Error()
	}
	return one, *going
}

// disk is what another program has of a download, as a source of it.
type disk struct {
	found *resume.Found

	mu   sync.Mutex
	n    int // file that is open
	file *os.File
}

func (d *disk) open(context.Context, transfer.Content) (transfer.Origin, error) {
	return &disk{found: d.found, n: -1}, nil
}

var _ transfer.Knower = (*disk)(nil)

// Network implements transfer.Origin.
func (d *disk) Network() string { return "import" }

// Layout implements transfer.Origin.
func (d *disk) Layout(context.Context) (transfer.Layout, error) {
	in := d.found.Info
	l := transfer.Layout{Name: in.Name, Folder: in.Folder, Unit: in.PieceLength, Window: 8 * in.PieceLength}
	for _, f := range in.Files {
		l.Files = append(l.Files, transfer.LayoutFile{Path: f.Path, Size: f.Size, Exec: f.Exec, Link: f.Link})
	}
	return l, nil
}

// Fetch implements transfer.Origin.
func (d *disk) Fetch(_ context.Context, s transfer.Span, alive func()) ([]byte, error) {
	if s.File < 0 || s.File >= len(d.found.Files) || !d.found.Has(s.File, s.Off, s.N) {
		return nil, fmt.Errorf("torrents: the other program has not that: %w", kith.NotFound)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.n != s.File {
		d.shut()
		f, err := os.Open(d.found.Files[s.File])
		if err != nil {
			return nil, fmt.Errorf("torrents: %w: %w", err, kith.NotFound)
		}
		d.n, d.file = s.File, f
	}
	b := make([]byte, s.N)
	if _, err := d.file.ReadAt(b, s.Off); err != nil {
		return nil, fmt.Errorf("torrents: %w: %w", err, kith.NotFound)
	}
	alive()
	return b, nil
}

func (d *disk) shut() {
	if d.file != nil {
		d.file.Close()
	}
	d.n, d.file = -1, nil
}

// Available implements transfer.Knower: what is right, and no more.
func (d *disk) Available() (spans []transfer.Span, ok bool) {
	in := d.found.Info
	for i, f := range in.Files {
		for off := int64(0); off < f.Size; {
			n := f.Size - off // to the end of the piece
			if in.HasV1 {
				n = min(n, in.PieceLength-(f.Off+off)%in.PieceLength)
			}
			if d.found.Has(i, off, n) {
				spans = append(spans, transfer.Span{File: i, Off: off, N: n})
			}
			off += n
		}
	}
	return spans, true
}

// Here implements transfer.Origin.
func (d *disk) Here(transfer.Span) {}

// Verify implements transfer.Origin: what a file here says of the whole, BitTorrent's own check says too.
func (d *disk) Verify(context.Context, func(int64)) error { return nil }

// Peers implements transfer.Origin.
func (d *disk) Peers(int) []transfer.OriginPeer { return nil }

// Close implements transfer.Origin.
func (d *disk) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.shut()
	return nil
}

// Progress implements app.Progresser.
func (o ImportOut) Progress() app.Progress {
	return app.Progress{Label: plain.Text(o.Name), Done: o.Done, Total: o.Total, Note: fmt.Sprintf("%d of %d", o.N, o.Of)}
}

// Result implements app.Resulter.
func (o ImportOut) Result() any { return o.All }

// WriteText implements app.Texter.
func (o ImportOut) WriteText(w io.Writer, _ int) error {
	for _, i := range o.All {
		size := ""
		if i.Size >= 0 {
			size = fmt.Sprintf(", %s of %s", human.Bytes(i.Right), human.Bytes(i.Size))
		}
		why := ""
		if i.Why != "" {
			why = ": " + plain.Text(i.Why)
		}
		fmt.Fprintf(w, "%-8s %s%s%s\n", i.State, plain.Text(i.Name), size, why)
	}
	if len(o.All) == 0 {
		fmt.Fprintln(w, "There is no torrent.")
	}
	if o.DryRun {
		fmt.Fprintln(w, "Nothing was taken over: this was a dry run.")
	}
	return nil
}
