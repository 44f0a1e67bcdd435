package transfer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"time"

	"kith"
	"kith/blob"
	"kith/blob/bao"
	"kith/blob/draft"
	"kith/blob/folder"
	"kith/transfer/proto"
	"kith/transfer/stage"
)

const (
	manifestTime = 8 * time.Second  // so long a folder's manifest is looked for, when another network knows what the folder consists of
	verifyTime   = 10 * time.Second // so long a draft that is complete waits for networks that have not told what it consists of
)

// errNoManifest says that no Kith node is there that could tell what a folder consists of.
var errNoManifest = errors.New("transfer: nobody has the manifest")

// withoutManifest reports whether a folder can be fetched by another network's layout, since nobody who has its manifest is there.
func (d *Download) withoutManifest() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.root.Codec == kith.Manifest && d.job.Key == nil && d.first != nil && d.active() == 0
}

// state returns the file that remembers the draft of a root.
func (m *Manager) draftOf(root kith.Ref) string {
	if m.o.Drafts == "" {
		return ""
	}
	return filepath.Join(m.o.Drafts, root.String()+".draft")
}

// isDrafted reports whether the download was begun as a draft.
func (d *Download) isDrafted() bool {
	if !d.isTree() || d.job.Key != nil || len(d.outsides) == 0 {
		return false
	}
	_, err := os.Stat(d.m.draftOf(d.root))
	return err == nil
}

// Discard forgets the draft of a root whose download has ended, and removes what was there of it if that was not complete. Call it once it is written down what the
// real root of a complete one is: until then Start finds that again.
func (m *Manager) Discard(root kith.Ref) error {
	if d := m.Download(root); d != nil {
		return fmt.Errorf("transfer: discard %s: it is still being fetched: %w", root.Short(), kith.Invalid)
	}
	m.mu.Lock()
	d := m.ending[root]
	m.mu.Unlock()
	if d != nil {
		<-d.gone
	}
	if m.o.Drafts == "" {
		return nil
	}
	return draft.Remove(m.draftOf(root))
}

// fetchDraft fetches what only other networks know, by the layout of the first that tells it.
func (d *Download) fetchDraft(ctx context.Context) error {
	dr, err := d.openDraft(ctx)
	if err != nil {
		return err
	}
	defer dr.Close()
	for _, note := range dr.Notes() {
		d.m.o.Log.Warn("draft", "ref", d.root, "err", note)
	}
	files := dr.Files()
	st := d.newStage(stage.Options{Number: proto.RowDraft, Row: stage.DraftRow(files), Draft: dr})
	for i, f := range st.Row.Files {
		for r := range dr.Have(f.Index).Ranges() {
			st.Has(i, r, st.Loose)
		}
	}
	d.leaveOut(st)
	bytes, count := d.wantedIn(files)
	d.mu.Lock()
	d.drafted, d.folder, d.size, d.files = files, dr.Folder(), bytes, count
	d.path, d.name = dr.Path(), filepath.Base(dr.Path())
	d.mu.Unlock()
	path := dr.Part()
	err = d.runStage(ctx, st, func() (err error) {
		if st.Partial {
			path, err = dr.Place(ctx)
			return err
		}
		if err := d.verify(ctx, st); err != nil {
			return err
		}
		if path, err = dr.Finish(ctx); err != nil {
			return err
		}
		return d.importDraft(ctx, dr, path)
	})
	if err != nil {
		return err
	}
	d.mu.Lock()
	d.part = st.Partial
	d.mu.Unlock()
	d.placed(path, bytes, count)
	return nil
}

// openDraft goes on with the draft that is there, or begins one as soon as a network has told what it consists of.
func (d *Download) openDraft(ctx context.Context) (*draft.Draft, error) {
	state := d.m.draftOf(d.root)
	if state == "" {
		return nil, fmt.Errorf("transfer: fetch %s: no folder for drafts: %w", d.root.Short(), kith.Invalid)
	}
	if len(d.outsides) == 0 {
		return nil, fmt.Errorf("transfer: fetch %s: no network is there that it could come from: %w", d.root.Short(), kith.Unavailable)
	}
	dr, err := draft.Open(ctx, draft.Options{State: state})
	if !errors.Is(err, kith.NotFound) {
		return dr, err
	}
	l, err := d.awaitLayout(ctx)
	if err != nil {
		return nil, err
	}
	name := l.Name
	if !l.Folder {
		name = cmp.Or(name, path.Base(l.Files[0].Path))
	}
	files := l.drafted()
	room, _ := d.wantedIn(files)
	return draft.Open(ctx, draft.Options{State: state, Path: d.place(name), Folder: l.Folder, Files: files, Room: room})
}

// wantedIn returns the bytes of the files of a draft that are wanted, and how many they are.
func (d *Download) wantedIn(list []draft.File) (bytes int64, files int) {
	want := d.selection()
	for i, f := range list {
		if f.Link == "" && !f.Dir && want.Has(i, f.Path) {
			bytes += f.Size
			files++
		}
	}
	return bytes, files
}

