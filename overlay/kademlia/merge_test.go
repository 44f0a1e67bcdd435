package kademlia_test

import (
	"testing"

	"kith/overlay/kademlia"
	"kith/overlay/kbr"
	"kith/overlay/overlaytest"
	"kith/overlay/sim"
)

func TestMerge(t *testing.T) {
	overlaytest.Merging(func(_ uint64, t *kbr.Table) sim.Kind { return kademlia.New(kademlia.Default(), t) }).Test(t)
}
