package blob

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"

	"kith"
	"kith/blob/bao"
	"kith/blob/digest"
	"kith/blob/disk"
	"kith/blob/folder"
	"kith/blob/seal"
	"kith/blob/tee"
	"kith/blob/walk"
	"kith/internal/room"
)

const (
	importBatch = 1000 // files per transaction
	readTries   = 3    // how often a file is read that changes meanwhile
)

// Import shares the file or folder at path where it is; nothing is copied. What has not changed since it was last read is not read again.
// Inside a folder, what is no file, folder or link, cannot be read, or has a name that other systems cannot have is left out
// and named in SkipNotes. The tree is pinned. Errors: NotFound, Denied, Invalid (a device, a socket), Unavailable (a file that changes
// all the time; over quota). If ctx ends, nothing stays behind.
func (s *Store) Import(ctx context.Context, path string, o ImportOptions) (Tree, error) {
	t, err := s.importPath(ctx, path, o)
	if ctx.Err() != nil && err != nil {
		err = ctx.Err() // whatever it came out as
	}
	if err != nil {
		return Tree{}, fmt.Errorf("blob: import %s: %w", path, disk.Error(err))
	}
	return t, nil
}

func (s *Store) importPath(ctx context.Context, path string, o ImportOptions) (Tree, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return Tree{}, err
	}
	name := filepath.Base(path)
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return Tree{}, kith.Hint(disk.Error(err), "check the spelling; the path is taken from the folder you are in")
	}
	info, err := os.Stat(path)
	if err != nil {
		return Tree{}, err
	}
	if s.never(path) {
		return Tree{}, kith.Hint(fmt.Errorf("it is kith's own, with its keys in it: %w", kith.Denied), "share something else")
	}
	im := &importer{s: s, o: o, name: name, path: path}
	switch {
	case info.IsDir():
		im.dir, im.whole = path, true
		im.found, im.total, err = walk.Folder(ctx, path, s.never, im.skip)
	case info.Mode().IsRegular():
		im.dir = filepath.Dir(path)
		im.found = []walk.Found{{Entry: folder.Entry{Path: name, Mode: info.Mode().Perm(), Size: info.Size()}, Name: filepath.Base(path), Info: info}}
		im.total = info.Size()
	default:
		return Tree{}, kith.Hint(fmt.Errorf("it is %s: %w", walk.Describe(info.Mode()), kith.Invalid), "share a file or a folder")
	}
	if err != nil {
		return Tree{}, err
	}
	return im.run(ctx)
}

// An importer carries out one Import.
type importer struct {
	s     *Store
	o     ImportOptions
	name  string
	path  string
	dir   string // the folder that all names are in
	whole bool   // it is a folder that is shared, not one file in it

	found   []walk.Found
	total   int64
	skips   []Skip
	skipped int

	taps         []Tap
	tree, folder int64
	known        map[string]known

	mu          sync.Mutex
	done, shown int64 // bytes read, and as told: that never falls, even if a file is read again
}

// progress tells that n more bytes were read.
func (im *importer) progress(file string, n int64) {
	if im.o.Progress == nil {
		return
	}
	im.mu.Lock()
	defer im.mu.Unlock()
	im.done += n
	im.shown = max(im.shown, min(im.done, im.total))
	im.o.Progress(file, im.shown, im.total)
}

// A known is a file that was read before.
type known struct {
	id  int64
	sum bao.Sum
	disk.Stamp
}

func (im *importer) skip(path, why string) {
	if im.skipped++; im.skipped <= MaxSkips {
		im.skips = append(im.skips, Skip{path, why})
	}
}

// run reads the files, keeps what it learns, and makes the tree.
func (im *importer) run(ctx context.Context) (t Tree, err error) {
	if err := im.begin(ctx); err != nil {
		return Tree{}, err
	}
	defer func() {
		if err != nil { // leave nothing behind, even if ctx has ended
			err = join(err, im.s.dropTree(context.WithoutCancel(ctx), im.tree))
		}
	}()
	im.askTaps()
	work, cancel := context.WithCancel(ctx)
	results := make(chan result, 256)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() { im.work(work, &next, results) })
	}
	go func() { wg.Wait(); close(results) }()
	err = im.collect(ctx, results)
	cancel()
	for r := range results { // those that were on their way when it failed
		r.Drop()
	}
	if err != nil {
		return Tree{}, err
	}
	return im.finish(ctx)
}

