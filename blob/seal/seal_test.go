package seal

import (
	"bytes"
	"crypto/ecdh"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"kith"

	"filippo.io/age"
	"pgregory.net/rapid"
)

// sizes are around every edge of the payload.
var sizes = []int{0, 1, 15, 16, 17, segmentSize - 1, segmentSize, segmentSize + 1, 2 * segmentSize, 3*segmentSize + 5,
	blockSize - 1, blockSize, blockSize + 1, 3*blockSize + 7}

// randomBytes returns size bytes, the same every time.
func randomBytes(size int) []byte {
	data := make([]byte, size)
	rand.NewChaCha8([32]byte{byte(size)}).Read(data)
	return data
}

func newHeader(t testing.TB, k Key) Header {
	t.Helper()
	h, err := NewHeader(k)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// sealed returns the age file of plain.
func sealed(t testing.TB, h Header, plain []byte) []byte {
	t.Helper()
	size := int64(len(plain))
	out, err := io.ReadAll(io.NewSectionReader(NewReaderAt(h, bytes.NewReader(plain), size), 0, 1<<40))
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(out)) != SealedSize(h, size) {
		t.Fatalf("%d bytes became %d, SealedSize is %d", size, len(out), SealedSize(h, size))
	}
	return out
}

// opened returns the plaintext of an age file.
func opened(k Key, file []byte) ([]byte, error) {
	o, err := Open(k, bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	n, err := o.WriteTo(&out)
	if err == nil && n != o.PlainSize() {
		err = io.ErrShortWrite
	}
	return out.Bytes(), err
}

func identity(t testing.TB, k Key) *age.X25519Identity {
	t.Helper()
	id, err := age.ParseX25519Identity(k.Identity())
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// What age reads is the key that was written, for it derives the same public key.
func TestIdentity(t *testing.T) {
	for range 100 {
		k := NewKey()
		scalar, err := ecdh.X25519().NewPrivateKey(k[:])
		if err != nil {
			t.Fatal(err)
		}
		id := identity(t, k)
		if id.String() != k.Identity() || id.Recipient().String() != bech32("age", scalar.PublicKey().Bytes()) {
			t.Fatal("age reads another key than was written")
		}
	}
}

func TestSecretsStayOutOfLogs(t *testing.T) {
	k := NewKey()
	h := newHeader(t, k)
	for _, s := range []string{k.String(), k.GoString(), h.String(), h.GoString()} {
		if len(s) > 40 || !strings.HasPrefix(s, "seal.") {
			t.Error(s)
		}
	}
}

// What this package seals, the age library opens, and the other way round.
func TestAgeLibrary(t *testing.T) {
	k := NewKey()
	for _, size := range sizes {
		plain := randomBytes(size)
		r, err := age.Decrypt(bytes.NewReader(sealed(t, newHeader(t, k), plain)), identity(t, k))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("age opens %d bytes: %v", size, err)
		}

		var file bytes.Buffer
		w, err := age.Encrypt(&file, identity(t, NewKey()).Recipient(), identity(t, k).Recipient())
		if err != nil {
			t.Fatal(err)
		}
		w.Write(plain)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if got, err := opened(k, file.Bytes()); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("open %d bytes that age sealed: %v", size, err)
		}
		o, err := Open(k, bytes.NewReader(file.Bytes()), int64(file.Len()))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(sealed(t, o.Header(), plain), file.Bytes()) {
			t.Errorf("%d bytes sealed again are not what age had made", size)
		}
	}
}

// What this package seals, the age program opens, and the other way round.
func TestAgeProgram(t *testing.T) {
	program, err := exec.LookPath("age")
	if err != nil {
		t.Skip("not tested: that the age program and this package open each other's files (age is not installed)")
	}
	dir := t.TempDir()
	k := NewKey()
	key := filepath.Join(dir, "key")
	if err := os.WriteFile(key, []byte(k.Identity()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(stdin []byte, args ...string) []byte {
		t.Helper()
		var stderr bytes.Buffer
		cmd := exec.CommandContext(t.Context(), program, args...)
		cmd.Stdin, cmd.Stderr = bytes.NewReader(stdin), &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("age %v: %v: %s", args, err, &stderr)
		}
		return out
	}
	for _, size := range []int{0, 1, segmentSize, segmentSize + 1, 3*blockSize + 7} {
		plain := randomBytes(size)
		if got := run(sealed(t, newHeader(t, k), plain), "--decrypt", "--identity", key); !bytes.Equal(got, plain) {
			t.Errorf("age opens %d bytes as something else", size)
		}
		file := run(plain, "--encrypt", "--recipient", identity(t, k).Recipient().String())
		if got, err := opened(k, file); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("open %d bytes that age sealed: %v", size, err)
		}
	}
}

