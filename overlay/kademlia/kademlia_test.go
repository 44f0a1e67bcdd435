package kademlia_test

import (
	"testing"

	"kith/overlay/kademlia"
	"kith/overlay/kbr"
	"kith/overlay/overlaytest"
	"kith/overlay/sim"
)

func TestEngine(t *testing.T) {
	plain := kademlia.Default()
	plain.Alpha, plain.Beta = 1, 1
	overlaytest.Engines{
		New:   func(t *kbr.Table) sim.Kind { return kademlia.New(kademlia.Default(), t) },
		Plain: func(t *kbr.Table) sim.Kind { return kademlia.New(plain, t) },
		Quiet: 20 * kbr.Minute,
	}.Test(t)
}
