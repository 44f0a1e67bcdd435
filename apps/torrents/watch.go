package torrents

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"kith"
	"kith/app"
	"kith/internal/human"
	"kith/internal/plain"
	"kith/internal/room"
)

// Limits of watched folders.
const (
	watchEvery  = 2 * time.Second
	settleTime  = 2 * time.Second  // a file that has not changed for so long is complete, if it can be read
	brokenTime  = 30 * time.Second // a file that cannot be read for so long, without changing, is broken
	maxFolders  = 64
	maxEntries  = 10_000   // of one folder that are looked at
	maxWatched  = 32 << 20 // bytes of a .torrent file, as for kith get
	maxMagnet   = 64 << 10 // bytes of a .magnet file
	maxLinks    = 100      // in one .magnet file
	addedFolder = "added"
	wrongFolder = "failed"
)

// WatchAddIn names a folder to watch.
type WatchAddIn struct {
	Path   string `json:"path" arg:"0" path:"true" doc:"folder to watch"`
	Output string `json:"output,omitempty" short:"o" path:"true" doc:"folder to put downloads in; default: the node's files folder"`
	Keep   bool   `json:"keep,omitempty" doc:"leave what was added where it is; default: it is moved to added/"`
}

// WatchRmIn names a watched folder.
type WatchRmIn struct {
	Path string `json:"path" arg:"0" path:"true" suggest:"watch ls" doc:"folder that is watched"`
}

// WatchOut lists the folders that are watched.
type WatchOut struct {
	Folders []WatchFolder `json:"folders"`
}

// WatchFolder is a folder that is watched.
type WatchFolder struct {
	Path    string `json:"path"`
	Output  string `json:"output,omitempty"`
	Keep    bool   `json:"keep,omitempty"`
	Trouble string `json:"trouble,omitempty" doc:"why it cannot be watched now"`
}

// Suggest implements app.Suggester.
func (o WatchOut) Suggest() (all []string) {
	for _, f := range o.Folders {
		all = append(all, f.Path)
	}
	return all
}

// WriteText implements app.Texter.
func (o WatchOut) WriteText(w io.Writer, _ int) error {
	if len(o.Folders) == 0 {
		_, err := fmt.Fprintln(w, "No folder is watched. Watch one with: kith watch add DIR")
		return err
	}
	for _, f := range o.Folders {
		to := ""
		if f.Output != "" {
			to = "  → " + plain.Text(f.Output)
		}
		if f.Trouble != "" {
			to += "  (" + plain.Text(f.Trouble) + ")"
		}
		fmt.Fprintf(w, "%s%s\n", plain.Text(f.Path), to)
	}
	return nil
}

func watchAddOp(run func(context.Context, WatchAddIn) (WatchOut, error)) app.Op {
	o := app.NewOp("watch add", "fetch what .torrent and .magnet files in a folder name, as soon as they are there", run)
	o.Long = "A file that is being written is waited for. What was added is moved to added/ in that folder (--keep leaves it), what cannot be read to failed/, with a note that says why.\n" +
		"A .magnet file is text with links in it, one a line."
	o.Example = "  kith watch add ~/Downloads/torrents\n  kith watch add /srv/drop --output /srv/films --keep"
	return o
}

func watchLsOp(run func(context.Context, None) (WatchOut, error)) app.Op {
	o := app.NewOp("watch ls", "list the folders that are watched", run)
	o.Query = true
	return o
}

func watchRmOp(run func(context.Context, WatchRmIn) (WatchOut, error)) app.Op {
	return app.NewOp("watch rm", "watch a folder no more", run)
}

