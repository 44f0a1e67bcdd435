package bittorrent

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/anacrolix/dht/v2"
	"github.com/anacrolix/torrent"

	"kith/bridge/bittorrent/stranger"
)

// When and how the DHT is told and asked.
const (
	announceEvery = 25 * time.Minute // what is told is forgotten in half an hour or somewhat more
	lookFirst     = 2 * time.Second  // while nobody is known: who has it may be telling the DHT just now; twice as long each time, until it is lookEvery
	lookEvery     = time.Minute      // while more are looked for
	announceTime  = 90 * time.Second // for one
	announceMany  = 8                // at once
	enough        = 8                // peers, with which nobody is looked for
)

// announcer tells the DHT of all swarms in turn: the library would keep a goroutine for each of them, which it wakes all at once.
type announcer struct {
	c *client

	mu   sync.Mutex
	due  map[*swarm]time.Time
	busy int
	wake chan struct{}
}

func newAnnouncer(c *client) *announcer {
	return &announcer{c: c, due: map[*swarm]time.Time{}, wake: make(chan struct{}, 1)}
}

// add announces a swarm from now on, soon if it is new.
func (a *announcer) add(s *swarm, at time.Time) {
	a.mu.Lock()
	a.due[s] = at
	a.mu.Unlock()
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// run announces until ctx ends.
func (a *announcer) run(ctx context.Context) {
	if len(a.c.cl.DhtServers()) == 0 {
		return
	}
	for {
		for _, s := range a.take(time.Now()) {
			go func() {
				again := a.announce(ctx, s)
				a.mu.Lock()
				a.busy--
				if again > 0 {
					a.due[s] = time.Now().Add(again)
				}
				a.mu.Unlock()
			}()
		}
		select {
		case <-ctx.Done():
			return
		case <-a.c.cl.Closed():
			return
		case <-a.wake:
		case <-time.After(time.Second):
		}
	}
}

// take returns what is due, those first that wait longest.
func (a *announcer) take(now time.Time) (list []*swarm) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.busy < announceMany {
		var best *swarm
		for s, at := range a.due {
			if !at.After(now) && (best == nil || at.Before(a.due[best])) {
				best = s
			}
		}
		if best == nil {
			break
		}
		delete(a.due, best)
		a.busy++
		list = append(list, best)
	}
	return list
}

// announce tells the DHT of a swarm, and takes the peers that it names. It returns when it is to be done again; 0: never.
func (a *announcer) announce(ctx context.Context, s *swarm) time.Duration {
	s.mu.Lock()
	ended, private, fetches := s.ended, s.audience.Private, s.root.IsZero()
	s.mu.Unlock()
	if ended || private {
		return 0
	}
	ctx, cancel := context.WithTimeout(ctx, announceTime)
	defer cancel()
	told := 0
	var failed string
	for _, server := range a.c.cl.DhtServers() {
		before := thanked(server)
		if err := a.ask(ctx, server, s); err != nil {
			failed = "the DHT cannot be reached: " + err.Error()
			continue
		}
		told += int(min(8, thanked(server)-before))
	}
	s.mu.Lock()
	s.told, s.toldErr = told, failed
	if told > 0 {
		s.toldAt, s.toldErr = time.Now(), ""
	}
	s.mu.Unlock()
	peers := len(s.t.PeerConns())
	switch {
	case told == 0 || fetches && peers == 0:
		return s.lookAgain()
	case fetches && peers < enough:
		return lookEvery
	}
	return announceEvery + rand.N(announceEvery/8)
}

// ask tells a server of the DHT of a swarm by all its names, and takes the peers that are named to it.
func (a *announcer) ask(ctx context.Context, server torrent.DhtServer, s *swarm) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var all sync.WaitGroup
	for _, h := range s.hashes() {
		ann, err := server.Announce(h, a.c.cl.LocalPort(), true)
		if err != nil {
			return err
		}
		defer ann.Close() // ends what follows
		all.Go(func() {
			for v := range ann.Peers() {
				if list := stranger.Named(v); len(list) > 0 {
					s.t.AddPeers(list)
				}
			}
		})
	}
	go func() {
		all.Wait()
		cancel()
	}()
	select {
	case <-ctx.Done():
	case <-s.t.Closed():
	}
	return nil
}

// lookAgain returns how long it is until the DHT is asked once more for somebody.
func (s *swarm) lookAgain() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lookAfter = min(max(2*s.lookAfter, lookFirst), lookEvery)
	return s.lookAfter
}

// thanked returns how many announcements were taken by nodes of the DHT.
func thanked(s torrent.DhtServer) int64 {
	st, _ := s.Stats().(dht.ServerStats)
	return st.SuccessfulOutboundAnnouncePeerQueries
}
