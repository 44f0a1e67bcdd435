package ipfs

import (
	"context"
	"crypto/sha256"
	"fmt"

	bsmsg "github.com/ipfs/boxo/bitswap/message"
	"github.com/ipfs/boxo/blockstore"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multihash"

	"kith"
	"kith/bridge/ipfs/unixfs"
)

// maxBlock bounds a block, in bytes.
const maxBlock = unixfs.MaxBlock

// emptySum is the digest of nothing. Programs on boxo do not give the empty block away (bitswap leaves out blocks of size 0), and nobody needs to.
var emptySum = sha256.Sum256(nil)

// inline returns the block that a CID itself tells, if it does.
func inline(c cid.Cid) ([]byte, bool) {
	d, err := multihash.Decode(c.Hash())
	switch {
	case err != nil:
		return nil, false
	case d.Code == multihash.IDENTITY:
		return d.Digest, true
	case d.Code == multihash.SHA2_256 && string(d.Digest) == string(emptySum[:]):
		return []byte{}, true
	}
	return nil, false
}

// forPeers returns a block that anybody may have: of what is published, of what is being fetched, of what is pinned.
func (b *Bridge) forPeers(ctx context.Context, c cid.Cid) ([]byte, string, error) {
	data, share, err := b.store.block(ctx, c)
	if err == nil {
		return data, share, nil
	}
	if data, err := b.moves.block(c); err == nil {
		return data, "", nil
	}
	data, err = b.cache.get(ctx, c, true)
	return data, "", err
}

// here returns a block that is here, whoever may have it. It is for this person alone.
func (b *Bridge) here(ctx context.Context, c cid.Cid) ([]byte, error) {
	if data, ok := inline(c); ok {
		return data, nil
	}
	data, _, err := b.store.block(ctx, c)
	if err == nil {
		return data, nil
	}
	if data, err := b.moves.block(c); err == nil {
		return data, nil
	}
	return b.cache.get(ctx, c, false)
}

// peerStore is what peers are answered from. It implements blockstore.Blockstore, and nothing can be put into it.
type peerStore struct{ b *Bridge }

var _ blockstore.Blockstore = peerStore{}

// Get implements blockstore.Blockstore.
func (s peerStore) Get(ctx context.Context, c cid.Cid) (blocks.Block, error) {
	data, share, err := s.b.forPeers(ctx, c)
	if err != nil {
		return nil, absent(c, err)
	}
	if share != "" {
		s.b.store.sent(share, len(data))
	}
	return blocks.NewBlockWithCid(data, c)
}

// GetSize implements blockstore.Blockstore.
func (s peerStore) GetSize(ctx context.Context, c cid.Cid) (int, error) {
	if places, err := s.b.store.where(ctx, c); err == nil {
		return max(1, places[0].size()), nil // see emptySum: so the empty block goes out all the same
	}
	if n, ok := s.b.moves.size(c); ok {
		return n, nil
	}
	n, err := s.b.cache.size(ctx, c, true)
	return n, absent(c, err)
}

// Has implements blockstore.Blockstore.
func (s peerStore) Has(ctx context.Context, c cid.Cid) (bool, error) {
	_, err := s.GetSize(ctx, c)
	if ipld.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// Put implements blockstore.Blockstore.
func (peerStore) Put(context.Context, blocks.Block) error { return nil }

// PutMany implements blockstore.Blockstore.
func (peerStore) PutMany(context.Context, []blocks.Block) error { return nil }

// DeleteBlock implements blockstore.Blockstore.
func (peerStore) DeleteBlock(context.Context, cid.Cid) error { return nil }

// AllKeysChan implements blockstore.Blockstore. What is here is nobody's to list.
func (peerStore) AllKeysChan(context.Context) (<-chan cid.Cid, error) {
	return nil, fmt.Errorf("ipfs: list of blocks: %w", kith.Denied)
}

// absent says in the words of IPFS that a block is not here.
func absent(c cid.Cid, err error) error {
	switch kith.KindOf(err) {
	case kith.NotFound, kith.Gone:
		return ipld.ErrNotFound{Cid: c}
	}
	return err
}

// tracer counts what peers send, and hears what they say that they have. It implements tracer.Tracer.
type tracer struct{ b *Bridge }

// MessageReceived implements tracer.Tracer.
func (t tracer) MessageReceived(p peer.ID, m bsmsg.BitSwapMessage) {
	for _, block := range m.Blocks() {
		t.b.moves.received(p, block.Cid(), len(block.RawData()), "bitswap")
	}
	t.b.moves.heard(p, m)
}

// MessageSent implements tracer.Tracer.
func (t tracer) MessageSent(p peer.ID, m bsmsg.BitSwapMessage) {
	for _, block := range m.Blocks() {
		t.b.moves.sent(p, block.Cid(), len(block.RawData()))
	}
}
