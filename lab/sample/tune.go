package sample

import (
	"bufio"
	"encoding/binary"
	"math"
	"math/cmplx"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"
)

const sampleRate = 22_050 // of the tunes, in hertz; one channel of 16 bits

// A sound is what is heard, sample by sample, between -1 and 1.
type sound []float64

func silence(d time.Duration) sound { return make(sound, int(d.Seconds()*sampleRate)) }

// A partial is one of the tones that a struck thing sounds with: its frequency over the note's, its loudness, and how long it rings.
type partial struct{ over, loud, ring float64 }

var (
	comb = []partial{{1, 1, 0.9}, {2, 0.3, 0.5}, {5.4, 0.12, 0.12}}                                                     // of a music box
	bell = []partial{{0.5, 0.5, 4}, {1, 0.9, 2.6}, {1.183, 0.7, 2}, {1.506, 0.4, 1.6}, {2, 0.6, 1.2}, {2.66, 0.2, 0.7}} // minor third and all
)

// strike adds a note of that pitch, in semitones above A at 440 Hz, that begins at.
func (s sound) strike(at time.Duration, pitch, loud float64, of []partial) {
	first := int(at.Seconds() * sampleRate)
	const attack = sampleRate / 400
	for _, p := range of {
		turn := 2 * math.Pi * 440 * math.Pow(2, pitch/12) * p.over / sampleRate
		step := cmplx.Rect(math.Exp(-2/p.ring/sampleRate), turn) // one sample on: turned, and a little softer
		z := complex(loud*p.loud, 0)
		for i := first; i < len(s) && cmplx.Abs(z) > 1e-3; {
			for end := min(i+256, len(s)); i < end; i++ {
				s[i] += min(1, float64(i-first)/attack) * imag(z)
				z *= step
			}
		}
	}
}

// musicBox plays a tune that wanders over a pentatonic scale, where nothing sounds wrong, with a slow second voice below.
func musicBox(dir string, r *rand.Rand, again string) (string, error) {
	const beat = 240 * time.Millisecond
	scale := []float64{0, 2, 4, 7, 9, 12, 14, 16, 19, 21}
	s := silence(48 * time.Second)
	step := 4
	for i := 0; time.Duration(i+8)*beat < 48*time.Second; i++ {
		if i%4 == 0 {
			s.strike(time.Duration(i)*beat, scale[[]int{0, 3, 2, 4}[i/4%4]]-12, 0.22, comb)
		}
		if i%8 != 7 && r.IntN(5) > 0 {
			step = min(max(step+r.IntN(5)-2, 0), len(scale)-1)
			s.strike(time.Duration(i)*beat, scale[step], 0.3, comb)
		}
	}
	name := "Music box" + again + ".wav"
	return name, s.save(filepath.Join(dir, name))
}

// bells rings plain hunt on six bells, the oldest of the changes.
func bells(dir string, _ *rand.Rand, again string) (string, error) {
	const gap = 330 * time.Millisecond
	pitches := []float64{3, 1, -1, -2, -4, -6} // a major scale, down
	row := []int{0, 1, 2, 3, 4, 5}
	s := silence(34 * time.Second)
	at := time.Duration(0)
	for change := range 15 {
		for _, b := range row {
			s.strike(at, pitches[b]-7, 0.16, bell)
			at += gap
		}
		for i := change % 2; i+1 < len(row); i += 2 {
			row[i], row[i+1] = row[i+1], row[i]
		}
		if change%2 == 1 {
			at += gap // the handstroke gap
		}
	}
	name := "Village bells" + again + ".wav"
	return name, s.save(filepath.Join(dir, name))
}

// save writes a RIFF WAVE file.
func (s sound) save(path string) error {
	return write(path, func(f *os.File) error {
		w := bufio.NewWriter(f)
		size := uint32(len(s) * 2)
		w.WriteString("RIFF")
		binary.Write(w, binary.LittleEndian, size+36)
		w.WriteString("WAVEfmt ")
		binary.Write(w, binary.LittleEndian, struct {
			Size             uint32
			Format, Channels uint16
			Rate, Bytes      uint32
			Align, Bits      uint16
		}{16, 1, 1, sampleRate, sampleRate * 2, 2, 16})
		w.WriteString("data")
		binary.Write(w, binary.LittleEndian, size)
		data := make([]byte, 0, size)
		for _, v := range s {
			data = binary.LittleEndian.AppendUint16(data, uint16(int16(math.Tanh(v)*32000)))
		}
		w.Write(data)
		return w.Flush()
	})
}
