// Package network is one libp2p host: how a node reaches others and is reached.
package network

import (
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// A Stream is a conversation with a peer whose id has been proven. Closing it ends both directions.
type Stream interface {
	io.ReadWriteCloser
	CloseWrite() error // the other side reads io.EOF
	Reset() error      // the other side gets an error
	SetDeadline(t time.Time) error
	SetReadDeadline(t time.Time) error
	SetWriteDeadline(t time.Time) error
	Peer() peer.ID
	Bulk() bool // it has a TCP connection of its own, without a muxer
}

// Network is a running host.
type Network struct{}
