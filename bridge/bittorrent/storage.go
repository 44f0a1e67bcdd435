package bittorrent

import (
	"context"
	"io"

	"github.com/anacrolix/torrent/metainfo"
	"github.com/anacrolix/torrent/storage"
)

// storing gives the library pieces to store in. It is a storage.ClientImpl of one torrent.
type storing struct{ *pieces }

// OpenTorrent implements storage.ClientImpl. The library's lock is held.
func (s storing) OpenTorrent(context.Context, *metainfo.Info, metainfo.Hash) (storage.TorrentImpl, error) {
	return storage.TorrentImpl{
		Piece:     func(p metainfo.Piece) storage.PieceImpl { return piece{s.pieces, p.Index()} },
		NewReader: func() storage.TorrentReader { return linear(s) },
		Close:     func() error { return nil },
	}, nil
}

// linear reads pieces as one row of bytes.
type linear struct{ *pieces }

// ReadAt implements io.ReaderAt.
func (l linear) ReadAt(b []byte, off int64) (int, error) { return l.readAt(b, off) }

// Close implements io.Closer.
func (linear) Close() error { return nil }

// piece is one of them.
type piece struct {
	p *pieces
	i int
}

var _ io.WriterTo = piece{}

// ReadAt implements storage.PieceImpl.
func (p piece) ReadAt(b []byte, off int64) (int, error) {
	b = b[:min(int64(len(b)), max(0, p.p.len(p.i)-off))]
	return p.p.readAt(b, p.p.start(p.i)+off)
}

// WriteAt implements storage.PieceImpl.
func (p piece) WriteAt(b []byte, off int64) (int, error) { return len(b), p.p.write(p.i, b, off) }

// WriteTo implements io.WriterTo: the library hashes what is written.
func (p piece) WriteTo(w io.Writer) (int64, error) { return p.p.writeTo(w, p.i) }

// MarkComplete implements storage.PieceImpl.
func (p piece) MarkComplete() error {
	p.p.checked(p.i, true)
	return nil
}

// MarkNotComplete implements storage.PieceImpl.
func (p piece) MarkNotComplete() error {
	p.p.checked(p.i, false)
	return nil
}

// Completion implements storage.PieceImpl.
func (p piece) Completion() storage.Completion {
	return storage.Completion{Ok: true, Complete: p.p.complete(p.i)}
}
