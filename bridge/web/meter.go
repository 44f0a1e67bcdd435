package web

import (
	"math"
	"time"
)

// A meter measures a rate, of which what was long ago counts less: half after halfLife.
type meter struct {
	at   time.Time
	last float64
}

const halfLife = 3 * time.Second

// decay is ln 2 over the half life, a second.
var decay = math.Ln2 / halfLife.Seconds()

func (m *meter) add(now time.Time, n int) {
	m.last, m.at = m.rate(now)+float64(n)*decay, now
}

// rate returns bytes a second.
func (m *meter) rate(now time.Time) float64 {
	if m.at.IsZero() {
		return 0
	}
	return m.last * math.Exp(-decay*now.Sub(m.at).Seconds())
}
