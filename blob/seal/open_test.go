package seal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kith"

	"filippo.io/age"
)

func TestWrongKey(t *testing.T) {
	file := sealed(t, newHeader(t, NewKey()), []byte("private"))
	_, err := opened(NewKey(), file)
	if !errors.Is(err, kith.Denied) || kith.HintOf(err) != "the key in the link does not open this" {
		t.Error(err, kith.HintOf(err))
	}
}

// Every bit of the header counts, and so does every byte of the payload, in its own segment.
func TestTampering(t *testing.T) {
	k := NewKey()
	h := newHeader(t, k)
	plain := randomBytes(2*segmentSize + 100)
	file := sealed(t, h, plain)
	for bit := range h.size() * 8 {
		bad := bytes.Clone(file)
		bad[bit/8] ^= 1 << (bit % 8)
		if got, err := opened(k, bad); !errors.Is(err, kith.Corrupt) && !errors.Is(err, kith.Denied) || len(got) > 0 {
			t.Fatalf("bit %d of the header: %d bytes, %v", bit, len(got), err)
		}
	}
	for at := h.size(); at < int64(len(file)); at += 997 {
		bad := bytes.Clone(file)
		bad[at] ^= 0x10
		o, err := Open(k, bytes.NewReader(bad), int64(len(bad)))
		if err != nil {
			t.Fatal(err)
		}
		for off := int64(0); off < int64(len(plain)); off += segmentSize {
			got := make([]byte, 100)
			_, err := o.ReadAt(got, off)
			if wrong := off/segmentSize == (at-h.size())/sealedSize; wrong != errors.Is(err, kith.Corrupt) ||
				!wrong && !bytes.Equal(got, plain[off:off+100]) {
				t.Fatalf("byte %d is wrong: read at %d: %v", at, off, err)
			}
		}
	}
}

// payload makes the payload of segments, of which those before a nil are marked as the last.
func payload(h Header, segments ...[]byte) []byte {
	s := newStream(h, seal, part{})
	file := append(bytes.Clone(h.Bytes), h.Nonce[:]...)
	i := 0
	for j, segment := range segments {
		if segment == nil {
			continue
		}
		nonce := make([]byte, 12)
		nonce[10] = byte(i)
		if j+1 < len(segments) && segments[j+1] == nil {
			nonce[11] = 1
		}
		file = s.aead.Seal(file, nonce, segment, nil)
		i++
	}
	return file
}

// Files that are put together wrongly, by somebody who has the key, are refused, and age does the same.
func TestMalformedPayloads(t *testing.T) {
	k := NewKey()
	h := newHeader(t, k)
	full, short, empty := make([]byte, segmentSize), []byte("short"), []byte{}
	for _, c := range []struct {
		name string
		file []byte
		ok   bool
	}{
		{"short", payload(h, short, nil), true},
		{"empty", payload(h, empty, nil), true},
		{"full", payload(h, full, nil), true},
		{"full, short", payload(h, full, short, nil), true},
		{"nothing", payload(h), false},
		{"short, not last", payload(h, short), false},
		{"empty, not last", payload(h, empty), false},
		{"full, not last", payload(h, full), false},
		{"full, empty", payload(h, full, empty, nil), false},
		{"full, full, not last", payload(h, full, full), false},
		{"last, last", payload(h, full, nil, short, nil), false},
		{"full, last, nothing", payload(h, full, nil, full), false},
		{"short, short", payload(h, short, short, nil), false},
		{"a byte too many", append(payload(h, short, nil), 0), false},
		{"a byte too many after full", append(payload(h, full, nil), 0), false},
		{"a tag too many after full", append(payload(h, full, nil), make([]byte, tagSize)...), false},
		{"a byte too few", payload(h, full, short, nil)[:h.size()+sealedSize+5+tagSize-1], false},
		{"cut in the tag", payload(h, full, short, nil)[:h.size()+sealedSize+3], false},
		{"cut in the nonce", payload(h)[:h.size()-1], false},
	} {
		_, err := opened(k, c.file)
		if (err == nil) != c.ok || err != nil && !errors.Is(err, kith.Corrupt) {
			t.Errorf("%s: %v", c.name, err)
		}
		r, err := age.Decrypt(bytes.NewReader(c.file), identity(t, k))
		if err == nil {
			_, err = io.Copy(io.Discard, r)
		}
		if (err == nil) != c.ok {
			t.Errorf("%s: age says %v", c.name, err)
		}
	}
}

