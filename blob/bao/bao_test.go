package bao

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"testing"
	"testing/iotest"

	"kith"

	library "lukechampine.com/blake3/bao"
)

// randomBytes returns size bytes, the same every time.
func randomBytes(size int) []byte {
	data := make([]byte, size)
	rand.NewChaCha8([32]byte{byte(size)}).Read(data)
	return data
}

// sizes are around every edge of the tree.
var sizes = []int{0, 1, 63, 64, 65, 1023, 1024, 1025, 2048, 2049, 8192, 8193, 16383, 16384, 16385, 32768, 32769, 49152, 49153, 65536,
	81921, segmentSize - 1, segmentSize, segmentSize + 1, 2*segmentSize + 1, 3 * segmentSize, 5*segmentSize + 12345}

// The library's groups are of 2^4 chunks then, and its first 8 bytes are the length.
func encode(data []byte) (outboard Memory, sum Sum) {
	enc, sum := library.EncodeBuf(data, 4, true)
	return enc[8:], sum
}

func mustBuild(t *testing.T, data []byte, size int) (Memory, Sum) {
	t.Helper()
	out := make(Memory, OutboardSize(int64(size)))
	sum, err := Build(t.Context(), bytes.NewReader(data), int64(size), out, nil)
	if err != nil {
		t.Fatalf("build %d: %v", size, err)
	}
	return out, sum
}

func mustStream(t *testing.T, data []byte, piece int) (Memory, Sum) {
	t.Helper()
	out := make(Memory, OutboardSize(int64(len(data))))
	b := NewBuilder(out, int64(len(data)))
	for rest := data; len(rest) > 0; {
		n, err := b.Write(rest[:min(piece, len(rest))])
		if err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	sum, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return out, sum
}

// The vectors are BLAKE3's own: the input is the bytes 0 to 250, again and again.
func TestVectors(t *testing.T) {
	var vectors struct {
		Cases []struct {
			Len  int    `json:"input_len"`
			Hash string `json:"hash"`
		} `json:"cases"`
	}
	text, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &vectors); err != nil || len(vectors.Cases) < 20 {
		t.Fatalf("%d cases, %v", len(vectors.Cases), err)
	}
	for _, c := range vectors.Cases {
		data := make([]byte, c.Len)
		for i := range data {
			data[i] = byte(i % 251)
		}
		_, built := mustBuild(t, data, c.Len)
		_, streamed := mustStream(t, data, 1000)
		for name, sum := range map[string]Sum{"Hash": Hash(data), "Build": built, "Builder": streamed} {
			if got := hex.EncodeToString(sum[:]); got != c.Hash[:64] {
				t.Errorf("%s of %d bytes: %s, want %s", name, c.Len, got, c.Hash[:64])
			}
		}
	}
}

// The file of vectors has a golden outboard beside it, down to single chunks. It has two groups: its root is the parent
// of both.
func TestGoldenOutboard(t *testing.T) {
	data, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	golden, err := os.ReadFile("testdata/vectors.json.obao")
	if err != nil {
		t.Fatal(err)
	}
	out, sum := mustBuild(t, data, len(data))
	if got := hex.EncodeToString(sum[:]); got != "6654fbd1836b531b25e2782c9cc9b792c80abb36b024f59db5d5f6bd3187ddfe" {
		t.Error("root", got)
	}
	if !bytes.Equal(out, golden[8:8+parentSize]) {
		t.Errorf("outboard %x", out)
	}
}

func TestLibraryMakesTheSameTree(t *testing.T) {
	for _, size := range append(sizes, spanGroups*GroupSize, 2*spanGroups*GroupSize+3*segmentSize+77) {
		data := randomBytes(size)
		want, root := encode(data)
		if int64(len(want)) != OutboardSize(int64(size)) {
			t.Errorf("OutboardSize(%d) = %d, want %d", size, OutboardSize(int64(size)), len(want))
		}
		if out, sum := mustBuild(t, data, size); sum != root || !bytes.Equal(out, want) {
			t.Errorf("Build of %d bytes is not what the library makes", size)
		}
		if out, sum := mustStream(t, data, 100_000); sum != root || !bytes.Equal(out, want) {
			t.Errorf("Builder of %d bytes is not what the library makes", size)
		}
		if Hash(data) != root {
			t.Errorf("Hash of %d bytes is not what the library makes", size)
		}
	}
}

func TestBuildTellsProgress(t *testing.T) {
	const size = 3*segmentSize + 1
	var told []int64
	_, err := Build(t.Context(), bytes.NewReader(randomBytes(size)), size, nil, func(n int64) { told = append(told, n) })
	if err != nil || len(told) != 4 || told[3] != size {
		t.Fatal(told, err)
	}
	for i := 1; i < len(told); i++ {
		if told[i] <= told[i-1] {
			t.Fatal(told)
		}
	}
}