// A Header makes the same file every time, and no other Header does.
func TestDeterministic(t *testing.T) {
	k := NewKey()
	h, other := newHeader(t, k), newHeader(t, k)
	plain := randomBytes(2*segmentSize + 1)
	file := sealed(t, h, plain)
	again := Header{bytes.Clone(h.Bytes), h.Nonce, h.FileKey}
	if !bytes.Equal(sealed(t, again, plain), file) {
		t.Error("the same Header made another file")
	}
	if h.FileKey == other.FileKey || h.Nonce == other.Nonce || bytes.Equal(sealed(t, other, plain)[h.size():], file[h.size():]) {
		t.Error("two Headers made the same payload")
	}
}

// Any part of either direction is what the whole has there.
func TestRandomAccess(t *testing.T) {
	k := NewKey()
	rapid.Check(t, func(rt *rapid.T) {
		size := rapid.OneOf(rapid.SampledFrom(sizes), rapid.IntRange(0, 3*blockSize)).Draw(rt, "size")
		plain := randomBytes(size)
		h := newHeader(t, k)
		file := sealed(t, h, plain)
		o, err := Open(k, bytes.NewReader(file), int64(len(file)))
		if err != nil {
			rt.Fatal(err)
		}
		for _, c := range []struct {
			name string
			r    io.ReaderAt
			want []byte
		}{{"sealed", NewReaderAt(h, bytes.NewReader(plain), int64(size)), file}, {"opened", o, plain}} {
			off := rapid.IntRange(0, len(c.want)+10).Draw(rt, "off")
			n := rapid.OneOf(rapid.IntRange(0, 300), rapid.IntRange(0, len(c.want)+10)).Draw(rt, "n")
			want := c.want[min(off, len(c.want)):min(off+n, len(c.want))]
			got := make([]byte, n)
			m, err := c.r.ReadAt(got, int64(off))
			if !bytes.Equal(got[:m], want) || (err == nil) != (m == n) || err != nil && err != io.EOF {
				rt.Fatalf("%s: ReadAt %d+%d of %d: %d bytes, %v", c.name, off, n, len(c.want), m, err)
			}
		}
	})
}

func TestConcurrentReads(t *testing.T) {
	k := NewKey()
	h := newHeader(t, k)
	plain := randomBytes(2*blockSize + 3)
	file := sealed(t, h, plain)
	sealing := NewReaderAt(h, bytes.NewReader(plain), int64(len(plain)))
	opening, err := Open(k, sealing, int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			off := i * 200_000
			got := make([]byte, 500_000)
			if _, err := opening.ReadAt(got, int64(off)); err != nil || !bytes.Equal(got, plain[off:off+len(got)]) {
				t.Error("opened", off, err)
			}
			if _, err := sealing.ReadAt(got, int64(off)); err != nil || !bytes.Equal(got, file[off:off+len(got)]) {
				t.Error("sealed", off, err)
			}
		})
	}
	wg.Wait()
}

func TestNegativeOffset(t *testing.T) {
	k := NewKey()
	h := newHeader(t, k)
	file := sealed(t, h, []byte("plain"))
	o, err := Open(k, bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []io.ReaderAt{o, NewReaderAt(h, strings.NewReader("plain"), 5)} {
		if _, err := r.ReadAt(make([]byte, 1), -1); !errors.Is(err, kith.Invalid) {
			t.Error(err)
		}
	}
}

func TestPlainFileShrank(t *testing.T) {
	plain := randomBytes(3 * segmentSize)
	r := NewReaderAt(newHeader(t, NewKey()), bytes.NewReader(plain[:2*segmentSize+9]), int64(len(plain)))
	n, err := r.ReadAt(make([]byte, 3*segmentSize), 0)
	if !errors.Is(err, kith.Gone) || n < 2*sealedSize {
		t.Error(n, err)
	}
}
