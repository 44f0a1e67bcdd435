package kith

import (
	"reflect"
	"testing"
)

// TestJoin: what two links to the same content say, each thing once.
func TestJoin(t *testing.T) {
	a := Link{Name: "film", Swarm: []string{"192.0.2.1:1"}, Names: Names{V1: InfoHash{1}, Trackers: []string{"http://a", "http://b"}}}
	b := Link{Swarm: []string{"192.0.2.1:1", "192.0.2.2:2"}, Gateways: []string{"https://g"}, Names: Names{V1: InfoHash{1}, V2: [32]byte{2}, Trackers: []string{"http://b", "http://c"}, Source: "https://s"}}
	want := Link{Name: "film", Swarm: []string{"192.0.2.1:1", "192.0.2.2:2"}, Gateways: []string{"https://g"},
		Names: Names{V1: InfoHash{1}, V2: [32]byte{2}, Trackers: []string{"http://a", "http://b", "http://c"}, Source: "https://s"}}
	if got := a.Join(b); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	if len(a.Swarm) != 1 || len(a.Trackers) != 2 {
		t.Error("it changes what it is of")
	}
	if again := want.Join(a); !reflect.DeepEqual(again, want) {
		t.Errorf("%+v", again)
	}
}
