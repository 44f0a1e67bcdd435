package transfer

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/blob/bao"
	"kith/transfer/engine"
	"kith/transfer/flow"
	"kith/transfer/proto"
	"kith/transfer/stage"
)

// Manager runs all transfers of a node. Its methods may be called at once from several goroutines.
type Manager struct {
	o        Options
	base     time.Time
	up, down *flow.Flow
	slots    *flow.Slots
	ctx      context.Context
	stop     context.CancelFunc
	wg       sync.WaitGroup

	mu        sync.Mutex
	closed    bool
	downloads map[kith.Ref]*Download
	ending    map[kith.Ref]*Download // forgotten, and not at rest yet
	sessions  map[kith.Ref]map[*session]bool
	streams   map[peer.ID]int
	serving   int
	uploads   map[kith.Ref]*upload
}

type upload struct {
	bytes int64
	meter engine.Meter
}

// New returns a Manager that serves and fetches nothing yet.
func New(o Options) *Manager {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	ctx, stop := context.WithCancel(context.Background())
	return &Manager{
		o: o, base: time.Now(), up: flow.New(), down: flow.New(), slots: flow.NewSlots(), ctx: ctx, stop: stop,
		downloads: map[kith.Ref]*Download{}, ending: map[kith.Ref]*Download{}, sessions: map[kith.Ref]map[*session]bool{}, streams: map[peer.ID]int{}, uploads: map[kith.Ref]*upload{},
	}
}

// now is the time that meters are told.
func (m *Manager) now() time.Duration { return time.Since(m.base) }

func (m *Manager) seed() uint64 { return rand.Uint64() }

// Start begins to fetch what job names, or goes on where an earlier run left off. For a root that is already being fetched it
// returns that download, with the job's peers added.
func (m *Manager) Start(job Job) (*Download, error) {
	switch {
	case job.Root.IsZero():
		return nil, fmt.Errorf("transfer: start: no root: %w", kith.Invalid)
	case job.Path == "" && job.Dir == "", job.Path != "" && !filepath.IsAbs(job.Path), job.Dir != "" && !filepath.IsAbs(job.Dir):
		return nil, fmt.Errorf("transfer: start %s: no absolute path to put it at: %w", job.Root, kith.Invalid)
	}
	if err := (stage.Selection{Only: job.Only, Select: job.Select}).Check(); err != nil {
		return nil, fmt.Errorf("transfer: start %s: %w", job.Root.Short(), err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, fmt.Errorf("transfer: start %s: the node is stopping: %w", job.Root, kith.Unavailable)
	}
	d := m.downloads[job.Root]
	if d == nil || d.over() {
		d = newDownload(m, job)
		m.downloads[job.Root] = d
		m.spawn("transfer", d)
	}
	for _, p := range job.Peers {
		d.Add(p)
	}
	return d, nil
}

// spawn runs d on a goroutine that Close waits for.
func (m *Manager) spawn(name string, d *Download) {
	ctx, stop := context.WithCancelCause(m.ctx)
	d.cancel = stop
	m.wg.Add(1)
	before := m.ending[d.root]
	run := func(outer context.Context) error {
		defer m.wg.Done()
		defer stop(nil)
		defer context.AfterFunc(outer, func() { stop(outer.Err()) })()
		if before != nil { // it had the same root, and is about to end
			<-before.gone
		}
		d.run(ctx)
		m.mu.Lock()
		if m.ending[d.root] == d {
			delete(m.ending, d.root)
		}
		m.mu.Unlock()
		return nil
	}
	if m.o.Go != nil {
		m.o.Go(name, run)
	} else {
		go run(m.ctx)
	}
}

// forget forgets d, of which nothing more is to come.
func (m *Manager) forget(d *Download) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.downloads[d.root] == d {
		delete(m.downloads, d.root)
		m.ending[d.root] = d
	}
}

// Download returns the download of root, or nil if there is none, or it is done.
func (m *Manager) Download(root kith.Ref) *Download {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.downloads[root]
}

// Close ends all transfers, after a last checkpoint of each.
func (m *Manager) Close() error {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	m.stop()
	m.wg.Wait()
	return nil
}

// SetLimits sets how many bytes a second are sent and received at most, all transfers together; 0 is no limit.
func (m *Manager) SetLimits(up, down int64) {
	m.up.Set(up)
	m.down.Set(down)
}

// Limits returns what SetLimits set.
func (m *Manager) Limits() (up, down int64) { return m.up.Limit(), m.down.Limit() }

// Rates returns the bytes a second that come in and go out, lately.
func (m *Manager) Rates() (down, up float64) { return m.down.Rate(), m.up.Rate() }

