package blob

import "kith"

// A Tap sees the bytes of files while Import reads them, for digests other than BLAKE3, so that nothing is read twice. It is asked on several goroutines at once.
type Tap interface {
	// File is called before a file of size bytes is read. What it returns gets all its bytes in order, as they leave this node: those of a private share as
	// ciphertext. nil: this file is of no interest.
	File(size int64) TapFile
}

// A TapFile gets the bytes of one file.
type TapFile interface {
	Write(p []byte) (int, error) // an error ends the import
	// Done is called once: when all bytes were written and are ref, or, with a zero Ref, when it was all in vain.
	Done(ref kith.Ref)
}
