package rendezvous

import (
	"context"
	"errors"
	"net/netip"

	"github.com/ipfs/go-datastore"
)

// nodeSize is the length of a remembered node: its id, its address as IPv6 has it, its port with the high byte first (as in BEP 32's nodes6).
const nodeSize = 20 + 16 + 2

var nodesKey = datastore.NewKey("/kith/mainline/nodes")

// loadNodes reads the remembered nodes of the DHT; what cannot be read is left out.
func loadNodes(ctx context.Context, ds datastore.Datastore) ([]dhtNode, error) {
	data, err := ds.Get(ctx, nodesKey)
	if errors.Is(err, datastore.ErrNotFound) {
		return nil, nil
	}
	return parseNodes(data), err
}

func saveNodes(ctx context.Context, ds datastore.Datastore, list []dhtNode) error {
	return ds.Put(ctx, nodesKey, formatNodes(list))
}

func formatNodes(list []dhtNode) (data []byte) {
	for _, n := range list[:min(len(list), maxRemember)] {
		ip := n.addr.Addr().As16()
		data = append(append(append(data, n.id[:]...), ip[:]...), byte(n.addr.Port()>>8), byte(n.addr.Port()))
	}
	return data
}

func parseNodes(data []byte) (list []dhtNode) {
	for ; len(data) >= nodeSize && len(list) < maxRemember; data = data[nodeSize:] {
		var n dhtNode
		copy(n.id[:], data)
		n.addr = plain(netip.AddrPortFrom(netip.AddrFrom16([16]byte(data[20:36])), uint16(data[36])<<8|uint16(data[37])))
		list = append(list, n)
	}
	return list
}
