package books

import (
	"cmp"
	"reflect"
	"slices"
	"time"
	"unsafe"

	"github.com/anacrolix/torrent"
	"github.com/anacrolix/torrent/mse"
)

// A Stand is how a connection stands.
type Stand struct {
	Hidden, RC4    bool // the handshake is encrypted (MSE), and so is all that follows
	Interested     bool // something of what the peer has is wanted
	PeerChokes     bool // it sends nothing that it is asked for
	PeerInterested bool // it wants something of what is here
	Chokes         bool // it is sent nothing
}

// Stands returns how connections stand, each in its place.
func Stands(cl *torrent.Client, conns []*torrent.PeerConn) []Stand {
	list := make([]Stand, len(conns))
	if len(conns) == 0 {
		return list
	}
	lock(cl)
	defer unlock(cl)
	is := func(pc *torrent.PeerConn, name string) bool { b := book(pc, name); return b != nil && *b }
	for i, pc := range conns {
		s := Stand{Hidden: is(pc, "headerEncrypted"), PeerChokes: is(pc, "peerChoking"), PeerInterested: is(pc, "peerInterested"), Chokes: is(pc, "choking")}
		v := reflect.ValueOf(pc).Elem()
		if f := v.FieldByName("cryptoMethod"); f.IsValid() && f.CanUint() {
			s.RC4 = s.Hidden && mse.CryptoMethod(f.Uint()) == mse.CryptoMethodRC4
		}
		if f := v.FieldByName("requestState"); f.IsValid() && f.Kind() == reflect.Struct {
			if f = f.FieldByName("Interested"); f.IsValid() && f.Kind() == reflect.Bool {
				s.Interested = f.Bool()
			}
		}
		list[i] = s
	}
	return list
}

// A Tracker is what was heard of one that a torrent is told to, over HTTP or UDP.
type Tracker struct {
	URL   string
	Asked time.Time // when it answered last, or did not; zero: not yet
	Next  time.Time // when it is asked again; zero: as soon as may be
	Peers int       // that it named when it answered last
	Err   error     // why it did not answer
}

// Trackers returns what was heard of those of a torrent, by their addresses. Where it has two infohashes that are both told, that which was heard of last counts.
func Trackers(cl *torrent.Client, t *torrent.Torrent) (list []Tracker) {
	lock(cl)
	defer unlock(cl)
	states := reflect.ValueOf(t).Elem().FieldByName("regularTrackerAnnounceState")
	if !states.IsValid() || states.Kind() != reflect.Map {
		return nil
	}
	by := map[string]Tracker{}
	for it := states.MapRange(); it.Next(); {
		tr, ok := trackerOf(cl, it.Key(), it.Value())
		if old, is := by[tr.URL]; ok && (!is || tr.Asked.After(old.Asked)) {
			by[tr.URL] = tr
		}
	}
	for _, tr := range by {
		list = append(list, tr)
	}
	slices.SortFunc(list, func(a, b Tracker) int { return cmp.Compare(a.URL, b.URL) })
	return list
}

// trackerOf reads one entry of that map; false: it is kept otherwise.
func trackerOf(cl *torrent.Client, key, state reflect.Value) (tr Tracker, ok bool) {
	if key.Kind() != reflect.Struct || state.Kind() != reflect.Pointer || state.IsNil() {
		return tr, false
	}
	url := key.FieldByName("url")
	state = state.Elem()
	asked := at[time.Time](state, "lastAttemptCompleted")
	err := at[error](state, "Err")
	fails := at[int](state, "consecutiveFailures")
	answer := state.FieldByName("lastOk")
	if !url.IsValid() || url.Kind() != reflect.String || asked == nil || err == nil || fails == nil || !answer.IsValid() {
		return tr, false
	}
	peers := at[int](answer, "NumPeers")
	every := at[time.Duration](answer, "Interval")
	done := at[time.Time](answer, "Completed")
	if peers == nil || every == nil || done == nil {
		return tr, false
	}
	tr = Tracker{URL: url.String(), Asked: *asked, Peers: *peers, Err: *err}
	if !done.IsZero() {
		tr.Next = done.Add(*every)
	}
	if tr.Err != nil {
		tr.Next = later(tr.Next, asked.Add(failedAnnounceInterval(trackerConfig(cl), *fails)))
	}
	return tr, true
}

// at returns where a field of v is; nil: there is none of that name and type.
func at[T any](v reflect.Value, name string) *T {
	f := v.FieldByName(name)
	if !f.IsValid() || f.Type() != reflect.TypeFor[T]() {
		return nil
	}
	return (*T)(unsafe.Pointer(f.UnsafeAddr()))
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// trackerConfig returns how the library was told to ask trackers, or how it does if it was not told.
func trackerConfig(cl *torrent.Client) *torrent.ClientTrackerConfig {
	f := reflect.ValueOf(cl).Elem().FieldByName("config")
	if f.IsValid() && f.Type() == reflect.TypeFor[*torrent.ClientConfig]() && !f.IsNil() {
		return &(*torrent.ClientConfig)(f.UnsafePointer()).ClientTrackerConfig
	}
	return new(torrent.ClientTrackerConfig)
}

//go:linkname failedAnnounceInterval github.com/anacrolix/torrent.(*ClientTrackerConfig).failedAnnounceInterval
func failedAnnounceInterval(*torrent.ClientTrackerConfig, int) time.Duration
