// Package human writes sizes, rates and durations as people read them, and reads them as people type them.
package human

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"kith"
)

// units are decimal, as on disks, on most systems and on the page.
var units = []string{"B", "kB", "MB", "GB", "TB", "PB", "EB"}

// Bytes returns a size with three digits and its unit, such as "1.50 GB"; a negative size is "?".
func Bytes(n int64) string {
	if n < 0 {
		return "?"
	}
	return bytes(float64(n))
}

func bytes(f float64) string {
	unit := 0
	for f >= 999.5 && unit < len(units)-1 {
		f /= 1000
		unit++
	}
	switch {
	case unit == 0 || f >= 99.95:
		return fmt.Sprintf("%.0f %s", f, units[unit])
	case f >= 9.995:
		return fmt.Sprintf("%.1f %s", f, units[unit])
	}
	return fmt.Sprintf("%.2f %s", f, units[unit])
}

// Rate returns bytes a second, such as "11.2 MB/s".
func Rate(f float64) string {
	if math.IsNaN(f) || math.IsInf(f, 0) || f < 0 {
		return "?"
	}
	return bytes(f) + "/s"
}

// Count returns a number with its noun: 1 peer, 2 peers.
func Count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// Duration returns a time as its two largest units, such as "3 min 20 s"; a negative one is "?".
func Duration(d time.Duration) string {
	if d < 0 {
		return "?"
	}
	if d < time.Second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	s := int64(d.Round(time.Second) / time.Second)
	pair := func(a int64, unit string, b int64, small string) string {
		if b == 0 {
			return fmt.Sprintf("%d %s", a, unit)
		}
		return fmt.Sprintf("%d %s %d %s", a, unit, b, small)
	}
	switch {
	case s < 60:
		return fmt.Sprintf("%d s", s)
	case s < 3600:
		return pair(s/60, "min", s%60, "s")
	case s < 86400:
		return pair(s/3600, "h", s%3600/60, "min")
	}
	return pair(s/86400, "d", s%86400/3600, "h")
}

// Seconds is Duration of a number of seconds, such as those of an ETA.
func Seconds(s float64) string {
	if math.IsNaN(s) || s < 0 {
		return "?"
	}
	if s > 10*365*86400 {
		return "years"
	}
	return Duration(time.Duration(s * float64(time.Second)))
}

// factors are those of dd(1) and curl(1): K is 1024, kB is 1000, KiB is 1024.
var factors = map[string]float64{
	"": 1, "b": 1,
	"k": 1e3, "kib": 1 << 10, "kb": 1e3,
	"m": 1e6, "mib": 1 << 20, "mb": 1e6,
	"g": 1e9, "gib": 1 << 30, "gb": 1e9,
	"t": 1e12, "tib": 1 << 40, "tb": 1e12,
}

// ParseBytes reads a size such as "500K", "2MiB", "1.5 GB" or "0". Its error is Invalid.
func ParseBytes(s string) (int64, error) {
	text := strings.TrimSpace(s)
	i := strings.IndexFunc(text, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	if i < 0 {
		i = len(text)
	}
	factor, ok := factors[strings.ToLower(strings.TrimSpace(text[i:]))]
	n, err := strconv.ParseFloat(text[:i], 64)
	if !ok || err != nil || n*factor >= math.MaxInt64 {
		return 0, kith.Hint(fmt.Errorf("%.40q is not a size: %w", s, kith.Invalid), "write it like 500K, 2MiB or 1.5GB")
	}
	return int64(math.Round(n * factor)), nil
}

// ParseRate reads bytes a second: a size, with or without "/s" behind it.
func ParseRate(s string) (int64, error) {
	text := strings.TrimSpace(s)
	for _, end := range []string{"/s", "/S", "ps"} {
		text = strings.TrimSuffix(text, end)
	}
	return ParseBytes(text)
}

// ParseDuration reads a time such as "90s", "1h30m", "2d" or "45", which are seconds. Its error is Invalid.
func ParseDuration(s string) (time.Duration, error) {
	text := strings.ReplaceAll(strings.TrimSpace(s), " ", "")
	if n, err := strconv.ParseFloat(text, 64); err == nil && n >= 0 && n < math.MaxInt64/1e9 {
		return time.Duration(n * float64(time.Second)), nil
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseFloat(days, 64); err == nil && n >= 0 && n < 1e5 {
			return time.Duration(n * 24 * float64(time.Hour)), nil
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, kith.Hint(fmt.Errorf("%.40q is not a time: %w", s, kith.Invalid), "write it like 90s, 5m, 1h30m or 7d")
	}
	return d, nil
}
