package disk

import (
	"os"
	"sync"
)

// penStep is how much is written at once. The page cache takes its memory in one piece for each write, if it can: pieces of up to 32 KiB are at hand, since they were given back
// a moment ago, while larger ones are cold, and in a virtual machine memory that its host first has to give. docs/performance.md has the numbers.
const penStep = 32 << 10

// A Pen writes to one file, for several who do so at once. One after the other, since they would only spin in the kernel for the lock of the file.
type Pen struct{ mu sync.Mutex }

// WriteAt is f.WriteAt.
func (w *Pen) WriteAt(f *os.File, p []byte, off int64) (n int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for n < len(p) && err == nil {
		var m int
		m, err = f.WriteAt(p[n:min(n+penStep, len(p))], off+int64(n))
		n += m
	}
	return n, err
}
