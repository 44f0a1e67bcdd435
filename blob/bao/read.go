package bao

import "io"

// Read fills p with the bytes of the blob from off on, both within it, as src has them, and checks every group that it touches. Whole groups are read to where they go,
// others by way of a buffer. On an error n bytes are right, and bad is the group that could not be read or is not what it should be; otherwise bad is -1.
func (t *Tree) Read(src io.ReaderAt, p []byte, off int64) (n int, bad int64, err error) {
	for n < len(p) {
		group := off / GroupSize
		start := group * GroupSize
		whole := min(start+GroupSize, t.size) - start
		rest := int64(len(p) - n)
		if off == start && rest >= whole {
			// as many whole groups as p has room for, or all to the end
			if want := t.size - start; rest >= want {
				rest = want
			} else {
				rest -= rest % GroupSize
			}
			buf := p[n : n+int(rest)]
			if m, err := src.ReadAt(buf, off); m < len(buf) {
				return n, group, err
			}
			if bad, err := t.VerifyRange(group, buf); err != nil {
				good := int(bad-group) * GroupSize
				clear(buf[good:])
				return n + good, bad, err
			}
			n += len(buf)
			off += rest
			continue
		}
		m, err := t.readSome(src, p[n:], off, start, whole)
		if err != nil {
			return n, group, err
		}
		n += m
		off += int64(m)
	}
	return n, -1, nil
}

func (t *Tree) readSome(src io.ReaderAt, p []byte, off, start, whole int64) (int, error) {
	buf := groupBuffers.Get().(*groupBuffer)
	defer groupBuffers.Put(buf)
	if m, err := src.ReadAt(buf[:whole], start); int64(m) < whole {
		return 0, err
	}
	if err := t.Verify(start/GroupSize, buf[:whole]); err != nil {
		return 0, err
	}
	return copy(p, buf[off-start:whole]), nil
}
