package record

import (
	"context"
	"math/rand/v2"
	"time"
)

// When a record is published again.
const (
	Every  = 6 * time.Hour    // well within Life, so that one who is asleep for a night or a day is still found
	jitter = time.Hour        // more or less, so that not all who started together come together
	settle = 2 * time.Second  // after a change, since changes come in bursts
	apart  = 20 * time.Second // least time between two, however often something changes
	retry  = time.Minute      // after one that failed
)

// Keep publishes k's record now, each time that something comes from changed, and every few hours, until ctx ends: as content returns it then. While that is
// empty, nothing is published, and what was is withdrawn. It returns nil.
func (s *Store) Keep(ctx context.Context, k Key, content func() []byte, changed <-chan struct{}) error {
	due := time.NewTimer(0)
	defer due.Stop()
	last, soon := time.Now().Add(-apart), false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
			if !soon { // or changes without end would put it off without end
				due.Reset(max(settle, apart-time.Since(last)))
				soon = true
			}
			continue
		case <-due.C:
		}
		told, err := s.renew(ctx, k, content())
		if soon = false; told {
			last = time.Now()
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			s.o.Log.Warn("record not published", "op", "record.keep", "err", err)
			due.Reset(retry)
		default:
			due.Reset(Every - jitter + rand.N(2*jitter))
		}
	}
}

// renew publishes content, or withdraws what is published if there is none. It reports whether it told anybody, or tried to.
func (s *Store) renew(ctx context.Context, k Key, content []byte) (told bool, err error) {
	if len(content) > 0 {
		return true, s.Publish(ctx, k, content)
	}
	t := k.Ticket()
	_, value, err := s.newest(ctx, t.Path())
	if err != nil {
		return false, nil // nothing was ever published
	}
	r, err := Open(t, value, s.o.Validator.now())
	switch {
	case err != nil:
		return false, nil // it has expired, and with it all that went before
	case len(r.Content) == 0: // others may still have what went before
		return true, s.o.Routes.PutValue(ctx, t.Path(), value)
	}
	return true, s.Withdraw(ctx, k)
}
