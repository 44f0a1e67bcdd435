package seal

import (
	"bytes"
	"io"
	"testing"
	"time"

	"filippo.io/age"
	"golang.org/x/crypto/chacha20poly1305"
)

const benchSize = 64 << 20

// rawSpeed is the time that one core needs to seal n bytes in segments, which is the limit.
func rawSpeed(b *testing.B, n int) time.Duration {
	aead, err := chacha20poly1305.New(make([]byte, chacha20poly1305.KeySize))
	if err != nil {
		b.Fatal(err)
	}
	plain, out, nonce := make([]byte, segmentSize), make([]byte, 0, sealedSize), make([]byte, 12)
	start := time.Now()
	for range n / segmentSize {
		aead.Seal(out, nonce, plain, nil)
	}
	return time.Since(start)
}

// benchReadAt reads 1 MiB at a time, as groups lie. "x-raw" is the time over that of one core that only encrypts.
func benchReadAt(b *testing.B, r io.ReaderAt) {
	buf := make([]byte, 1<<20)
	off := int64(0)
	var ours, raw time.Duration
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		start := time.Now()
		if _, err := r.ReadAt(buf, off); err != nil {
			b.Fatal(err)
		}
		ours += time.Since(start)
		b.StopTimer()
		raw += rawSpeed(b, len(buf))
		b.StartTimer()
		off = (off + int64(len(buf))) % (benchSize - int64(len(buf)))
	}
	b.ReportMetric(float64(ours)/float64(raw), "x-raw")
}

func BenchmarkSealReadAt(b *testing.B) {
	benchReadAt(b, NewReaderAt(newHeader(b, NewKey()), bytes.NewReader(randomBytes(benchSize)), benchSize))
}

func BenchmarkOpenReadAt(b *testing.B) {
	k := NewKey()
	file := sealed(b, newHeader(b, k), randomBytes(benchSize))
	o, err := Open(k, bytes.NewReader(file), int64(len(file)))
	if err != nil {
		b.Fatal(err)
	}
	benchReadAt(b, o)
}

// memory is a file in memory.
type memory []byte

func (m memory) WriteAt(p []byte, off int64) (int, error) { return copy(m[off:], p), nil }

// BenchmarkDecrypt opens 64 MiB. "x-age" is its time over that of the age library.
func BenchmarkDecrypt(b *testing.B) {
	k := NewKey()
	file := sealed(b, newHeader(b, k), randomBytes(benchSize))
	out := make(memory, benchSize)
	var ours, theirs time.Duration
	b.SetBytes(benchSize)
	b.ReportAllocs()
	for b.Loop() {
		start := time.Now()
		o, err := Open(k, bytes.NewReader(file), int64(len(file)))
		if err != nil {
			b.Fatal(err)
		}
		if err := o.Decrypt(b.Context(), out, nil); err != nil {
			b.Fatal(err)
		}
		ours += time.Since(start)
		b.StopTimer()
		start = time.Now()
		r, err := age.Decrypt(bytes.NewReader(file), identity(b, k))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(r, out); err != nil {
			b.Fatal(err)
		}
		theirs += time.Since(start)
		b.StartTimer()
	}
	b.ReportMetric(float64(ours)/float64(theirs), "x-age")
}

// BenchmarkNewHeader is what each file of a private share costs, beside its bytes.
func BenchmarkNewHeader(b *testing.B) {
	k := NewKey()
	b.ReportAllocs()
	for b.Loop() {
		newHeader(b, k)
	}
}

// BenchmarkOpenSmall is what opening a file of 4 KiB costs.
func BenchmarkOpenSmall(b *testing.B) {
	k := NewKey()
	file := sealed(b, newHeader(b, k), randomBytes(4096))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := opened(k, file); err != nil {
			b.Fatal(err)
		}
	}
}
