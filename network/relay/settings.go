package relay

import (
	"fmt"
	"time"

	"kith"
	"kith/internal/human"
)

// A Mode says for whom a node relays.
type Mode string

// The modes. Whoever is relayed for, a pair of peers is a friend's if one of the two is a contact or an own device.
const (
	Off        Mode = "off"        // for nobody
	Contacts   Mode = "contacts"   // for friends
	Coordinate Mode = "coordinate" // for friends, and for strangers as long as it takes to find a direct way; the default
	Strangers  Mode = "strangers"  // for friends and strangers alike; all strangers together get the rate of one pair
)

// Modes is all of them.
var Modes = []Mode{Off, Contacts, Coordinate, Strangers}

// Limits that are named in documents; Settings can change the first two.
const (
	PairData     = 64 << 20        // bytes for a pair of peers, both ways, in an hour
	PairRate     = 1_000_000       // bytes a second for a friend's pair, and for all strangers together
	StrangerData = 128 << 10       // bytes of one circuit between strangers under Coordinate
	StrangerHour = 1 << 20         // bytes of a pair of strangers in an hour under Coordinate
	StrangerTime = 2 * time.Minute // for which such a circuit lasts
	CircuitTime  = time.Hour       // for which every other lasts
)

const (
	minData = 1 << 20 // what Settings may have
	maxData = 1 << 40
	minRate = 64 << 10
	maxRate = 1 << 30
)

// Settings say what a node carries for others. The zero value is the default.
type Settings struct {
	For     Mode  // "": Coordinate
	Metered bool  // the connection is paid for by the byte: nothing is carried for strangers
	Data    int64 // bytes for a pair and hour; 0: PairData
	Rate    int64 // bytes a second; 0: PairRate
}

// Check returns whether the settings make sense; its error is Invalid.
func (s Settings) Check() error {
	ok := s.For == ""
	for _, m := range Modes {
		ok = ok || s.For == m
	}
	switch {
	case !ok:
		return fmt.Errorf("relay: for %.20q: want off, contacts, coordinate or strangers: %w", s.For, kith.Invalid)
	case s.Data != 0 && (s.Data < minData || s.Data > maxData):
		return fmt.Errorf("relay: %d bytes for a pair and hour: want %s to %s: %w", s.Data, human.Bytes(minData), human.Bytes(maxData), kith.Invalid)
	case s.Rate != 0 && (s.Rate < minRate || s.Rate > maxRate):
		return fmt.Errorf("relay: %d bytes a second: want %s to %s: %w", s.Rate, human.Rate(minRate), human.Rate(maxRate), kith.Invalid)
	}
	return nil
}

// WithDefaults returns the settings with no field left at zero but Metered.
func (s Settings) WithDefaults() Settings {
	if s.For == "" {
		s.For = Coordinate
	}
	if s.Data == 0 {
		s.Data = PairData
	}
	if s.Rate == 0 {
		s.Rate = PairRate
	}
	return s
}

// strangers reports whether anything is carried for strangers.
func (s Settings) strangers() bool {
	return !s.Metered && (s.For == Coordinate || s.For == Strangers)
}

// hour returns how many bytes a pair may use in an hour.
func (s Settings) hour(friend bool) int64 {
	if friend || s.For == Strangers {
		return s.Data
	}
	return StrangerHour
}