// failing is storage of which nothing can be read or written.
type failing struct{ err error }

func (f failing) ReadAt([]byte, int64) (int, error)  { return 0, f.err }
func (f failing) WriteAt([]byte, int64) (int, error) { return 0, f.err }

func TestBuildFails(t *testing.T) {
	const size = 5 * segmentSize
	data := bytes.NewReader(randomBytes(size))
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	broken := errors.New("broken")
	for _, c := range []struct {
		name string
		ctx  context.Context
		r    io.ReaderAt
		size int64
		out  io.WriterAt
		want error
	}{
		{"shrunk", t.Context(), data, size + 1, nil, kith.Gone},
		{"size", t.Context(), data, -1, nil, kith.Invalid},
		{"canceled", canceled, data, size, nil, context.Canceled},
		{"read", t.Context(), failing{broken}, size, nil, broken},
		{"write", t.Context(), data, size, failing{broken}, broken},
	} {
		if sum, err := Build(c.ctx, c.r, c.size, c.out, nil); !errors.Is(err, c.want) || sum != (Sum{}) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

func TestBuilderWantsItsSize(t *testing.T) {
	for _, size := range []int64{0, 1, GroupSize, segmentSize, segmentSize + 1} {
		b := NewBuilder(nil, size)
		if _, err := b.Write(make([]byte, size+1)); !errors.Is(err, kith.Gone) {
			t.Errorf("%d: one byte too many: %v", size, err)
		}
		if size == 0 {
			continue
		}
		b = NewBuilder(nil, size)
		if _, err := b.Write(make([]byte, size-1)); err != nil {
			t.Error(err)
		}
		if _, err := b.Finish(); !errors.Is(err, kith.Gone) {
			t.Errorf("%d: one byte too few: %v", size, err)
		}
	}
}

func TestBuilderSaysThatTheTreeCannotBeWritten(t *testing.T) {
	b := NewBuilder(failing{io.ErrShortWrite}, 3*GroupSize)
	if _, err := io.Copy(b, iotest.HalfReader(bytes.NewReader(make([]byte, 3*GroupSize)))); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Finish(); !errors.Is(err, io.ErrShortWrite) {
		t.Fatal(err)
	}
}

// What Build allocates does not grow with the groups.
func TestBuildAllocations(t *testing.T) {
	data := bytes.NewReader(make([]byte, 16*segmentSize))
	allocs := testing.AllocsPerRun(5, func() {
		if _, err := Build(t.Context(), data, data.Size(), nil, nil); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 100 {
		t.Errorf("%v allocations for %d groups", allocs, data.Size()/GroupSize)
	}
}

func TestSizes(t *testing.T) {
	for size, want := range map[int64]int64{
		-1: 1, 0: 1, 1: 1, GroupSize: 1, GroupSize + 1: 2, 3 * GroupSize: 3, math.MaxInt64: 1 << 49,
	} {
		if got := Groups(size); got != want {
			t.Errorf("Groups(%d) = %d, want %d", size, got, want)
		}
	}
	for _, c := range []struct {
		size int64
		r    Range
		want int64
	}{
		{0, Range{0, 1}, 0},
		{GroupSize, Range{0, 1}, 0},
		{2 * GroupSize, Range{0, 1}, parentSize},
		{4 * GroupSize, Range{1, 2}, 3 * parentSize},
		{1 << 30, Range{64, 64}, (10 + 63) * parentSize},
		{1 << 30, Range{65535, 1}, 16 * parentSize},
		{math.MaxInt64, Range{1<<49 - 1, 1}, 49 * parentSize},
		{-1, Range{0, 1}, -1},
		{1 << 30, Range{0, 0}, -1},
		{1 << 30, Range{-1, 1}, -1},
		{1 << 30, Range{65535, 2}, -1},
		{1 << 30, Range{0, math.MaxInt64}, -1},
		{1 << 30, Range{math.MaxInt64, math.MaxInt64}, -1},
		{math.MaxInt64, Range{0, MaxRange + 1}, -1},
	} {
		if got := ProofSize(c.size, c.r); got != c.want {
			t.Errorf("ProofSize(%d, %v) = %d, want %d", c.size, c.r, got, c.want)
		}
	}
	// The longest proof is that of a range around the middle of the largest tree.
	middle := int64(1) << 48
	for _, first := range []int64{0, 1, middle - MaxRange/2, middle - 1, middle + 1, 2*middle - MaxRange} {
		if n := ProofSize(math.MaxInt64, Range{first, MaxRange}); n > MaxProof || n < (MaxRange-1)*parentSize {
			t.Errorf("the proof of groups from %d on is %d bytes, MaxProof is %d", first, n, MaxProof)
		}
	}
}