// awaitLayout returns what the first network that knows it says that the content consists of.
func (d *Download) awaitLayout(ctx context.Context) (*Layout, error) {
	tick := time.NewTicker(tickTime)
	defer tick.Stop()
	for {
		select {
		case <-d.told:
			d.mu.Lock()
			defer d.mu.Unlock()
			return d.first.layout, nil
		case <-tick.C:
			d.refresh()
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// importDraft takes what is complete into the store, which hashes what was not hashed when it came.
func (d *Download) importDraft(ctx context.Context, dr *draft.Draft, path string) error {
	known := map[string]*bao.Ahead{}
	for i, f := range dr.Files() {
		name := f.Path
		if !dr.Folder() {
			name = filepath.Base(path)
		}
		if a := dr.Ahead(i); a != nil {
			known[name] = a
		}
	}
	tree, err := d.m.o.Blobs.Import(ctx, path, blob.ImportOptions{Own: true, Ahead: func(file string) *bao.Ahead { return known[file] }})
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.real = tree.Root
	if !d.isPending() && tree.Root != d.root {
		d.verdict = fmt.Sprintf("verified by %s; its BLAKE3 digest is %s, and not %s as the link says", d.verifiers(), tree.Root, d.root)
	}
	return nil
}

// verifiers names the networks that have compared the whole with their digests. d.mu is held.
func (d *Download) verifiers() string {
	said := ""
	for _, o := range d.outsides {
		if o.verified && said != "" {
			said += " and "
		}
		if o.verified {
			said += NetworkName(o.network)
		}
	}
	return cmp.Or(said, "nobody")
}

// newStage begins a stage of this download.
func (d *Download) newStage(o stage.Options) *stage.Stage {
	o.Seed, o.Sequential = d.m.seed(), d.job.Sequential
	if len(d.outsides) > 0 {
		o.Heard = d.here
	}
	return stage.New(o)
}

// selection returns what is wanted.
func (d *Download) selection() stage.Selection {
	d.mu.Lock()
	defer d.mu.Unlock()
	return stage.Selection{Only: d.job.Only, Select: d.job.Select}
}

// leaveOut has all files of a stage left out that are not wanted, and of which not all is here.
func (d *Download) leaveOut(st *stage.Stage) {
	want := d.selection()
	if want.All() {
		return
	}
	for i, f := range st.Row.Files {
		n := f.Index
		if st.Draft == nil {
			n = -1
		}
		switch {
		case want.Has(n, f.Path):
		case st.Left[i] > 0:
			st.Skip(i)
		case st.Tree != nil && !st.Tree.Placed(f.Index):
			st.Partial = true // it is here, but elsewhere
		}
	}
}

// wantedOf returns the bytes of the plain files that are wanted, and how many they are.
func (d *Download) wantedOf(man *folder.Manifest) (bytes int64, files int) {
	want := d.selection()
	if want.All() {
		return man.Size()
	}
	for _, e := range man.Entries {
		if e.File() && want.Has(-1, e.Path) {
			bytes += e.Size
			files++
		}
	}
	return bytes, files
}

// Select changes which files are wanted, as Job has them, also of a download that is running: it goes on at once with those.
func (d *Download) Select(only []string, ranges []kith.FileRange) error {
	want := stage.Selection{Only: only, Select: ranges}
	if err := want.Check(); err != nil {
		return fmt.Errorf("transfer: select files of %s: %w", d.root.Short(), err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.job.Only, d.job.Select = only, ranges
	if d.stop != nil && !d.paused {
		d.stop(errAgain)
	}
	return nil
}

// verify has the whole compared with the digests by which other networks name it. Those that have not told what it consists of cannot do that, and it is noted.
func (d *Download) verify(ctx context.Context, st *stage.Stage) error {
	if st.Draft != nil {
		d.awaitTold(ctx)
	}
	if err := st.Checkpoint(ctx); err != nil { // small files can be read from then on
		return err
	}
	for _, o := range d.outsides {
		d.mu.Lock()
		origin, l := o.origin, o.layout
		d.mu.Unlock()
		name := NetworkName(o.network)
		if origin == nil || l == nil {
			o.say(Dropped, fmt.Sprintf("not verified by %s: nobody there has told what it consists of", name))
			continue
		}
		if err := o.followed(ctx, st); err != nil {
			return err
		}
		var err error
		if !l.Checks || !o.broughtAll(st) {
			err = origin.Verify(ctx, func(int64) {})
		}
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, kith.Corrupt):
			return d.mixed(name, sizer(""), err.Error())
		case err != nil:
			o.say(Dropped, fmt.Sprintf("not verified by %s: %v", name, err))
			continue
		}
		d.mu.Lock()
		o.verified = true
		d.tell()
		d.mu.Unlock()
	}
	return nil
}

// broughtAll reports whether all of a draft has come from o since the node started, and nothing from anybody else. What is in the place of a blob may have been replaced by what was proven.
func (o *outside) broughtAll(st *stage.Stage) bool {
	if st.Draft == nil {
		return false
	}
	for _, other := range o.d.outsides {
		other.mu.Lock()
		n := int64(0)
		if other.stage == st {
			n = other.brought.Count()
		}
		other.mu.Unlock()
		if other == o && n < st.Row.N || other != o && n > 0 {
			return false
		}
	}
	return true
}

// awaitTold waits a while for one network that has told what a draft consists of.
func (d *Download) awaitTold(ctx context.Context) {
	t := time.NewTimer(verifyTime)
	defer t.Stop()
	for {
		d.mu.Lock()
		changed, ready := d.changed, false
		for _, o := range d.outsides {
			ready = ready || o.origin != nil && o.layout != nil
		}
		d.mu.Unlock()
		if ready {
			return
		}
		select {
		case <-changed:
		case <-t.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// followed waits until o knows of a stage.
func (o *outside) followed(ctx context.Context, st *stage.Stage) error {
	for {
		changed := o.d.Changed()
		o.mu.Lock()
		there := o.stage == st
		o.mu.Unlock()
		if there {
			return nil
		}
		o.nudge()
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