func (t *Torrents) watchAdd(ctx context.Context, in WatchAddIn) (WatchOut, error) {
	path := filepath.Clean(in.Path)
	st, err := os.Stat(path)
	switch {
	case err != nil || !st.IsDir():
		return WatchOut{}, kith.Hint(fmt.Errorf("torrents: there is no folder %s: %w", plain.Text(path), kith.NotFound), "make it first: mkdir -p '%s'", plain.Text(path))
	case !filepath.IsAbs(path):
		return WatchOut{}, fmt.Errorf("torrents: %s is no absolute path: %w", plain.Text(path), kith.Invalid)
	}
	if in.Output != "" {
		if st, err := os.Stat(in.Output); err != nil || !st.IsDir() {
			return WatchOut{}, kith.Hint(fmt.Errorf("torrents: there is no folder %s: %w", plain.Text(in.Output), kith.NotFound), "make it first: mkdir -p '%s'", plain.Text(in.Output))
		}
	}
	all, err := t.folders(ctx)
	if err != nil {
		return WatchOut{}, err
	}
	if len(all) >= maxFolders && !slices.ContainsFunc(all, func(f WatchFolder) bool { return f.Path == path }) {
		return WatchOut{}, fmt.Errorf("torrents: at most %d folders can be watched: %w", maxFolders, kith.TooLarge)
	}
	_, err = t.db.ExecContext(ctx, `INSERT INTO folders (path, output, keep, added) VALUES (?, ?, ?, ?) ON CONFLICT (path) DO UPDATE SET output = excluded.output, keep = excluded.keep`,
		path, in.Output, in.Keep, time.Now().Unix())
	if err != nil {
		return WatchOut{}, fmt.Errorf("torrents: save: %w", room.Explain(err))
	}
	t.wake.Ring()
	return t.watchLs(ctx, None{})
}

func (t *Torrents) watchLs(ctx context.Context, _ None) (WatchOut, error) {
	all, err := t.folders(ctx)
	for i, f := range all {
		if _, err := os.Stat(f.Path); err != nil {
			all[i].Trouble = "it is not there now"
		}
	}
	return WatchOut{all}, err
}

func (t *Torrents) watchRm(ctx context.Context, in WatchRmIn) (WatchOut, error) {
	res, err := t.db.ExecContext(ctx, `DELETE FROM folders WHERE path = ?`, filepath.Clean(in.Path))
	if err != nil {
		return WatchOut{}, fmt.Errorf("torrents: save: %w", room.Explain(err))
	}
	if n, _ := res.RowsAffected(); n == 0 {
		return WatchOut{}, fmt.Errorf("torrents: %s is not watched: %w", plain.Text(in.Path), kith.NotFound)
	}
	return t.watchLs(ctx, None{})
}

func (t *Torrents) folders(ctx context.Context) ([]WatchFolder, error) {
	rows, err := t.db.QueryContext(ctx, `SELECT path, output, keep FROM folders ORDER BY added, path`)
	if err != nil {
		return nil, fmt.Errorf("torrents: %w", err)
	}
	defer rows.Close()
	all := []WatchFolder{}
	for rows.Next() {
		var f WatchFolder
		if err := rows.Scan(&f.Path, &f.Output, &f.Keep); err != nil {
			return nil, fmt.Errorf("torrents: %w", err)
		}
		all = append(all, f)
	}
	return all, rows.Err()
}

// watch looks at all folders until the node stops. It asks again and again, since no system tells reliably of folders on other machines.
func (t *Torrents) watch(ctx context.Context) error {
	for {
		woken := t.wake.Wait()
		all, err := t.folders(ctx)
		if err != nil && ctx.Err() == nil {
			t.env.Log.Warn("watched folders", "err", err)
		}
		for _, f := range all {
			if err := t.look(ctx, f, time.Now()); err != nil && ctx.Err() == nil {
				t.env.Log.Debug("watched folder", "err", err)
			}
		}
		var tick <-chan time.Time // no folder, no looking
		if len(all) > 0 {
			tick = time.After(watchEvery)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick:
		case <-woken:
		}
	}
}

// sight is how a file was when it was looked at, and since when it is so.
type sight struct {
	size  int64
	mtime time.Time
	since time.Time
	tried bool // without success
}

// look adds what is complete in a folder.
func (t *Torrents) look(ctx context.Context, f WatchFolder, now time.Time) error {
	t.looks.Lock()
	defer t.looks.Unlock()
	dir, err := os.Open(f.Path)
	if err != nil {
		return err
	}
	defer dir.Close()
	entries, err := dir.ReadDir(maxEntries)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	for _, e := range entries {
		ext := strings.ToLower(filepath.Ext(e.Name()))
		if !e.Type().IsRegular() || ext != ".torrent" && ext != ".magnet" || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		st, err := e.Info()
		if err != nil {
			continue // it was taken away again
		}
		if err := t.consider(ctx, f, st, now); err != nil {
			return err
		}
	}
	for path := range t.waiting { // what was taken away
		if filepath.Dir(path) == f.Path {
			if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
				delete(t.waiting, path)
			}
		}
	}
	return nil
}

