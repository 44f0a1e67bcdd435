package bittorrent

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"

	"kith"
	"kith/bridge/bittorrent/metainfo"
	"kith/internal/plain"
	"kith/transfer"
)

// Web seeds of a folder of version 2 alone are asked here, for the library panics at them (see seedAddress): for what nobody of the swarm has who is connected.

const (
	ownTime  = 2 * time.Minute  // for a piece
	ownAgain = 10 * time.Second // until a server is asked again that has failed, longer each time
	ownChunk = 64 << 10         // bytes after which it is told that something has come
)

// ownSeed is a web seed that is asked here.
type ownSeed struct {
	url   string
	fails int
	until time.Time // it is not asked before
	bytes int64
}

// ownSeed returns the one that has given least of those that may be asked; nil: there is none.
func (s *swarm) ownSeed(now time.Time) (best *ownSeed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.own {
		if now.After(o.until) && (best == nil || o.bytes < best.bytes) {
			best = o
		}
	}
	return best
}

// fromSeeds brings pieces from web seeds that are asked here, until ctx ends or none is left to ask.
func (o *origin) fromSeeds(ctx context.Context, in *metainfo.Info, p *pieces, first, end int, alive func()) {
	for i := first; i < end; i++ {
		for ctx.Err() == nil && !p.complete(i) && !o.s.peerHas(i) {
			seed := o.s.ownSeed(time.Now())
			if seed == nil {
				return
			}
			data, err := o.s.b.fromSeed(ctx, in, seed.url, p.start(i), p.len(i), alive)
			if err == nil && !o.s.rightV2(in, i, data) {
				err = fmt.Errorf("bittorrent: web seed: piece %d is not what the torrent says: %w", i, kith.Corrupt)
			}
			o.s.mu.Lock()
			if err == nil {
				seed.bytes, seed.fails = seed.bytes+int64(len(data)), 0
			} else if ctx.Err() == nil {
				seed.fails++
				seed.until = time.Now().Add(time.Duration(seed.fails) * ownAgain)
			}
			o.s.mu.Unlock()
			if err != nil {
				o.s.b.log.Debug("web seed", "op", "bittorrent", "err", err)
				continue
			}
			p.bring(i, data)
			o.s.t.Piece(i).UpdateCompletion()
		}
	}
}

// fromSeed reads bytes of a torrent, all of one file, from a web seed.
func (b *Bridge) fromSeed(ctx context.Context, in *metainfo.Info, seed string, off, n int64, alive func()) ([]byte, error) {
	u, err := url.Parse(seed)
	if err != nil {
		return nil, fmt.Errorf("bittorrent: web seed: %w: %w", err, kith.Invalid)
	}
	r := &seedReader{client: b.courier.Client(u.RawQuery == ""), agent: "Kith/" + b.o.Version, in: in, seed: seed, off: off, left: n}
	r.ctx, r.cancel = context.WithTimeout(ctx, ownTime)
	defer r.Close()
	refused, err := r.open()
	if err != nil {
		return nil, err
	}
	if refused != nil {
		refused.Body.Close()
		return nil, fmt.Errorf("bittorrent: web seed: %s says %s: %w", plain.Text(u.Host), plain.Text(refused.Status), kith.Unavailable)
	}
	if r.body != nil {
		defer r.body.Close()
	}
	data := make([]byte, n)
	for at := 0; at < len(data); {
		m, err := io.ReadFull(r, data[at:min(len(data), at+ownChunk)])
		if at += m; m > 0 {
			alive()
		}
		if err != nil && !(errors.Is(err, io.EOF) && at == len(data)) {
			return nil, fmt.Errorf("bittorrent: web seed: %w: %w", err, kith.Unavailable)
		}
	}
	return data, nil
}

// rightV2 compares a piece with its digest of version 2.
func (s *swarm) rightV2(in *metainfo.Info, i int, data []byte) bool {
	at := int64(i) * in.PieceLength
	p := pieces{in: in}
	f := in.Files[p.fileAt(at)]
	if f.Size <= in.PieceLength {
		return metainfo.PieceRoot(data, in.PieceLength, true) == f.Root
	}
	s.mu.Lock()
	layer := s.layers[f.Root]
	s.mu.Unlock()
	k := (at - f.Off) / in.PieceLength * sha256.Size
	return int64(len(layer)) >= k+sha256.Size && metainfo.PieceRoot(data, in.PieceLength, false) == [sha256.Size]byte(layer[k:])
}

// ownPeers are the web seeds that are asked here, of those that have given something.
func (s *swarm) ownPeers() (list []transfer.OriginPeer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.own {
		if u, err := url.Parse(o.url); err == nil && o.bytes > 0 {
			list = append(list, transfer.OriginPeer{Name: u.Host, Via: "http", Have: 1, Bytes: o.bytes})
		}
	}
	return list
}
