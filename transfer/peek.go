package transfer

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"

	"kith"
	"kith/blob/folder"
)

// Manifest has the peers of a job, and those that the overlay knows, tell what the folder that it names consists of. It fetches nothing else, and is waited for until
// ctx ends. A private share needs the job's key.
func (m *Manager) Manifest(ctx context.Context, job Job) (*folder.Manifest, error) {
	job.Origins = nil
	d := newDownload(m, job)
	if !d.isTree() {
		return nil, fmt.Errorf("transfer: %s is no folder: %w", job.Root.Short(), kith.Invalid)
	}
	if man, err := m.o.Blobs.Manifest(ctx, job.Root, job.Key); err == nil {
		return man, nil
	}
	for _, p := range job.Peers {
		d.Add(p)
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer context.AfterFunc(m.ctx, func() { stop(ErrCanceled) })()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop(nil)
	wg.Go(func() { d.hunt(ctx) })
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() { d.check(ctx) })
	}
	if err := d.fetchManifest(ctx); err != nil {
		return nil, err
	}
	return m.o.Blobs.Manifest(ctx, job.Root, job.Key)
}

// LayoutOf returns what a manifest says in the words of other networks; name is a hint for one that has none.
func LayoutOf(man *folder.Manifest, name string) Layout {
	l := Layout{Name: man.Name, Folder: !man.Single()}
	if l.Name == "" {
		l.Name = name
	}
	for i, e := range man.Entries {
		if !e.File() {
			continue
		}
		if l.Files = append(l.Files, LayoutFile{Path: e.Path, Size: man.Entries[i].Size, Exec: e.Mode&0o100 != 0}); man.Single() {
			l.Name = filepath.Base(e.Path)
		}
	}
	return l
}