// consider adds a file if it is complete and new.
func (t *Torrents) consider(ctx context.Context, f WatchFolder, st fs.FileInfo, now time.Time) error {
	path := filepath.Join(f.Path, st.Name())
	if f.Keep {
		var n int
		err := t.db.QueryRowContext(ctx, `SELECT count(*) FROM seen WHERE folder = ? AND name = ? AND size = ? AND mtime = ?`, f.Path, st.Name(), st.Size(), st.ModTime().UnixNano()).Scan(&n)
		if err != nil || n > 0 {
			return err
		}
	}
	s, ok := t.waiting[path]
	if !ok || s.size != st.Size() || !s.mtime.Equal(st.ModTime()) {
		t.waiting[path] = sight{size: st.Size(), mtime: st.ModTime(), since: now}
		return nil
	}
	age := now.Sub(s.since)
	if age < settleTime || s.tried && age < brokenTime {
		return nil
	}
	err := t.addFile(ctx, path, f.Output)
	switch kind := kith.KindOf(err); {
	case err == nil:
	case ctx.Err() != nil:
		return nil
	case kind != kith.Invalid && kind != kith.Corrupt && kind != kith.TooLarge: // no room, no BitTorrent: it may pass
		s.since, s.tried = now, true
		t.waiting[path] = s
		return err
	case age < brokenTime: // half-written, perhaps, by somebody slow
		s.tried = true
		t.waiting[path] = s
		return nil
	}
	delete(t.waiting, path)
	return t.putAway(ctx, f, st, err)
}

// putAway sees that a file is not added again.
func (t *Torrents) putAway(ctx context.Context, f WatchFolder, st fs.FileInfo, failed error) error {
	to := addedFolder
	if failed != nil {
		to = wrongFolder
		t.env.Note(fmt.Sprintf("%s was not added: %v", filepath.Join(f.Path, st.Name()), failed))
	}
	if f.Keep {
		_, err := t.db.ExecContext(ctx, `INSERT OR REPLACE INTO seen (folder, name, size, mtime) VALUES (?, ?, ?, ?)`, f.Path, st.Name(), st.Size(), st.ModTime().UnixNano())
		return err
	}
	dir := filepath.Join(f.Path, to)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	name, ext := st.Name(), filepath.Ext(st.Name())
	for n := 2; n < 1000; n++ {
		if _, err := os.Lstat(filepath.Join(dir, name)); errors.Is(err, fs.ErrNotExist) {
			break
		}
		name = fmt.Sprintf("%s (%d)%s", strings.TrimSuffix(st.Name(), ext), n, ext)
	}
	return os.Rename(filepath.Join(f.Path, st.Name()), filepath.Join(dir, name))
}

// addFile begins to fetch what a file names.
func (t *Torrents) addFile(ctx context.Context, path, output string) error {
	limit := int64(maxWatched)
	magnet := strings.EqualFold(filepath.Ext(path), ".magnet")
	if magnet {
		limit = maxMagnet
	}
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("torrents: %w: %w", err, kith.Denied)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	switch {
	case err != nil:
		return fmt.Errorf("torrents: read: %w: %w", err, kith.Unavailable)
	case int64(len(data)) > limit:
		return fmt.Errorf("torrents: it has more than %s: %w", human.Bytes(limit), kith.TooLarge)
	case !magnet:
		return t.add(ctx, data, "", output)
	}
	n := 0
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if n++; n > maxLinks {
			return fmt.Errorf("torrents: more than %d links in one file: %w", maxLinks, kith.TooLarge)
		}
		if err := t.add(ctx, nil, line, output); err != nil {
			return err
		}
	}
	if n == 0 {
		return fmt.Errorf("torrents: there is no link in it: %w", kith.Invalid)
	}
	return nil
}
