// Package utp stands in for github.com/anacrolix/go-libutp, which is libutp in C++: with gcc and no g++ it does not build, and what a person gets would depend on the
// compilers of their machine. It is the pure-Go uTP (BEP 29) that anacrolix/torrent uses without cgo, under the names that it uses with cgo; go.mod puts it in place.
package utp

import (
	"net"

	"github.com/anacrolix/log"
	"github.com/anacrolix/utp"
)

// A FirewallCallback says whether what comes from an address is to be dropped. The pure-Go uTP has no use for it; the client refuses the connection afterwards.
type FirewallCallback func(net.Addr) bool

// A Socket is a UDP socket that speaks uTP, and hands on packets that are none.
type Socket struct{ *utp.Socket }

// An Option of NewSocket.
type Option func()

// WithLogger is there for the sake of the name: the pure-Go uTP logs nothing.
func WithLogger(log.Logger) Option { return func() {} }

// NewSocket opens a socket.
func NewSocket(network, addr string, _ ...Option) (*Socket, error) {
	s, err := utp.NewSocket(network, addr)
	if err != nil {
		return nil, err
	}
	return &Socket{s}, nil
}

// SetSyncFirewallCallback does nothing, see FirewallCallback.
func (*Socket) SetSyncFirewallCallback(FirewallCallback) {}
