package scenario

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"kith/internal/human"
	"kith/lab/nat"
	"kith/lab/sim"
	"slices"
)

// A Time is a time since the start, or a length of time, written as "90s" or "1m30s".
type Time time.Duration

// String returns the time as it may be written.
func (t Time) String() string { return time.Duration(t).String() }

// MarshalText implements encoding.TextMarshaler.
func (t Time) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (t *Time) UnmarshalText(text []byte) error {
	d, err := human.ParseDuration(string(text))
	if err == nil && d > maxLast {
		err = invalid("%.40q is more than %s", text, maxLast)
	}
	*t = Time(d)
	return err
}

// A Range is a range of times, written as "20ms..150ms", or one time.
type Range struct{ Low, High time.Duration }

// String returns the range as it may be written.
func (r Range) String() string {
	if r.Low == r.High {
		return r.Low.String()
	}
	return r.Low.String() + ".." + r.High.String()
}

// MarshalText implements encoding.TextMarshaler.
func (r Range) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *Range) UnmarshalText(text []byte) (err error) {
	low, high, two := strings.Cut(string(text), "..")
	if !two {
		high = low
	}
	if r.Low, err = human.ParseDuration(low); err == nil {
		r.High, err = human.ParseDuration(high)
	}
	if err != nil || r.Low > r.High || r.High > 10*time.Second {
		return invalid(`%.40q is no range of times up to 10s: write it like 20ms..150ms`, text)
	}
	return nil
}

// A Part is a number from 0 to 1, written as "1%".
type Part float64

// String returns the part as it may be written.
func (p Part) String() string { return strconv.FormatFloat(float64(p)*100, 'g', 6, 64) + "%" }

// MarshalText implements encoding.TextMarshaler.
func (p Part) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *Part) UnmarshalText(text []byte) error {
	number, percent := strings.CutSuffix(strings.TrimSpace(string(text)), "%")
	f, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if percent {
		f /= 100
	}
	if err != nil || !(f >= 0 && f <= 1) {
		return invalid("%.40q is no part: write it like 1%%", text)
	}
	*p = Part(f)
	return nil
}

// A Rate is how often something happens in a minute, written as "10/min".
type Rate float64

// String returns the rate as it may be written.
func (r Rate) String() string { return strconv.FormatFloat(float64(r), 'g', 6, 64) + "/min" }

// MarshalText implements encoding.TextMarshaler.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *Rate) UnmarshalText(text []byte) error {
	number, unit, _ := strings.Cut(strings.TrimSpace(string(text)), "/")
	f, err := strconv.ParseFloat(number, 64)
	per, ok := map[string]float64{"s": 60, "sec": 60, "": 1, "min": 1, "m": 1, "h": 1. / 60, "hour": 1. / 60}[unit]
	if err != nil || !ok || !(f >= 0 && f <= 1e6) {
		return invalid("%.40q is no rate: write it like 10/min", text)
	}
	*r = Rate(f * per)
	return nil
}

// A Size is a number of bytes, written as "500K" or "2MiB", with "/s" if it is a rate.
type Size int64

// MarshalText implements encoding.TextMarshaler.
func (s Size) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%dB", int64(s)), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Size) UnmarshalText(text []byte) error {
	n, err := human.ParseRate(string(text))
	*s = Size(n)
	return err
}

// NAT says what nodes stand behind: all of them behind a router of one kind, or a part of them behind routers that are drawn, three
// cones to one that is symmetric. The zero value is none.
type NAT struct {
	Kind nat.Kind // "": drawn
	Part Part
}

// String returns the NAT as it may be written.
func (n NAT) String() string {
	if n.Kind != "" {
		return string(n.Kind)
	}
	return n.Part.String()
}

// MarshalText implements encoding.TextMarshaler.
func (n NAT) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (n *NAT) UnmarshalText(text []byte) error {
	if kind := nat.Kind(text); slices.Contains(sim.Kinds, kind) {
		*n = NAT{Kind: kind, Part: 1}
		return nil
	} else if slices.Contains(nat.Kinds, kind) {
		return invalid("nat = %q: the lab's network carries UDP only; make bench-net tries that kind with real routers", text)
	}
	*n = NAT{}
	if n.Part.UnmarshalText(text) != nil {
		return invalid("nat = %.40q: want a part like 40%%, or a kind: %s", text, kinds())
	}
	return nil
}

func kinds() string {
	var names []string
	for _, k := range sim.Kinds {
		names = append(names, string(k))
	}
	return strings.Join(names, ", ")
}
