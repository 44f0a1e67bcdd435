// Package utp stands in for github.com/anacrolix/go-utp, which chooses libutp in C++ where there is cgo: with gcc and no g++ that does not build, and what a person gets would depend on
// the compilers of their machine. It is the pure-Go uTP (BEP 29) that anacrolix/torrent uses without cgo, under the names of go-utp; go.mod puts it in place.
package utp

import (
	"context"
	"log/slog"
	"net"

	"github.com/anacrolix/utp"
)

// Default is what there is to choose.
const Default = "pure Go"

// A FirewallCallback says whether what comes from an address is to be dropped. The pure-Go uTP has no use for it; the client refuses the connection afterwards.
type FirewallCallback func(net.Addr) bool

// A Socket is a UDP socket that speaks uTP, and hands on packets that are none.
type Socket interface {
	net.PacketConn
	Accept() (net.Conn, error)
	Addr() net.Addr
	DialContext(ctx context.Context, network, addr string) (net.Conn, error)
	SetFirewallCallback(FirewallCallback)
}

type socket struct{ *utp.Socket }

// An Option of NewSocket.
type Option func()

// WithLogger is there for the sake of the name: the pure-Go uTP logs nothing.
func WithLogger(*slog.Logger) Option { return func() {} }

// NewSocket opens a socket.
func NewSocket(network, addr string, _ ...Option) (Socket, error) {
	return wrap(utp.NewSocket(network, addr))
}

// NewSocketFromPacketConn has a socket of one that is open.
func NewSocketFromPacketConn(pc net.PacketConn, _ ...Option) (Socket, error) {
	return wrap(utp.NewSocketFromPacketConn(pc))
}

func wrap(s *utp.Socket, err error) (Socket, error) {
	if err != nil {
		return nil, err
	}
	return socket{s}, nil
}

// Close ends the connections and frees the port at once: the pure-Go uTP would keep it until the peers have said that they heard.
func (s socket) Close() error { return s.CloseNow() }

// SetFirewallCallback does nothing, see FirewallCallback.
func (socket) SetFirewallCallback(FirewallCallback) {}
