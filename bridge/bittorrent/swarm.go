package bittorrent

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	g "github.com/anacrolix/torrent/metainfo"

	"github.com/anacrolix/torrent"
	"github.com/anacrolix/torrent/storage"

	"kith"
	"kith/bridge"
	"kith/bridge/bittorrent/books"
	"kith/bridge/bittorrent/census"
	"kith/bridge/bittorrent/metainfo"
	"kith/bridge/bittorrent/redial"
	"kith/internal/bell"
	"kith/internal/human"
	"kith/transfer"
)

// A swarm is one torrent while it is served or fetched.
type swarm struct {
	b    *Bridge
	c    *client
	key  kith.InfoHash // by which the library knows it
	root kith.Ref      // published as; zero: it is fetched

	t       *torrent.Torrent // set by join
	joining sync.WaitGroup   // over when the library knows it: peers come, and are heard of, before t is set
	changed bell.Bell
	loading sync.Mutex // one at a time reads what is published
	setting sync.Mutex // one at a time gives the library the metadata

	mu       sync.Mutex
	names    kith.Names
	audience audience // as far as is known
	id       int64    // in the store; 0: not there yet
	info     *metainfo.Info
	layers   map[[sha256.Size]byte][]byte
	trees    map[[sha256.Size]byte]*metainfo.Tree // of layers, of which peers have asked for some
	pieces   *pieces
	set      bool // the library has the metadata
	src      source
	err      error // for which nothing will come of it
	ended    bool
	tooLong  int // bytes of metadata that a peer said there are, which is more than is taken

	up, down         int64 // bytes, since it is known
	saved            [2]int64
	was              [2]int64
	sampled, flushed time.Time
	looked           time.Time // see lookAnew
	upRate, downRate float64
	lookAfter        time.Duration // until the DHT is asked again
	told             int           // nodes of the DHT or trackers that were told
	toldAt           time.Time
	toldErr          string
	tracked          string   // what the tracker that was asked last said that a person should know
	seeds            []string // web seeds that the library does not have yet
	own              []*ownSeed
	redials          redial.List
	rates            census.Rates
}

// hashes returns the names by which peers know it.
func (s *swarm) hashes() []kith.InfoHash {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := hashesOf(s.names)
	if len(list) == 0 {
		list = []kith.InfoHash{s.key}
	}
	return list
}

// keyOf returns the infohash that the library is given: that of version 1, unless there is none.
func keyOf(n kith.Names) kith.InfoHash { return hashesOf(n)[0] }

// join has the library know the torrent, by all its names that are known. It is called once, after it was entered.
func (s *swarm) join() {
	opts := torrent.AddTorrentOpts{InfoHash: g.Hash(s.names.V1), Storage: stored{s}, DisableInitialPieceCheck: true}
	if s.names.V2 != [sha256.Size]byte{} {
		opts.InfoHashV2.Set(s.names.V2)
	}
	t, _ := s.c.cl.AddTorrentOpt(opts)
	s.mu.Lock()
	s.t = t
	s.mu.Unlock()
	s.joining.Done()
}

// stored gives the library storage once there are pieces. It is a storage.ClientImpl of one torrent.
type stored struct{ s *swarm }

// OpenTorrent implements storage.ClientImpl.
func (o stored) OpenTorrent(ctx context.Context, in *g.Info, h g.Hash) (storage.TorrentImpl, error) {
	o.s.mu.Lock()
	p := o.s.pieces
	o.s.mu.Unlock()
	if p == nil {
		return storage.TorrentImpl{}, fmt.Errorf("bittorrent: nothing is known of it: %w", kith.NotFound)
	}
	return storing{p}.OpenTorrent(ctx, in, h)
}

// metadata returns what the torrent consists of; nil if that is not known yet.
func (s *swarm) metadata() *metainfo.Info {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.info
}

func (s *swarm) private() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.audience.Private
}

// tree returns the digests of the pieces of a file of version 2, nil if they are not known.
func (s *swarm) tree(root [sha256.Size]byte) *metainfo.Tree {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.trees[root]
	if layer := s.layers[root]; t == nil && layer != nil {
		t = metainfo.NewTree(layer, s.info.PieceLength)
		if s.trees == nil {
			s.trees = map[[sha256.Size]byte]*metainfo.Tree{}
		}
		s.trees[root] = t
	}
	return t
}