// askTaps asks who wants to see the bytes, now that it is known how many there are, as they leave this node.
func (im *importer) askTaps() {
	if len(im.o.Taps) == 0 {
		return
	}
	files, bytes := 0, int64(0)
	for _, f := range im.found {
		if f.File() {
			files++
			bytes += im.leaves(f.Size)
		}
	}
	for _, ask := range im.o.Taps {
		if t := ask(files, bytes); t != nil {
			im.taps = append(im.taps, t)
		}
	}
}

// leaves returns how many bytes the blob of a file of so many bytes has.
func (im *importer) leaves(size int64) int64 {
	m := folder.Manifest{Sealed: im.o.Key != nil, Entries: []folder.Entry{{Size: size}}}
	return m.BlobSize(0)
}

// tap asks who wants to see a file, and returns how to tell them what became of it.
func (im *importer) tap(size int64) (writers []io.Writer, done func(kith.Ref)) {
	var all []TapFile
	for _, t := range im.taps {
		if f := t.File(size); f != nil {
			all, writers = append(all, f), append(writers, f)
		}
	}
	return writers, func(ref kith.Ref) {
		for _, f := range all {
			f.Done(ref)
		}
	}
}

// begin adds the tree, under a name that nobody can ask for, so that what follows belongs to something.
func (im *importer) begin(ctx context.Context) error {
	var root [32]byte
	rand.Read(root[:])
	err := im.s.within(ctx, func(in *inserter) (err error) {
		if im.folder, err = in.folder(im.dir); err != nil {
			return err
		}
		file := ""
		if !im.whole {
			file = im.found[0].Name
		}
		res, err := in.exec("INSERT INTO tree (root, codec, name, size, files, folder, file, dest, state, private, download, pinned, gone)"+
			" VALUES (?, 0, ?, 0, 0, ?, ?, '', ?, ?, ?, 1, 0)", root[:], im.name, im.folder, file, importing, im.o.Key != nil, im.o.Own)
		if err != nil {
			return err
		}
		im.tree, err = res.LastInsertId()
		return err
	})
	if err != nil || im.o.Key != nil {
		return err
	}
	im.known, err = im.s.knownIn(ctx, im.folder)
	return err
}

// knownIn returns what is known of the plain files of a folder.
func (s *Store) knownIn(ctx context.Context, folder int64) (map[string]known, error) {
	rows, err := s.db.QueryContext(ctx, "SELECT name, blob, sum, place.size, mtime, dev, ino FROM place JOIN blob ON blob.id = blob"+
		" WHERE folder = ? AND header IS NULL", folder)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := map[string]known{}
	for rows.Next() {
		var k known
		var name string
		var sum []byte
		if err := rows.Scan(&name, &k.id, &sum, &k.Size, &k.Mtime, &k.Dev, &k.Ino); err != nil {
			return nil, err
		}
		copy(k.sum[:], sum)
		all[name] = k
	}
	return all, rows.Err()
}

// A result is what became of found[i].
type result struct {
	digest.File
	i     int
	known *known
	err   error // why it could not be read
}

func (im *importer) work(ctx context.Context, next *atomic.Int64, results chan<- result) {
	for {
		i := int(next.Add(1) - 1)
		if i >= len(im.found) || ctx.Err() != nil {
			return
		}
		if !im.found[i].File() {
			continue
		}
		r := im.read(ctx, i)
		select {
		case results <- r:
		case <-ctx.Done():
			r.Drop()
			return
		}
	}
}

// read hashes a file, again if it changed meanwhile.
func (im *importer) read(ctx context.Context, i int) (r result) {
	f := im.found[i]
	if k, ok := im.known[f.Name]; ok && k.Stamp == disk.StampOf(f.Info) {
		im.progress(f.Name, f.Info.Size())
		return result{i: i, known: &k, File: digest.File{Stamp: k.Stamp}}
	}
	for range readTries {
		r = im.readOnce(ctx, f)
		r.i = i
		if !errors.Is(r.err, digest.ErrChanging) {
			return r
		}
	}
	return r
}