// Uploads returns what was sent since the Manager was made, for each root.
func (m *Manager) Uploads() map[kith.Ref]Upload {
	now := m.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	list := make(map[kith.Ref]Upload, len(m.uploads))
	for root, u := range m.uploads {
		list[root] = Upload{Bytes: u.bytes, Rate: u.meter.At(now), Peers: len(m.sessions[root])}
	}
	return list
}

// sent counts n bytes of root.
func (m *Manager) sent(root kith.Ref, n int64) {
	now := m.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	u := m.uploads[root]
	if u == nil {
		u = &upload{}
		m.uploads[root] = u
	}
	u.bytes += n
	u.meter.Add(now, n)
}

// maxPromised is how many requests of one session are remembered, so that others' are declined: those that wait, and as many that were answered,
// which others do not know yet.
const maxPromised = 2 * proto.MaxOutstanding

// declines reports whether a fresh request shall be declined, since somebody else who fetches the same has been promised a part of it. If not, it is promised
// to x. Without this a part of what a seed sends it sends twice: an asker knows what the others have, but not what waits for them in the seed's queues.
// Who has not everything need not decline: his have-map names what he sends.
func (m *Manager) declines(x *session, w *proto.Wanted) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if d := m.downloads[x.root]; d != nil && !d.over() {
		return false
	}
	var asked []bao.Range
	for _, it := range w.Items {
		if len(it.Sum) > 0 || it.Proof || it.First >= x.groups || it.N > x.groups-it.First {
			continue
		}
		r := bao.Range{First: it.First, N: it.N}
		if w.Fresh && m.isPromised(x, r) {
			return true
		}
		asked = append(asked, r)
	}
	x.promised = append(x.promised, asked...)
	x.promised = x.promised[max(0, len(x.promised)-maxPromised):]
	return false
}

// isPromised reports whether a peer other than x's was promised a part of r. m.mu is held.
func (m *Manager) isPromised(x *session, r bao.Range) bool {
	for other := range m.sessions[x.root] {
		if other.peer == x.peer {
			continue
		}
		for _, p := range other.promised {
			if p.First < r.First+r.N && r.First < p.First+p.N {
				return true
			}
		}
	}
	return false
}

// enter counts a session, within the limits.
func (m *Manager) enter(x *session) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed || m.serving >= proto.MaxSessions || m.streams[x.peer] >= proto.MaxStreams {
		return fmt.Errorf("transfer: too many streams: %w", kith.Unavailable)
	}
	m.serving++
	m.streams[x.peer]++
	if m.sessions[x.root] == nil {
		m.sessions[x.root] = map[*session]bool{}
	}
	for o := range m.sessions[x.root] {
		if o.peer != x.peer {
			o.comes(proto.Other{ID: []byte(x.peer), Addrs: x.addr})
		}
	}
	m.sessions[x.root][x] = true
	return nil
}

func (m *Manager) leave(x *session) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.serving--
	if m.streams[x.peer]--; m.streams[x.peer] == 0 {
		delete(m.streams, x.peer)
	}
	delete(m.sessions[x.root], x)
	if len(m.sessions[x.root]) == 0 {
		delete(m.sessions, x.root)
	}
}

// askers returns how many streams ask for root.
func (m *Manager) askers(root kith.Ref) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.sessions[root])
}

// others returns peers that may have what x fetches: who fetches it from here, and who it is fetched from here. All of them know
// the root already.
func (m *Manager) others(x *session) (list []proto.Other) {
	m.mu.Lock()
	seen := map[peer.ID]bool{x.peer: true}
	for o := range m.sessions[x.root] {
		if !seen[o.peer] && len(list) < proto.MaxTold && m.o.Guard.Allow(o.peer, x.root) == nil {
			seen[o.peer] = true
			list = append(list, proto.Other{ID: []byte(o.peer), Addrs: o.addr})
		}
	}
	d := m.downloads[x.root]
	m.mu.Unlock()
	if d == nil {
		return list
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, src := range d.sources {
		if src.conn != nil && !seen[id] && len(list) < proto.MaxTold {
			list = append(list, proto.Other{ID: []byte(id), Addrs: proto.EncodeAddrs(src.info.Addrs)})
		}
	}
	return list
}

// nameOf returns what root is called here.
func (m *Manager) nameOf(ctx context.Context, root kith.Ref) string {
	if t, err := m.o.Blobs.State(ctx, root); err == nil && !t.Private {
		return proto.PlainName(t.Name)
	}
	return ""
}
