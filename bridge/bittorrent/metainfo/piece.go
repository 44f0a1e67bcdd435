package metainfo

// Lengths of the pieces of torrents that Kith makes.
const (
	minPiece = 16 << 10
	maxPiece = 16 << 20
	manyMade = 2048    // pieces above which they are made longer
	mostMade = 1 << 16 // pieces that pads may lead to
)

// PieceLength returns the length of the pieces of a torrent with so many files of so many bytes in all. It is a power of two, so that there are 1,000 to 2,000 pieces, but
// shorter where the pads behind many small files would be more than an eighth of what there is: programs that know no pads fetch them.
func PieceLength(files int, bytes int64) int64 {
	n := int64(minPiece)
	for n < maxPiece && (bytes+n-1)/n > manyMade {
		n *= 2
	}
	if files < 2 {
		return n
	}
	for n > minPiece && int64(files)*(n/2) > bytes/8 && bytes/(n/2)+int64(files) <= mostMade {
		n /= 2
	}
	return n
}
