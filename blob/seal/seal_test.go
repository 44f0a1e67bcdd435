package seal

import (
	"bytes"
	"io"
	"testing"

	"filippo.io/age"
)

// age opens what this package seals.
func TestAgeOpens(t *testing.T) {
	for _, size := range []int{0, 1, segmentSize - 1, segmentSize, segmentSize + 1, 3*segmentSize + 5} {
		k := NewKey()
		h, err := NewHeader(k)
		if err != nil {
			t.Fatal(err)
		}
		plain := bytes.Repeat([]byte("kith"), size)[:size]
		sealed, err := io.ReadAll(io.NewSectionReader(NewReaderAt(h, bytes.NewReader(plain), int64(size)), 0, 1<<40))
		if err != nil || int64(len(sealed)) != SealedSize(h, int64(size)) {
			t.Fatal(size, len(sealed), err)
		}
		id, err := age.ParseX25519Identity(k.Identity())
		if err != nil {
			t.Fatal(err)
		}
		r, err := age.Decrypt(bytes.NewReader(sealed), id)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, plain) {
			t.Fatal(size, err)
		}
		o, err := Open(k, bytes.NewReader(sealed), int64(len(sealed)))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(io.NewSectionReader(o, 0, o.PlainSize())); err != nil || !bytes.Equal(got, plain) {
			t.Fatal(size, err)
		}
	}
}