func (im *importer) readOnce(ctx context.Context, f walk.Found) (r result) {
	var told int64
	progress := func(n int64) {
		im.progress(f.Name, n-told)
		told = n
	}
	done := func(kith.Ref) {}
	var ahead *bao.Ahead
	if im.o.Ahead != nil {
		ahead = im.o.Ahead(f.Name)
	}
	r.File, r.err = digest.ReadFile(ctx, im.s.trees(), filepath.Join(im.dir, filepath.FromSlash(f.Name)), im.o.Key, ahead, progress, func(size int64) (taps []io.Writer) {
		taps, done = im.tap(size)
		return taps
	})
	if r.err != nil {
		done(kith.Ref{})
		progress(0) // it is read again, or not at all
	} else {
		done(kith.RawRef(r.Sum))
	}
	return r
}

// collect keeps the results, some thousand in each transaction.
func (im *importer) collect(ctx context.Context, results <-chan result) error {
	for more := true; more; {
		err := im.s.within(ctx, func(in *inserter) error {
			for range importBatch {
				var r result
				if r, more = <-results; !more {
					return ctx.Err()
				}
				if err := im.keep(in, r); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// keep notes one result.
func (im *importer) keep(in *inserter, r result) error {
	if err := fault("import"); err != nil {
		return err
	}
	f := &im.found[r.i]
	if r.err != nil {
		if !im.whole || room.Full(r.err) || errors.As(r.err, new(*tee.Error)) || errors.Is(r.err, context.Canceled) || errors.Is(r.err, context.DeadlineExceeded) {
			return r.err
		}
		im.skip(f.Name, disk.Error(r.err).Error())
		f.Drop = true
		return nil
	}
	f.Size = r.Stamp.Size
	at := place{spot: spot{folder: im.folder, name: f.Name}, Stamp: r.Stamp, own: im.o.Own}
	if r.known != nil {
		f.Ref = kith.RawRef(r.known.sum)
		return join(in.place(r.known.id, at), in.member(im.tree, r.known.id))
	}
	defer r.Drop()
	f.Ref = kith.RawRef(r.Sum)
	if r.Header != nil {
		at.header = r.Header.Pack()
	}
	id, err := in.built(&r.Digest)
	if err != nil {
		return err
	}
	return join(in.place(id, at), in.member(im.tree, id))
}

// finish makes the manifest, if there is to be one, and gives the tree its name.
func (im *importer) finish(ctx context.Context) (Tree, error) {
	m := &folder.Manifest{Sealed: im.o.Key != nil}
	for _, f := range im.found {
		if !f.Drop {
			m.Entries = append(m.Entries, f.Entry)
		}
	}
	if err := im.own(ctx); err != nil {
		return Tree{}, err
	}
	t := Tree{Name: im.name, Path: im.path, Folder: im.whole, Download: im.o.Own, Private: m.Sealed, Complete: true, Pinned: true, Skipped: im.skipped, SkipNotes: im.skips}
	t.Size, t.Files = m.Size()
	if !im.whole && !m.Sealed {
		t.Root = m.Entries[0].Ref
		return im.s.settleTree(ctx, im.tree, t)
	}
	switch name := folder.CleanName(im.name); {
	case im.whole && m.Sealed:
		m.Name = name
	case !im.whole:
		m.Entries[0].Path = name
	}
	data, err := m.Encode()
	if err != nil {
		return Tree{}, err
	}
	t.Root = kith.ManifestRef(bao.Hash(data))
	if m.Sealed {
		if data, err = sealBytes(*im.o.Key, data); err != nil {
			return Tree{}, err
		}
		t.Root = kith.RawRef(bao.Hash(data))
	}
	if err := im.s.put(ctx, data, im.tree); err != nil {
		return Tree{}, err
	}
	return im.s.settleTree(ctx, im.tree, t)
}

// own notes the links and empty folders that Kith made, so that Delete finds them.
func (im *importer) own(ctx context.Context) error {
	if !im.o.Own {
		return nil
	}
	return im.s.within(ctx, func(in *inserter) error {
		for _, f := range im.found {
			if f.Drop || f.File() {
				continue
			}
			if err := in.place(0, place{spot: spot{folder: im.folder, name: f.Name}, own: true}); err != nil {
				return err
			}
		}
		return nil
	})
}

// sealBytes returns data as an age file for key.
func sealBytes(key seal.Key, data []byte) ([]byte, error) {
	h, err := seal.NewHeader(key)
	if err != nil {
		return nil, err
	}
	size := int64(len(data))
	return io.ReadAll(io.NewSectionReader(seal.NewReaderAt(h, bytes.NewReader(data), size), 0, seal.SealedSize(h, size)))
}
