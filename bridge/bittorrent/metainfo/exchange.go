package metainfo

import (
	"fmt"

	"kith"
)

// ExchangeSize is how many bytes of an info dictionary one message brings (BEP 9).
const ExchangeSize = 16 << 10

// Types of an Exchange.
const (
	ExchangeRequest = iota
	ExchangeData
	ExchangeReject
)

// An Exchange is a message by which peers give each other the info dictionary (BEP 9, ut_metadata).
type Exchange struct {
	Type  int
	Piece int
	Total int    // bytes of the info dictionary, of data
	Data  []byte // the end of the message that was parsed
}

// ParseExchange reads a message. Its error is Invalid.
func ParseExchange(payload []byte) (Exchange, error) {
	d := decoder{all: payload, left: 64}
	v, err := d.value(maxDepth - 2)
	if err != nil {
		return Exchange{}, fmt.Errorf("metainfo: read message: %w", err)
	}
	m, _ := v.(dict)
	r := reader{d: m}
	typ, ok1 := r.number("msg_type")
	piece, ok2 := r.number("piece")
	total, _ := r.number("total_size")
	rest := payload[d.at:]
	switch {
	case r.err != nil:
		return Exchange{}, fmt.Errorf("metainfo: read message: %w", r.err)
	case !ok1 || !ok2 || typ < 0 || typ > ExchangeReject || piece < 0 || piece > MaxInfo/ExchangeSize || total < 0 || total > 1<<31-1:
		return Exchange{}, fmt.Errorf("metainfo: read message: it is none: %w", kith.Invalid)
	case typ == ExchangeData && (len(rest) == 0 || len(rest) > ExchangeSize), typ != ExchangeData && len(rest) != 0:
		return Exchange{}, fmt.Errorf("metainfo: read message: %d bytes of data: %w", len(rest), kith.Invalid)
	}
	return Exchange{int(typ), int(piece), int(total), rest}, nil
}

// Encode returns the message.
func (x Exchange) Encode() []byte {
	var e encoder
	e.WriteByte('d')
	e.pair("msg_type", int64(x.Type))
	e.pair("piece", int64(x.Piece))
	if x.Type == ExchangeData {
		e.pair("total_size", int64(x.Total))
	}
	e.WriteByte('e')
	e.Write(x.Data)
	return e.Bytes()
}

// A Hello is what of a peer's first extended message (BEP 10) says how to ask it for the info dictionary.
type Hello struct {
	ID   byte // of its messages of ut_metadata; 0: it gives none
	Size int  // bytes of the info dictionary; 0: it does not have it
}

// ParseHello reads one. Its error is Invalid.
func ParseHello(payload []byte) (Hello, error) {
	d := decoder{all: payload, left: 1024}
	v, err := d.value(maxDepth - 4)
	if err != nil {
		return Hello{}, fmt.Errorf("metainfo: read handshake: %w", err)
	}
	top, _ := v.(dict)
	r := reader{d: top}
	size, _ := r.number("metadata_size")
	m, _ := top.get("m").(dict)
	in := reader{d: m}
	id, _ := in.number("ut_metadata")
	if r.err != nil || in.err != nil || id < 0 || id > 255 || size < 0 || size > 1<<31-1 {
		return Hello{}, fmt.Errorf("metainfo: read handshake: it is none: %w", kith.Invalid)
	}
	return Hello{byte(id), int(size)}, nil
}

// Encode returns the message.
func (h Hello) Encode() []byte {
	var e encoder
	e.WriteString("d1:md")
	e.pair("ut_metadata", int64(h.ID))
	e.WriteByte('e')
	if h.Size > 0 {
		e.pair("metadata_size", int64(h.Size))
	}
	e.WriteByte('e')
	return e.Bytes()
}
