package human

import (
	"errors"
	"math"
	"testing"
	"time"

	"kith"
)

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{
		-1: "?", 0: "0 B", 1: "1 B", 999: "999 B", 1000: "1.00 kB", 1024: "1.02 kB", 1500: "1.50 kB", 10000: "10.0 kB",
		999_000: "999 kB", 999_999: "1.00 MB", 1 << 30: "1.07 GB", 1e9 - 1: "1.00 GB", math.MaxInt64: "9.22 EB",
	} {
		if got := Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %q, want %q", n, got, want)
		}
	}
	for f, want := range map[float64]string{0: "0 B/s", 1.5e6: "1.50 MB/s", -1: "?", math.NaN(): "?", math.Inf(1): "?"} {
		if got := Rate(f); got != want {
			t.Errorf("Rate(%v) = %q, want %q", f, got, want)
		}
	}
}

func TestCount(t *testing.T) {
	for n, want := range map[int]string{0: "0 peers", 1: "1 peer", 2: "2 peers"} {
		if got := Count(n, "peer"); got != want {
			t.Errorf("Count(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-1: "?", 0: "0 ms", 999 * time.Millisecond: "999 ms", time.Second: "1 s", 59600 * time.Millisecond: "1 min",
		200 * time.Second: "3 min 20 s", time.Hour: "1 h", 90 * time.Minute: "1 h 30 min", 49 * time.Hour: "2 d 1 h",
	} {
		if got := Duration(d); got != want {
			t.Errorf("Duration(%v) = %q, want %q", d, got, want)
		}
	}
	for s, want := range map[float64]string{-1: "?", 2.4: "2 s", 1e300: "years", math.Inf(1): "years", math.NaN(): "?"} {
		if got := Seconds(s); got != want {
			t.Errorf("Seconds(%v) = %q, want %q", s, got, want)
		}
	}
}

func TestParseBytes(t *testing.T) {
	for s, want := range map[string]int64{
		"0": 0, "500": 500, "500K": 500e3, "500k": 500e3, "500kB": 500e3, "2MiB": 2 << 20, " 1.5 GB ": 15e8, "1T": 1e12, "7 B": 7,
	} {
		if got, err := ParseBytes(s); got != want || err != nil {
			t.Errorf("ParseBytes(%q) = %d, %v; want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "K", "-1", "1e3", "0x10", "1.2.3", "5X", "5 K K", "9999999T", "NaN", "Inf", "1K/s", "."} {
		if got, err := ParseBytes(s); !errors.Is(err, kith.Invalid) || kith.HintOf(err) == "" {
			t.Errorf("ParseBytes(%q) = %d, %v; want %v with a hint", s, got, err, kith.Invalid)
		}
	}
	for _, s := range []string{"500K", "500K/s", " 500 K/s", "500kBps"} {
		if got, err := ParseRate(s); got != 500e3 || err != nil {
			t.Errorf("ParseRate(%q) = %d, %v", s, got, err)
		}
	}
}

func TestParseDuration(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"90s": 90 * time.Second, "45": 45 * time.Second, "1h30m": 90 * time.Minute, "2d": 48 * time.Hour, "1 h": time.Hour, "0": 0, "0.5": time.Second / 2,
	} {
		if got, err := ParseDuration(s); got != want || err != nil {
			t.Errorf("ParseDuration(%q) = %v, %v; want %v", s, got, err, want)
		}
	}
	for _, s := range []string{"", "-5s", "-1", "soon", "5 parsecs", "1e300", "NaN", "99999999d"} {
		if got, err := ParseDuration(s); !errors.Is(err, kith.Invalid) {
			t.Errorf("ParseDuration(%q) = %v, %v; want %v", s, got, err, kith.Invalid)
		}
	}
}

// FuzzParse: what is accepted is never negative, and what Bytes writes is read again within its three digits.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"0", "500K", "2MiB", "1.5 GB", "90s", "2d", "9223372036854775807", "8EiB"} {
		f.Add(s, int64(len(s))<<20)
	}
	f.Fuzz(func(t *testing.T, s string, n int64) {
		if got, err := ParseRate(s); err == nil && got < 0 {
			t.Errorf("ParseRate(%q) = %d", s, got)
		}
		if got, err := ParseDuration(s); err == nil && got < 0 {
			t.Errorf("ParseDuration(%q) = %v", s, got)
		}
		if n < 0 || n >= 1<<49 { // ParseBytes knows no unit above TiB
			return
		}
		got, err := ParseBytes(Bytes(n))
		if err != nil || math.Abs(float64(got-n)) > float64(n)/100+1 {
			t.Errorf("Bytes(%d) = %q is read as %d, %v", n, Bytes(n), got, err)
		}
	})
}
