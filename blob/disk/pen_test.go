package disk

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// Several write at once, pieces of any size: all is there.
func TestPen(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	want := make([]byte, 5*penStep+17)
	for i := range want {
		want[i] = byte(i >> 10)
	}
	var pen Pen
	var wg sync.WaitGroup
	for off := 0; off < len(want); off += 2*penStep + 1 {
		wg.Go(func() {
			p := want[off:min(off+2*penStep+1, len(want))]
			if n, err := pen.WriteAt(f, p, int64(off)); n != len(p) || err != nil {
				t.Error(n, err)
			}
		})
	}
	wg.Wait()
	if got, err := os.ReadFile(f.Name()); err != nil || !bytes.Equal(got, want) {
		t.Error("what was written is not there:", err)
	}
	f.Close()
	if n, err := pen.WriteAt(f, want, 0); n != 0 || !errors.Is(err, fs.ErrClosed) {
		t.Error(n, err)
	}
}
