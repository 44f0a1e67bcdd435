package tee

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"kith"
	"kith/blob/bao"
)

type writer func(p []byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

// Whatever the size, the tree is BLAKE3's, and each tap has all bytes in order, however slow it is.
func TestBuild(t *testing.T) {
	const seg = bao.SegmentSize
	for _, size := range []int64{0, 1, bao.GroupSize, bao.GroupSize + 1, seg - 1, seg, seg + 1, 2 * seg, 20*seg + 77} {
		data := make([]byte, size)
		rand.NewChaCha8([32]byte{byte(size)}).Read(data)
		want, tree := make(bao.Memory, bao.OutboardSize(size)), make(bao.Memory, bao.OutboardSize(size))
		sum, err := bao.Build(t.Context(), bytes.NewReader(data), size, want, nil)
		if err != nil {
			t.Fatal(err)
		}
		var quick, slow bytes.Buffer
		var told []int64
		got, err := Build(t.Context(), bytes.NewReader(data), size, tree, []io.Writer{&quick, writer(func(p []byte) (int, error) {
			time.Sleep(time.Millisecond)
			return slow.Write(p)
		})}, func(n int64) { told = append(told, n) })
		if err != nil || got != sum || !bytes.Equal(tree, want) || !bytes.Equal(quick.Bytes(), data) || !bytes.Equal(slow.Bytes(), data) {
			t.Errorf("%d bytes: %v", size, err)
		}
		if size > 0 && told[len(told)-1] != size {
			t.Errorf("%d bytes: told %v", size, told)
		}
	}
}

func TestBuildFails(t *testing.T) {
	broken := errors.New("broken")
	for _, size := range []int64{100_000, 20 * bao.SegmentSize} {
		data := bytes.NewReader(make([]byte, size))
		for after := range 3 {
			n := 0
			bad := writer(func(p []byte) (int, error) {
				if n++; n > after {
					return 0, broken
				}
				return len(p), nil
			})
			_, err := Build(t.Context(), data, size, nil, []io.Writer{io.Discard, bad, io.Discard}, nil)
			if calls := int(size/bao.SegmentSize) + 1; after < calls && (!errors.Is(err, broken) || !errors.As(err, new(*Error))) {
				t.Errorf("%d bytes, fails after %d: %v", size, after, err)
			}
		}
		if _, err := Build(t.Context(), data, size+1, nil, []io.Writer{io.Discard}, nil); !errors.Is(err, kith.Gone) {
			t.Errorf("a file that is too short: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := Build(ctx, data, size, nil, []io.Writer{io.Discard}, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		sick := fmt.Errorf("bad sector")
		if _, err := Build(t.Context(), sickReader{sick}, size, nil, []io.Writer{io.Discard}, nil); !errors.Is(err, sick) || errors.As(err, new(*Error)) {
			t.Errorf("cannot be read: %v", err)
		}
	}
}

type sickReader struct{ err error }

func (r sickReader) ReadAt([]byte, int64) (int, error) { return 0, r.err }
