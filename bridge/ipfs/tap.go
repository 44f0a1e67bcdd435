package ipfs

import (
	"context"
	"math"

	"kith"
	"kith/blob"
	"kith/bridge/ipfs/unixfs"
)

const ln2 = math.Ln2

func exp2(x float64) float64 { return math.Exp2(x) }

// Taps implements bridge.Bridge.
func (b *Bridge) Taps(int, int64) blob.Tap { return taps{b} }

// taps makes the DAG of each file that is imported.
type taps struct{ b *Bridge }

// File implements blob.Tap.
func (t taps) File(size int64) blob.TapFile {
	d := &dag{profile: t.b.profile}
	return &tap{b: t.b, d: d, file: unixfs.NewFile(t.b.profile, size, d)}
}

type tap struct {
	b    *Bridge
	d    *dag
	file *unixfs.File
}

// Write implements blob.TapFile.
func (t *tap) Write(p []byte) (int, error) { return t.file.Write(p) }

// Done implements blob.TapFile.
func (t *tap) Done(ref kith.Ref) {
	if ref.IsZero() {
		return
	}
	var err error
	if t.d.link, err = t.file.Close(); err == nil {
		t.d.ref = ref
		err = t.b.store.later(context.Background(), t.d)
	}
	if err != nil { // the blob is read when it is published
		t.b.log.Warn("names of an imported file not kept", "ref", ref, "err", err)
	}
}
