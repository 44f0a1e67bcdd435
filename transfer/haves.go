package transfer

import (
	"context"
	"time"

	"kith"
	"kith/blob/bao"
)

// haveTime is how often have-maps are sent at most to each of few; with more than fewAskers it is longer, so that all together do not get more.
const (
	haveTime  = 50 * time.Millisecond
	fewAskers = 8
)

// havePause returns how long to wait until so many askers are told again of what has come.
func havePause(askers int) time.Duration {
	return haveTime * time.Duration(max(askers, fewAskers)) / fewAskers
}

// tellHaves sends the have-map of a row, and what comes to it, until ctx ends.
func (x *session) tellHaves(ctx context.Context, row int) {
	var told bao.Bits
	for {
		all, here, news := x.m.haves(ctx, x.root, row)
		if all {
			x.tell(ctx, &tell{Have: &haveMap{Row: row, All: true}})
			return
		}
		if here.Len() > 0 {
			list := lessOf(here, told)
			told = here
			for _, h := range haveMaps(row, list) {
				x.tell(ctx, &tell{Have: h})
			}
		}
		select {
		case <-news:
		case <-ctx.Done():
			return
		}
		select {
		case <-time.After(havePause(x.m.askers(x.root))):
		case <-ctx.Done():
			return
		}
	}
}

// lessOf returns the ranges of b that are not in told.
func lessOf(b, told bao.Bits) (list []bao.Range) {
	left := b
	if told.Len() == b.Len() {
		left = b.Clone()
		for r := range told.Ranges() {
			left.Clear(r)
		}
	}
	for r := range left.Ranges() {
		list = append(list, r)
	}
	return list
}

// comes notes that somebody else has begun to fetch the root.
func (x *session) comes(o other) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.others && len(x.came) < MaxTold {
		x.came = append(x.came, o)
		x.hasNews()
	}
}

func (x *session) hasNews() {
	select {
	case x.news <- struct{}{}:
	default:
	}
}

// haves returns what is here of a row of root: all of it, or the groups in here, of which there will be more when news is closed.
func (m *Manager) haves(ctx context.Context, root kith.Ref, row int) (all bool, here bao.Bits, news <-chan struct{}) {
	if d := m.Download(root); d != nil && !d.over() {
		return d.haves(row)
	}
	if t, err := m.o.Blobs.State(ctx, root); err == nil && t.Complete {
		return true, bao.Bits{}, nil
	}
	b, err := m.o.Blobs.Blob(ctx, root)
	if err != nil {
		return false, bao.Bits{}, nil
	}
	defer b.Close()
	if row == rowFiles {
		return false, bao.Bits{}, nil
	}
	return b.Complete(), b.Have(), nil
}

func (d *Download) haves(row int) (all bool, here bao.Bits, news <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch st := d.stage; {
	case d.state == Done:
		return true, bao.Bits{}, nil
	case st == nil:
		return false, bao.Bits{}, d.changed
	case st.number > row:
		return true, bao.Bits{}, nil
	case st.number < row:
		return false, bao.Bits{}, d.changed
	default:
		st.mu.Lock()
		defer st.mu.Unlock()
		if st.here.All() {
			return true, bao.Bits{}, nil
		}
		return false, st.here.Clone(), st.news
	}
}
