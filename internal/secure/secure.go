// Package secure is libp2p's TLS transport for TCP, WebSocket and relays (libp2p specs, tls/tls.md), with certificates of one's own making.
//
// On the wire it is libp2p's; whoever speaks that can speak with it. Its one idea: libp2p lets QUIC's certificates be chosen and TCP's not, and theirs
// begin an hour before they are made, so that two whose clocks differ by more could meet over one and not over the other.
package secure

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/p2p/net/upgrader"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
)

// noMuxer is the ALPN name of a libp2p that agrees on a muxer later.
const noMuxer = "libp2p"

// A Guard changes the configuration of a connection, and passes on the channel by which the other side's key comes once it has been looked at.
type Guard func(conf *tls.Config, keys <-chan crypto.PubKey) <-chan crypto.PubKey

// New returns what constructs the transport. option makes its certificates; guard may change the configuration of each connection (nil: it does not); patience
// is how long a handshake may take.
func New(option libp2ptls.IdentityOption, guard Guard, patience time.Duration) func(protocol.ID, crypto.PrivKey, []upgrader.StreamMuxer) (sec.SecureTransport, error) {
	return func(id protocol.ID, key crypto.PrivKey, muxers []upgrader.StreamMuxer) (sec.SecureTransport, error) {
		t := &secure{id: id, guard: guard, patience: patience}
		var err error
		if t.local, err = peer.IDFromPrivateKey(key); err != nil {
			return nil, err
		}
		if t.identity, err = libp2ptls.NewIdentity(key, option); err != nil {
			return nil, err
		}
		for _, m := range muxers {
			t.alpn = append(t.alpn, string(m.ID))
		}
		t.alpn = append(t.alpn, noMuxer)
		return t, nil
	}
}

type secure struct {
	id       protocol.ID
	local    peer.ID
	identity *libp2ptls.Identity
	alpn     []string // muxers, so that no round trip is needed to agree on one
	guard    Guard
	patience time.Duration
}

// ID implements sec.SecureTransport.
func (t *secure) ID() protocol.ID { return t.id }

// SecureInbound implements sec.SecureTransport.
func (t *secure) SecureInbound(ctx context.Context, raw net.Conn, p peer.ID) (sec.SecureConn, error) {
	return t.handshake(ctx, raw, p, tls.Server)
}

// SecureOutbound implements sec.SecureTransport.
func (t *secure) SecureOutbound(ctx context.Context, raw net.Conn, p peer.ID) (sec.SecureConn, error) {
	return t.handshake(ctx, raw, p, tls.Client)
}

func (t *secure) handshake(ctx context.Context, raw net.Conn, p peer.ID, end func(net.Conn, *tls.Config) *tls.Conn) (_ sec.SecureConn, err error) {
	defer func() {
		if err != nil {
			raw.Close()
		}
	}()
	conf, keys := t.identity.ConfigForPeer(p)
	conf.NextProtos = t.alpn
	if t.guard != nil {
		keys = t.guard(conf, keys)
	}
	ctx, cancel := context.WithTimeout(ctx, t.patience)
	defer cancel()
	c := end(raw, conf)
	if err := c.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	key, ok := <-keys // it is closed once the certificate has been looked at
	if !ok {
		return nil, errors.New("secure: the certificate has not been looked at")
	}
	remote, err := peer.IDFromPublicKey(key)
	if err != nil {
		return nil, fmt.Errorf("secure: %w", err)
	}
	muxer := c.ConnectionState().NegotiatedProtocol
	if muxer == noMuxer {
		muxer = ""
	}
	return &conn{c, t.local, remote, key, network.ConnectionState{StreamMultiplexer: protocol.ID(muxer), UsedEarlyMuxerNegotiation: muxer != ""}}, nil
}

// conn implements sec.SecureConn.
type conn struct {
	*tls.Conn
	local, remote peer.ID
	key           crypto.PubKey
	state         network.ConnectionState
}

func (c *conn) LocalPeer() peer.ID                 { return c.local }
func (c *conn) RemotePeer() peer.ID                { return c.remote }
func (c *conn) RemotePublicKey() crypto.PubKey     { return c.key }
func (c *conn) ConnState() network.ConnectionState { return c.state }
