package node

import "github.com/prometheus/client_golang/prometheus"

// Metrics returns what /metrics shows of the node beside its process.
func (n *Node) Metrics() []prometheus.Collector {
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "kith", Name: name, Help: help}, value)
	}
	return []prometheus.Collector{
		gauge("peers", "Peers that the node is connected to.", func() float64 { return float64(len(n.net.Host().Network().Peers())) }),
		gauge("overlay_peers", "Peers in the overlay's routing table.", func() float64 { return float64(n.routes.Size()) }),
		gauge("receive_bytes_per_second", "Content coming in, lately.", func() float64 { down, _ := n.moves.Rates(); return down }),
		gauge("send_bytes_per_second", "Content going out, lately.", func() float64 { _, up := n.moves.Rates(); return up }),
		gauge("stored_bytes", "Bytes that Kith keeps itself.", func() float64 {
			stored, err := n.blobs.Stored(n.ctx)
			if err != nil {
				return -1
			}
			return float64(stored)
		}),
	}
}
