package transfer

import (
	"cmp"
	"slices"
	"time"

	"kith"
	"kith/transfer/engine"
	"kith/transfer/proto"
)

// Status returns how it stands.
func (d *Download) Status() Status {
	now := d.m.now()
	peers := d.met()
	d.mu.Lock()
	defer d.mu.Unlock()
	s := Status{
		Root: d.root, State: d.state, Reason: d.reason, Hint: kith.HintOf(d.err), Name: d.name, Path: d.path, Size: d.size,
		Done: d.bytes, Rate: d.meter.At(now), ETA: -1, Files: d.files, Folder: d.folder, Err: d.err,
	}
	if d.stage != nil {
		d.stage.Mu.Lock()
		s.Done = d.stage.Bytes
		d.stage.Mu.Unlock()
	}
	switch {
	case d.isTree() && d.stage != nil && d.stage.Number == proto.RowRoot:
		s.Done = 0 // the manifest does not count
	case s.Size >= 0:
		s.Done = min(s.Done, s.Size) // of a private share, ciphertext came
	}
	if d.isPending() || !d.real.IsZero() {
		s.Was = d.root
	}
	if !d.real.IsZero() && d.state == Done {
		s.Root = d.real
	}
	s.Part = d.part && d.state == Done
	s.Reason = cmp.Or(s.Reason, d.verdict)
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
	for i, o := range d.outsides {
		s.Networks = append(s.Networks, d.networkStatus(o, peers[i], now))
		s.Sources = append(s.Sources, peers[i].sources(o, o.meter.At(now))...)
	}
	slices.SortFunc(s.Sources, func(a, b Source) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Peer, b.Peer), cmp.Compare(a.Seen.Name, b.Seen.Name))
	})
	return s
}

// met returns whom the other networks are talking to.
func (d *Download) met() []met {
	list := make([]met, len(d.outsides))
	for i, o := range d.outsides {
		d.mu.Lock()
		origin := o.origin
		d.mu.Unlock()
		if origin != nil {
			list[i] = origin.Peers(maxOrigPeers)
		}
	}
	return list
}

// met are peers of another network.
type met []OriginPeer

// sources returns them as sources of a download. rate is what comes from all of them: some networks tell how fast a peer answers, and that is more where a limit holds back what is asked.
func (m met) sources(o *outside, rate float64) (list []Source) {
	sum := 0.0
	for _, p := range m {
		sum += p.Down
	}
	for _, p := range m {
		p.Down *= min(1, rate/max(sum, 1))
		state := Idle
		if p.Down > 0 {
			state = Active
		}
		list = append(list, Source{Network: o.network, Seen: p, State: state, Have: p.Have, Bytes: p.Bytes, Rate: p.Down, Via: p.Via})
	}
	return list
}

// networkStatus says how it stands in another network. d.mu is held.
func (d *Download) networkStatus(o *outside, peers met, now time.Duration) NetworkStatus {
	s := NetworkStatus{
		Network: o.network, State: o.state, Why: o.why, Bytes: o.bytes, Rate: o.meter.At(now), Peers: len(peers), Have: o.have, Verified: o.verified,
	}
	for _, p := range peers {
		s.Up += p.Up
	}
	if o.state == Active {
		if s.State = d.doing(o.id); s.State == Idle && o.held.Load() {
			s.State = Active
		}
	}
	if d.state == Done {
		s.Rate = 0
	}
	return s
}

// sourceState returns what a source is doing. d.mu is held.
func (d *Download) sourceState(src *source) SourceState {
	if src.conn == nil || src.state != Active || d.stage == nil {
		return src.state
	}
	return d.doing(src.conn.id)
}

// doing returns what an active source is doing. d.mu is held.
func (d *Download) doing(id engine.SourceID) SourceState {
	if d.stage == nil {
		return Idle
	}
	d.stage.Mu.Lock()
	defer d.stage.Mu.Unlock()
	switch owes, slow := d.stage.Engine.Doing(id); {
	case !owes:
		return Idle
	case slow:
		return Slow
	}
	return Active
}

// Drafted returns how many files a draft has, wanted or not; 0 while that is not known, and of what is none.
func (d *Download) Drafted() (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range d.drafted {
		if f.Link == "" && !f.Dir {
			n++
		}
	}
	return n
}

// Files returns the files of a folder, at most max of them; index 0 is a single file itself.
func (d *Download) Files(max int) (list []File) {
	d.mu.Lock()
	st, path, size, done, drafted, state := d.stage, d.name, d.size, d.bytes, d.drafted, d.state
	d.mu.Unlock()
	want := d.selection()
	for i, f := range drafted {
		if len(list) == max {
			break
		}
		if f.Link == "" && !f.Dir {
			file := File{Index: i, Path: cmp.Or(f.Path, path), Size: f.Size, Skip: !want.Has(i, f.Path)}
			file.Done = st.DoneOf(i, f.Size, state == Done && !file.Skip)
			list = append(list, file)
		}
	}
	if drafted != nil {
		return list
	}
	if !d.isTree() {
		if st != nil {
			st.Mu.Lock()
			done = st.Bytes
			st.Mu.Unlock()
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
		f := File{Index: i, Path: e.Path, Size: e.Size, Skip: !want.Has(-1, e.Path)}
		files := st
		if st != nil && st.Number != proto.RowFiles {
			files = nil
		}
		f.Done = files.DoneOf(i, e.Size, state == Done && !f.Skip)
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
	st.Mu.Lock()
	defer st.Mu.Unlock()
	return st.Engine.Map(n)
}