// claimed notes that a peer says the metadata is longer than what is taken.
func (s *swarm) claimed(n int) {
	s.mu.Lock()
	s.tooLong = n
	s.mu.Unlock()
	s.changed.Ring()
}

// wake loads what is published, when the first peer comes.
func (s *swarm) wake() {
	if s.root.IsZero() {
		return
	}
	s.loading.Lock()
	defer s.loading.Unlock()
	if s.metadata() != nil {
		return
	}
	if err := s.load(); err != nil {
		s.b.log.Warn("what is published cannot be served", "op", "bittorrent", "ref", s.root, "err", err)
		s.fail(err)
	}
}

func (s *swarm) load() error {
	share, t, err := s.b.store.share(context.Background(), s.root)
	if err != nil {
		return fmt.Errorf("bittorrent: load %s: %w", s.root.Short(), err)
	}
	src, err := s.b.sourceOf(share, t.Info)
	if err != nil {
		return err
	}
	return s.got(t.Info, t.Layers, src, true)
}

// got takes the metadata, which was checked, and where the bytes are.
func (s *swarm) got(in *metainfo.Info, layers map[[sha256.Size]byte][]byte, src source, all bool) error {
	s.joining.Wait()
	s.setting.Lock()
	defer s.setting.Unlock()
	s.mu.Lock()
	if s.info != nil || s.ended {
		s.mu.Unlock()
		return nil
	}
	s.pieces = newPieces(in, src, all, s.changed.Ring)
	s.layers = layers
	if s.layers == nil {
		s.layers = map[[sha256.Size]byte][]byte{}
	}
	s.info, s.audience.Private = in, in.Private
	s.names.V1, s.names.V2 = in.V1, in.V2
	s.mu.Unlock()
	if !s.b.know(s) {
		return fmt.Errorf("bittorrent: it is being served or fetched already, by its other infohash: %w", kith.Exists)
	}
	if err := s.tell(in); err != nil {
		return fmt.Errorf("bittorrent: the library refuses the metadata: %w: %w", err, kith.Invalid)
	}
	s.t.AddTrackers(nil) // those that it has are told of what has become its other name
	if shown2(in) {
		s.t.AddPieceLayers(text(layers))
		for root := range layers {
			s.settleOrder(in, root)
		}
	}
	s.mu.Lock()
	s.set = true
	s.mu.Unlock()
	s.addSeeds()
	s.announceHere()
	s.changed.Ring()
	return nil
}

// tell has the library know what the torrent consists of.
func (s *swarm) tell(in *metainfo.Info) error {
	if v := view(in); v != nil {
		return books.SetInfo(s.c.cl, s.t, v, in.Raw, in.HasV1, in.HasV2)
	}
	return s.t.SetInfoBytes(in.Raw)
}

// know makes a swarm known by all its names; false: another one has one of them.
func (b *Bridge) know(s *swarm) bool {
	hashes := s.hashes()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, h := range hashes {
		if o := b.swarms[h]; o != nil && o != s {
			return false
		}
	}
	for _, h := range hashes {
		b.swarms[h] = s
	}
	return true
}

// text has the types that the library wants.
func text(layers map[[sha256.Size]byte][]byte) map[string]string {
	m := map[string]string{}
	for root, l := range layers {
		m[string(root[:])] = string(l)
	}
	return m
}

// offered takes metadata that a peer gave, and reports whether it is that of the torrent.
func (s *swarm) offered(raw []byte) bool {
	s.mu.Lock()
	names, known, src := s.names, s.info != nil, s.src
	s.mu.Unlock()
	if known {
		return true
	}
	if !isNamed(raw, names, s.key) {
		return false
	}
	in, err := metainfo.Parse(raw)
	if err == nil {
		err = s.got(in, nil, src, false)
	}
	if err != nil {
		s.fail(err)
	}
	return true
}

