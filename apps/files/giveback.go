package files

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"kith"
	"kith/internal/human"
)

const (
	defaultRatio = 2.0              // how much of what came by a torrent is given back, as parts of its size, unless somebody says otherwise
	seedEvery    = 15 * time.Second // it is looked whether enough was given back
)

// giveBack begins to serve what came by a torrent under the same torrent, until the ratio is reached or the time is over.
func (f *Files) giveBack(it item) {
	none := it.Names.V1 == (kith.InfoHash{}) && it.Names.V2 == [32]byte{}
	if most, _ := f.backNow(); none || it.Part || most == 0 || f.bridge(netTorrent) == nil || slices.Contains(it.Networks, netTorrent) {
		return
	}
	f.env.Go("files.giveback "+it.Ref.Short(), func(ctx context.Context) error {
		_, err := f.publishTo(ctx, it, []string{netTorrent}, func(it *item) {
			if !slices.Contains(it.Networks, netTorrent) { // else it was published meanwhile
				it.Seeds, it.Since = append(slices.Clone(it.Seeds), netTorrent), time.Now()
			}
		})
		return err
	})
}

// seeding ends the giving back of what was given back for long enough, or often enough.
func (f *Files) seeding(ctx context.Context) error {
	for sleep(ctx, f.backed, seedEvery) {
		for _, it := range f.all() {
			if err := f.gaveBack(ctx, it); err != nil && ctx.Err() == nil {
				f.env.Log.Warn("not withdrawn", "ref", it.Ref, "err", err)
			}
		}
	}
	return nil
}

// gaveBack withdraws an item from the networks that it was given back to enough, and notes why.
func (f *Files) gaveBack(ctx context.Context, it item) error {
	most, long := f.backNow()
	for _, name := range it.Seeds {
		b := f.bridge(name)
		if b == nil {
			continue
		}
		st, err := b.Status(it.Ref)
		if err != nil {
			continue
		}
		why, now := "", ratio(st.Up, it.Size)
		switch {
		case now >= most:
			why = fmt.Sprintf("finished with %s: ratio %.1f reached", name, now)
		case long > 0 && time.Since(it.Since) >= long:
			why = fmt.Sprintf("finished with %s: given back for %s, ratio %.1f", name, human.Duration(long), now)
		default:
			continue
		}
		if _, err := f.withdraw(ctx, it, []string{name}, why); err != nil {
			return err
		}
	}
	return nil
}

// backNow returns how much of what came by a torrent is given back, as parts of its size, and how long; 0: as long as it takes.
func (f *Files) backNow() (most float64, long time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ratio, f.seedTime
}

// terms returns the ratio and the time at which the giving back of an item ends; zero: it does not end by that.
func (f *Files) terms(it item) (most float64, at time.Time) {
	most, long := f.backNow()
	if math.IsInf(most, 1) {
		most = 0
	}
	if long > 0 {
		at = it.Since.Add(long)
	}
	return most, at
}

// ratio returns up as parts of size.
func ratio(up, size int64) float64 {
	if size <= 0 {
		return 0
	}
	return float64(up) / float64(size)
}

// seedTime reads how long what came by a torrent is given back; 0: as long as it takes.
func seedTime(text string) (time.Duration, error) {
	if text == "" || text == "none" {
		return 0, nil
	}
	d, err := human.ParseDuration(text)
	if err == nil && d <= 0 {
		err = fmt.Errorf("%q is no time: %w", text, kith.Invalid)
	}
	if err != nil {
		return 0, kith.Hint(fmt.Errorf("seed time %.20q: %w", text, err), "want a time such as 7d or 12h, or none")
	}
	return d, nil
}