func TestHeaderLimits(t *testing.T) {
	k := NewKey()
	to := func(n int) []byte {
		var recipients []age.Recipient
		for range n - 1 {
			recipients = append(recipients, identity(t, NewKey()).Recipient())
		}
		var file bytes.Buffer
		w, err := age.Encrypt(&file, append(recipients, identity(t, k).Recipient())...)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return file.Bytes()
	}
	if _, err := opened(k, to(MaxStanzas)); err != nil {
		t.Error(err)
	}
	if _, err := opened(k, to(MaxStanzas+1)); !errors.Is(err, kith.TooLarge) {
		t.Error(err)
	}
	if _, err := opened(k, to(200)); !errors.Is(err, kith.Corrupt) { // longer than MaxHeader
		t.Error(err)
	}
	for _, text := range []string{
		"", "age", "age-encryption.org/v1\n", "age-encryption.org/v2\n-> X25519 a\n", strings.Repeat("x", 1<<20),
	} {
		if _, err := opened(k, []byte(text)); !errors.Is(err, kith.Corrupt) {
			t.Errorf("%.20q: %v", text, err)
		}
	}
	if _, err := Open(k, strings.NewReader("x"), -1); !errors.Is(err, kith.Corrupt) {
		t.Error(err)
	}
}

// failing is a file that cannot be read or written.
type failing struct{ err error }

func (f failing) ReadAt([]byte, int64) (int, error)  { return 0, f.err }
func (f failing) WriteAt([]byte, int64) (int, error) { return 0, f.err }
func (f failing) Write([]byte) (int, error)          { return 0, f.err }

// What is not here yet, of a file that is being fetched, is said as the store says it.
func TestErrorsOfTheFilePass(t *testing.T) {
	k := NewKey()
	missing := fmt.Errorf("blob: group 0: %w", kith.NotFound)
	if _, err := Open(k, failing{missing}, 1000); !errors.Is(err, kith.NotFound) {
		t.Error(err)
	}
	r := NewReaderAt(newHeader(t, k), failing{missing}, blockSize)
	if _, err := r.ReadAt(make([]byte, blockSize), 0); !errors.Is(err, kith.NotFound) {
		t.Error(err)
	}
}

func TestDecrypt(t *testing.T) {
	k := NewKey()
	for _, size := range sizes {
		plain := randomBytes(size)
		file := sealed(t, newHeader(t, k), plain)
		o, err := Open(k, bytes.NewReader(file), int64(len(file)))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "plain")
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		var told int64
		err = o.Decrypt(t.Context(), f, func(done int64) {
			if done <= told {
				t.Errorf("%d done after %d", done, told)
			}
			told = done
		})
		if err != nil || told != int64(size) {
			t.Errorf("%d bytes: %v, progress %d", size, err, told)
		}
		f.Close()
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

func TestDecryptFails(t *testing.T) {
	k := NewKey()
	plain := randomBytes(3 * blockSize)
	file := sealed(t, newHeader(t, k), plain)
	bad := bytes.Clone(file)
	bad[2*blockSize] ^= 1
	empty := sealed(t, newHeader(t, k), nil)
	empty[len(empty)-1] ^= 1
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	broken := errors.New("broken")
	for _, c := range []struct {
		name string
		ctx  context.Context
		file []byte
		err  error // of writing
		want error
	}{
		{"canceled", canceled, file, nil, context.Canceled},
		{"tampered", t.Context(), bad, nil, kith.Corrupt},
		{"empty and tampered", t.Context(), empty, nil, kith.Corrupt},
		{"write", t.Context(), file, broken, broken},
	} {
		o, err := Open(k, bytes.NewReader(c.file), int64(len(c.file)))
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.Create(filepath.Join(t.TempDir(), "plain"))
		if err != nil {
			t.Fatal(err)
		}
		var at io.WriterAt = f
		var w io.Writer = f
		if c.err != nil {
			at, w = failing{c.err}, failing{c.err}
		}
		if err := o.Decrypt(c.ctx, at, nil); !errors.Is(err, c.want) {
			t.Errorf("%s: Decrypt: %v", c.name, err)
		}
		if _, err := o.WriteTo(w); c.ctx.Err() == nil && !errors.Is(err, c.want) {
			t.Errorf("%s: WriteTo: %v", c.name, err)
		}
		f.Close()
	}
}

// Whatever opens is what its Header and plaintext make again, and age opens it too.
func FuzzOpen(f *testing.F) {
	k := Key{1, 2, 3}
	for _, size := range []int{0, 1, 100} {
		file := sealed(f, newHeader(f, k), randomBytes(size))
		f.Add(file)
		f.Add(file[:len(file)-1])
		f.Add(bytes.Replace(file, []byte("-> X25519"), []byte("-> other\n\n-> X25519"), 1))
	}
	f.Add(sealed(f, newHeader(f, NewKey()), []byte("for another key")))
	f.Fuzz(func(t *testing.T, file []byte) {
		plain, err := opened(k, file)
		if err != nil {
			if kind := kith.KindOf(err); kind != kith.Corrupt && kind != kith.Denied && kind != kith.TooLarge {
				t.Fatal(err)
			}
			return
		}
		o, err := Open(k, bytes.NewReader(file), int64(len(file)))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(sealed(t, o.Header(), plain), file) {
			t.Fatal("sealed again it is another file")
		}
		r, err := age.Decrypt(bytes.NewReader(file), identity(t, k))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, plain) {
			t.Fatal("age reads something else", err)
		}
	})
}
