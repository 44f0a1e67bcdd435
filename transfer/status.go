package transfer

import (
	"cmp"
	"slices"

	"kith"
	"kith/blob/bao"
)

// Status returns how it stands.
func (d *Download) Status() Status {
	now := d.m.now()
	d.mu.Lock()
	defer d.mu.Unlock()
	s := Status{
		Root: d.root, State: d.state, Reason: d.reason, Hint: kith.HintOf(d.err), Name: d.name, Path: d.path, Size: d.size,
		Done: d.bytes, Rate: d.meter.At(now), ETA: -1, Files: d.files, Folder: d.folder, Err: d.err,
	}
	if d.stage != nil {
		d.stage.mu.Lock()
		s.Done = d.stage.bytes
		d.stage.mu.Unlock()
	}
	switch {
	case d.isTree() && d.stage != nil && d.stage.number == rowRoot:
		s.Done = 0 // the manifest does not count
	case s.Size >= 0:
		s.Done = min(s.Done, s.Size) // of a private share, ciphertext came
	}
	if d.state == Done {
		s.Rate, s.ETA = 0, 0
	} else if s.Size >= 0 && s.Rate > 0 {
		s.ETA = float64(s.Size-s.Done) / s.Rate
	}
	for _, src := range d.sources {
		if src.bytes > 0 {
			s.From++
		}
		s.Sources = append(s.Sources, Source{
			Peer: src.info.ID, State: d.sourceState(src), Why: src.why, Have: src.have, Bytes: src.bytes, Rate: src.meter.At(now), Via: src.via,
		})
	}
	slices.SortFunc(s.Sources, func(a, b Source) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Peer, b.Peer))
	})
	return s
}

// sourceState returns what a source is doing. d.mu is held.
func (d *Download) sourceState(src *source) SourceState {
	if src.conn == nil || src.state != Active || d.stage == nil {
		return src.state
	}
	d.stage.mu.Lock()
	defer d.stage.mu.Unlock()
	switch owes, slow := d.stage.engine.Doing(src.conn.id); {
	case !owes:
		return Idle
	case slow:
		return Slow
	}
	return Active
}

// Files returns the files of a folder, at most max of them; index 0 is a single file itself.
func (d *Download) Files(max int) (list []File) {
	d.mu.Lock()
	st, path, size, done := d.stage, d.name, d.size, d.bytes
	d.mu.Unlock()
	if !d.isTree() {
		if st != nil {
			st.mu.Lock()
			done = st.bytes
			st.mu.Unlock()
		}
		return []File{{Path: path, Size: size, Done: done}}
	}
	man, err := d.m.o.Blobs.Manifest(d.m.ctx, d.root, d.job.Key)
	if err != nil {
		return nil
	}
	for i, e := range man.Entries {
		if len(list) == max {
			break
		}
		if !e.File() {
			continue
		}
		f := File{Index: i, Path: e.Path, Size: e.Size}
		if st == nil || st.number != rowFiles {
			if d.Status().State == Done {
				f.Done = e.Size
			}
		} else if at := st.row.of(i); at >= 0 {
			st.mu.Lock()
			total := bao.Groups(st.row.files[at].size)
			f.Done = int64(float64(e.Size) * float64(total-int64(st.left[at])) / float64(total))
			st.mu.Unlock()
		}
		list = append(list, f)
	}
	return list
}

// Pieces divides the content into n equal stretches (fewer if it is small) and returns how much of each is here (0 none, 255 all) and
// how many sources have each.
func (d *Download) Pieces(n int) (have, rarity []byte) {
	d.mu.Lock()
	st, state := d.stage, d.state
	d.mu.Unlock()
	if st == nil {
		have, rarity = make([]byte, n), make([]byte, n)
		for i := range have {
			if state == Done {
				have[i] = 255
			}
		}
		return have, rarity
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.engine.Map(n)
}
