package spread

import (
	"context"
	"errors"
	"time"

	"kith/search/publication"
)

const (
	tellEvery = 500 * time.Millisecond // how long work goes on before what it was done for is kept and told
	muchWork  = 400                    // publications, ten seconds of work
)

// Publish says to everybody what this device shares, or that it no longer does. Issued and Expires are set, and work is done, which takes 25 ms or more of one core for each: what is done when ctx ends
// is published, and the rest is not. Of what makes no sense the error is Invalid; all else is published.
func (s *Spread) Publish(ctx context.Context, list ...publication.Publication) error {
	if len(list) >= muchWork {
		s.o.Log.Info("work is done for what is published", "n", len(list))
	}
	s.left.Add(int64(len(list)))
	left := len(list)
	defer func() { s.left.Add(-int64(left)) }()
	begun := time.Now()
	var values [][]byte
	var errs []error
	for _, p := range list {
		value, err := s.seal(ctx, p)
		if ctx.Err() != nil {
			errs = append(errs, context.Cause(ctx))
			break
		}
		if errs = append(errs, err); err == nil {
			values = append(values, value)
		}
		left--
		s.left.Add(-1)
		if time.Since(begun) > tellEvery {
			errs = append(errs, s.say(ctx, values))
			values, begun = nil, time.Now()
		}
	}
	return errors.Join(append(errs, s.say(context.WithoutCancel(ctx), values))...)
}

// say keeps publications of this device, and tells of them.
func (s *Spread) say(ctx context.Context, values [][]byte) error {
	news, _, err := s.keep(ctx, values)
	s.tell(news, s.me)
	return err
}

// seal returns a publication as it is kept and sent, with its work.
func (s *Spread) seal(ctx context.Context, p publication.Publication) ([]byte, error) {
	old, _, err := s.of(ctx, s.me, p.Root)
	if err != nil {
		return nil, err
	}
	p.Issued = s.o.Now().Truncate(time.Millisecond)
	if !p.Issued.After(old.Issued) { // the clock was set back
		p.Issued = old.Issued.Add(time.Millisecond)
	}
	p.Expires = p.Issued.Add(Life).Truncate(time.Second)
	p, err = publication.Prove(ctx, s.o.Key.GetPublic(), publication.Trim(p), s.o.Work)
	if err != nil {
		return nil, err
	}
	return publication.Seal(s.o.Key, p)
}

// Publishing returns for how many publications of this device work is still to be done.
func (s *Spread) Publishing() int { return int(s.left.Load()) }