// isNamed reports whether raw has the infohashes; one alone may be that of either version.
func isNamed(raw []byte, names kith.Names, key kith.InfoHash) bool {
	v1, v2 := kith.InfoHash(sha1.Sum(raw)), sha256.Sum256(raw)
	if names.V2 != [32]byte{} && names.V2 != v2 {
		return false
	}
	if names.V1 == (kith.InfoHash{}) {
		return names.V2 == v2
	}
	return names.V1 == v1 || names.V2 == [32]byte{} && key == kith.InfoHash(v2[:20])
}

// layered takes digests of the pieces of a file, which were checked.
func (s *swarm) layered(root [sha256.Size]byte, layer []byte) {
	s.setting.Lock() // the library takes them once it has the metadata
	defer s.setting.Unlock()
	s.mu.Lock()
	in := s.info
	if s.ended || !s.set || s.layers[root] != nil {
		s.mu.Unlock()
		return
	}
	s.layers[root] = layer
	s.mu.Unlock()
	if shown2(in) {
		s.t.AddPieceLayers(map[string]string{string(root[:]): string(layer)})
		s.settleOrder(in, root)
	}
	s.changed.Ring()
}

// settleOrder has the library put its books of a file's pieces right: while they had no digests it took them for wanted, and would not notice when they are. Those of a hybrid always have
// one, and are perhaps wanted by now.
func (s *swarm) settleOrder(in *metainfo.Info, root [sha256.Size]byte) {
	if in.HasV1 {
		return
	}
	for _, f := range in.Files {
		if f.Size > in.PieceLength && f.Root == root {
			for i := f.Off / in.PieceLength; i*in.PieceLength < f.Off+f.Size; i++ {
				s.t.Piece(int(i)).SetPriority(torrent.PiecePriorityNone)
			}
		}
	}
}

// lacks returns a file of version 2 whose pieces have no digests yet.
func (s *swarm) lacks() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.info == nil || s.info.HasV1 {
		return ""
	}
	for _, f := range s.info.Files {
		if f.Size > s.info.PieceLength && s.layers[f.Root] == nil {
			return f.Path
		}
	}
	return ""
}

// fail ends hope.
func (s *swarm) fail(err error) {
	s.mu.Lock()
	if s.err == nil {
		s.err = err
	}
	s.mu.Unlock()
	s.changed.Ring()
}

// hints adds where peers may be found.
func (s *swarm) hints(trackers, seeds, peers []string) {
	s.joining.Wait()
	s.ask(trackers)
	s.mu.Lock()
	s.seeds = append(s.seeds, seeds[:min(len(seeds), maxSeeds)]...)
	s.mu.Unlock()
	s.addSeeds()
	var list []netip.AddrPort
	for _, p := range peers {
		if at, err := netip.ParseAddrPort(p); err == nil && at.Port() != 0 {
			list = append(list, at)
		}
	}
	s.remember(list)
	s.dial(list)
}

// ask has trackers asked, from now on.
func (s *swarm) ask(trackers []string) {
	var list []string
	for _, u := range trackers {
		if u = s.c.track.urlFor(u); u != "" {
			list = append(list, u)
		}
	}
	if len(list) > 0 {
		s.t.AddTrackers(tiers(list))
		s.c.remind.Store(remindNew)
	}
}

// tiers makes of each tracker a tier, so that all are told.
func tiers(trackers []string) (list [][]string) {
	for _, u := range trackers {
		list = append(list, []string{u})
	}
	return list
}

// stillTime is how long nothing of a piece has come before the library is made to ask for it once more.
const stillTime = 2 * time.Second

// lookAnew has the library think about what to ask of whom, if it was not made to for so long. A peer that rejects the last thing it was asked for is asked for nothing more
// until it says again that it may be, which Transmission 3 does not.
func (s *swarm) lookAnew(after time.Duration) {
	s.mu.Lock()
	soon := time.Since(s.looked) < after || s.ended
	if !soon {
		s.looked = time.Now()
	}
	s.mu.Unlock()
	if !soon {
		s.t.DisallowDataUpload() // that it thinks is all that comes of it: it is allowed again before the library looks
		s.t.AllowDataUpload()
	}
}

// end leaves the swarm.
func (s *swarm) end() {
	s.mu.Lock()
	done := s.ended
	s.ended = true
	if s.err == nil {
		s.err = errEnded
	}
	s.mu.Unlock()
	if done {
		return
	}
	s.changed.Ring()
	s.joining.Wait()
	s.t.Drop()
	s.save(context.Background())
}

