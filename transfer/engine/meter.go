package engine

import "time"

const (
	meterSlots = 16
	meterSlot  = 125 * time.Millisecond
)

// A Meter measures a rate over the last two seconds. It knows no clock: times are given to it, and never go back.
type Meter struct {
	first time.Duration // when the first was added
	slot  int64         // number of the newest slot
	n     [meterSlots]int64
	begun bool
}

// Add counts n at the time now.
func (m *Meter) Add(now time.Duration, n int64) {
	if !m.begun {
		m.begun, m.first, m.slot = true, now, int64(now/meterSlot)
	}
	m.advance(now)
	m.n[m.slot%meterSlots] += n
}

func (m *Meter) advance(now time.Duration) {
	for slot := int64(now / meterSlot); m.slot < slot; {
		if m.slot++; slot-m.slot > meterSlots {
			m.slot = slot - meterSlots
		}
		m.n[m.slot%meterSlots] = 0
	}
}

// At returns the rate a second at the time now.
func (m *Meter) At(now time.Duration) float64 {
	if !m.begun {
		return 0
	}
	m.advance(now)
	var sum int64
	for _, n := range m.n {
		sum += n
	}
	over := min(now-m.first, (meterSlots-1)*meterSlot+now%meterSlot)
	return float64(sum) / max(over, meterSlot).Seconds()
}
