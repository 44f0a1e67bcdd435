package transfer

import (
	"context"
	"time"

	"kith"
	"kith/blob/bao"
	"kith/transfer/proto"
)

// tellHaves sends the have-map of a row, and what comes to it, until ctx ends.
func (x *session) tellHaves(ctx context.Context, row int) {
	var told bao.Bits
	for {
		all, here, news := x.m.haves(ctx, x.root, row)
		if all {
			x.tell(ctx, &proto.Tell{Have: &proto.HaveMap{Row: row, All: true}})
			return
		}
		if here.Len() > 0 {
			list := proto.Less(here, told)
			told = here
			for _, h := range proto.HaveMaps(row, list) {
				x.tell(ctx, &proto.Tell{Have: h})
			}
		}
		select {
		case <-news:
		case <-ctx.Done():
			return
		}
		select {
		case <-time.After(proto.HavePause(x.m.askers(x.root))):
		case <-ctx.Done():
			return
		}
	}
}

// comes notes that somebody else has begun to fetch the root.
func (x *session) comes(o proto.Other) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.others && len(x.came) < proto.MaxTold {
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
	if row == proto.RowFiles {
		return false, bao.Bits{}, nil
	}
	return b.Complete(), b.Have(), nil
}

func (d *Download) haves(row int) (all bool, here bao.Bits, news <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch st := d.stage; {
	case d.state == Done && !d.part:
		return true, bao.Bits{}, nil
	case st == nil || st.Draft != nil: // nobody has proven anything of a draft
		return false, bao.Bits{}, d.changed
	case st.Number > row:
		return true, bao.Bits{}, nil
	case st.Number < row:
		return false, bao.Bits{}, d.changed
	default:
		st.Mu.Lock()
		defer st.Mu.Unlock()
		if st.Here.All() {
			return true, bao.Bits{}, nil
		}
		return false, st.Here.Clone(), st.News
	}
}