// sample measures rates, and adds up what moved.
func (s *swarm) sample(ctx context.Context) {
	s.mu.Lock()
	known := s.info != nil
	skip := s.t == nil || !known && !s.root.IsZero() || s.ended || time.Since(s.sampled) < sampleEvery/2
	s.mu.Unlock()
	if skip {
		return
	}
	s.redial(time.Now())
	if !known {
		s.c.meta.more(s)
		return
	}
	st := s.t.Stats()
	up, down := st.BytesWrittenData.Int64(), st.BytesReadUsefulData.Int64()
	now := time.Now()
	s.rates.Sample(now, census.Sent(s.t))
	s.mu.Lock()
	if d := now.Sub(s.sampled).Seconds(); !s.sampled.IsZero() && d > 0 {
		s.upRate, s.downRate = smooth(s.upRate, float64(up-s.was[0])/d), smooth(s.downRate, float64(down-s.was[1])/d)
	}
	s.was, s.sampled = [2]int64{up, down}, now
	flush := now.Sub(s.flushed) > saveEvery
	s.mu.Unlock()
	if flush {
		s.save(ctx)
	}
}

const saveEvery = 10 * time.Second

// smooth follows a rate, and forgets it in a few seconds.
func smooth(old, now float64) float64 {
	if r := old*0.6 + now*0.4; r >= 1 {
		return r
	}
	return 0
}

// save writes down what moved since it was last.
func (s *swarm) save(ctx context.Context) {
	s.mu.Lock()
	up, down, id := s.was[0]-s.saved[0], s.was[1]-s.saved[1], s.id
	s.flushed = time.Now()
	if id != 0 {
		s.saved = s.was
	}
	s.mu.Unlock()
	if id == 0 || up == 0 && down == 0 {
		return
	}
	if err := s.b.store.count(ctx, id, up, down); err != nil && ctx.Err() == nil {
		s.b.log.Warn("what moved is not written down", "op", "bittorrent", "err", err)
	}
}

// status says how it stands.
func (s *swarm) status() bridge.Status {
	peers := s.peers(peersKept)
	s.mu.Lock()
	defer s.mu.Unlock()
	st := bridge.Status{
		Names: kith.Names{V1: s.names.V1, V2: s.names.V2, Trackers: s.b.trackers(s.audience)}, Peers: peers, Up: s.up + s.was[0], Down: s.down + s.was[1],
		UpRate: s.upRate, DownRate: s.downRate,
	}
	st.Said = s.said()
	return st
}

// said returns what a person should know. It needs the lock.
func (s *swarm) said() string {
	var said []string
	switch {
	case s.err != nil:
		said = append(said, s.err.Error())
	case s.info == nil && s.root.IsZero():
		said = append(said, "looking for somebody who has the metadata")
	}
	if !s.toldAt.IsZero() {
		said = append(said, "announced to "+human.Count(s.told, "node")+" of the DHT")
	}
	if s.toldErr != "" {
		said = append(said, s.toldErr)
	}
	if s.tracked != "" {
		said = append(said, s.tracked)
	}
	if lonely := s.c.lonely(); lonely != "" && (s.info == nil || !s.info.Private) {
		said = append(said, lonely)
	}
	return strings.Join(said, "; ")
}

// peers returns whom it is talking to.
func (s *swarm) peers(max int) (list []transfer.OriginPeer) {
	s.mu.Lock()
	t := s.t
	s.mu.Unlock()
	if t == nil { // it has not joined yet
		return nil
	}
	n := 0
	if in := s.metadata(); in != nil {
		n = in.NumPieces()
	}
	list = census.Peers(s.c.cl, t, &s.rates, n, max)
	own := s.ownPeers()
	return append(list, own[:min(len(own), max-len(list))]...)
}

// seen is status, and what is known of the swarm besides.
func (s *swarm) seen() bridge.Status {
	st := s.status()
	s.mu.Lock()
	t, in := s.t, s.info
	s.mu.Unlock()
	if t == nil {
		return st
	}
	if in != nil {
		st.Copies = census.Copies(t, in.NumPieces())
	}
	st.Trackers = census.Trackers(s.c.cl, t, s.c.track.nameOf)
	return st
}
