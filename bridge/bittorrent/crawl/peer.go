package crawl

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"

	"kith"
	"kith/bridge/bittorrent/metainfo"
)

// Limits of what a peer may send.
const (
	maxMetadata = 4 << 20          // bytes of the metadata of one torrent; that of larger ones is not fetched
	maxMessage  = 4 << 20          // bytes of a message, such as one that says which pieces there are
	maxMessages = 4096             // before all is there
	peerTime    = 20 * time.Second // for all of it
)

const (
	protocol = "\x13BitTorrent protocol"
	extended = 20 // message of BEP 10
	ours     = 1  // id of ut_metadata, in what we are sent
)

// Metadata asks a peer for the metadata of a torrent, over a connection that it does not close, and returns it when its digest is the infohash (BEP 3, 9, 10). It says nothing of what this
// node has, and asks for nothing else.
func Metadata(ctx context.Context, c net.Conn, h kith.InfoHash) ([]byte, error) {
	c.SetDeadline(time.Now().Add(peerTime))
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	raw, err := metadata(c, h)
	if err != nil {
		return nil, fmt.Errorf("bittorrent: ask %s for metadata: %w", c.RemoteAddr(), err)
	}
	return raw, nil
}

func metadata(c io.ReadWriter, h kith.InfoHash) ([]byte, error) {
	hello := []byte(protocol + "\x00\x00\x00\x00\x00\x10\x00\x00")
	hello = append(hello, h[:]...)
	hello = append(hello, "-KI0100-"...)
	hello = append(hello, rand.Text()[:12]...)
	hello = append(hello, message(0, metainfo.Hello{ID: ours}.Encode())...)
	if _, err := c.Write(hello); err != nil {
		return nil, err
	}
	var theirs [68]byte
	if _, err := io.ReadFull(c, theirs[:]); err != nil {
		return nil, err
	}
	if string(theirs[:len(protocol)]) != protocol || !bytes.Equal(theirs[28:48], h[:]) || theirs[25]&0x10 == 0 {
		return nil, fmt.Errorf("it does not take part, or gives no metadata: %w", kith.Unavailable)
	}
	var data []byte
	var have []bool
	left := 0
	for range maxMessages {
		id, payload, err := read(c)
		switch {
		case err != nil:
			return nil, err
		case payload == nil:
		case id == 0 && have == nil:
			p, err := metainfo.ParseHello(payload)
			if err != nil {
				return nil, err
			}
			if p.ID == 0 || p.Size == 0 || p.Size > maxMetadata {
				return nil, fmt.Errorf("it has %d bytes of it: %w", p.Size, kith.Unavailable)
			}
			data = make([]byte, p.Size)
			left = (p.Size + metainfo.ExchangeSize - 1) / metainfo.ExchangeSize
			have = make([]bool, left)
			var ask []byte
			for i := range have {
				ask = append(ask, message(p.ID, metainfo.Exchange{Type: metainfo.ExchangeRequest, Piece: i}.Encode())...)
			}
			if _, err := c.Write(ask); err != nil {
				return nil, err
			}
		case id == ours:
			x, err := metainfo.ParseExchange(payload)
			if err != nil {
				return nil, err
			}
			if x.Type == metainfo.ExchangeRequest {
				continue
			}
			if x.Type != metainfo.ExchangeData || x.Piece >= len(have) || len(x.Data) != min(metainfo.ExchangeSize, len(data)-x.Piece*metainfo.ExchangeSize) {
				return nil, fmt.Errorf("it rejects, or gives another part: %w", kith.Unavailable)
			}
			copy(data[x.Piece*metainfo.ExchangeSize:], x.Data)
			if !have[x.Piece] {
				have[x.Piece] = true
				left--
			}
			if left == 0 {
				return data, is(data, h)
			}
		}
	}
	return nil, fmt.Errorf("more than %d messages: %w", maxMessages, kith.TooLarge)
}

// is returns nil if metadata has an infohash: that of version 1, or the beginning of that of version 2.
func is(raw []byte, h kith.InfoHash) error {
	v2 := sha256.Sum256(raw)
	if kith.InfoHash(sha1.Sum(raw)) != h && kith.InfoHash(v2[:len(h)]) != h {
		return fmt.Errorf("what it gives is not that of the torrent: %w", kith.Corrupt)
	}
	return nil
}

// message frames an extended message.
func message(id byte, payload []byte) []byte {
	m := binary.BigEndian.AppendUint32(nil, uint32(2+len(payload)))
	return append(append(m, extended, id), payload...)
}

// read returns the next message of BEP 10; the payload is nil of any other.
func read(r io.Reader) (id byte, payload []byte, err error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return 0, nil, err
	}
	n := int64(binary.BigEndian.Uint32(size[:]))
	if n > maxMessage {
		return 0, nil, fmt.Errorf("a message of %d bytes: %w", n, kith.TooLarge)
	}
	const head = 2
	if n < head {
		_, err = io.CopyN(io.Discard, r, n)
		return 0, nil, err
	}
	var begin [head]byte
	if _, err := io.ReadFull(r, begin[:]); err != nil {
		return 0, nil, err
	}
	if n -= head; begin[0] != extended || n > metainfo.ExchangeSize+1024 {
		_, err = io.CopyN(io.Discard, r, n)
		return 0, nil, err
	}
	payload = make([]byte, n)
	_, err = io.ReadFull(r, payload)
	return begin[1], payload, err
}
