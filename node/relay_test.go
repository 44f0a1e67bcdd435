package node

import (
	"errors"
	"strings"
	"testing"

	"kith"
)

// What is set is shown, in numbers and in words; what makes no sense changes nothing.
func TestRelayOp(t *testing.T) {
	n := open(t, t.TempDir())
	out, err := n.setRelay(t.Context(), RelayIn{For: "strangers", Data: "128MiB", Rate: "2MiB"})
	if err != nil || out.For != "strangers" || out.Data != 128<<20 || out.Rate != 2<<20 || out.On {
		t.Fatalf("%+v, %v", out, err)
	}
	if out, err = n.setRelay(t.Context(), RelayIn{Metered: "yes"}); err != nil || !out.Metered || out.For != "strangers" || !strings.HasPrefix(out.Says, "contacts: 128 MiB") {
		t.Errorf("%+v, %v", out, err)
	}
	for _, in := range []RelayIn{{Data: "much"}, {Rate: "1"}, {For: "all"}} {
		if _, err := n.setRelay(t.Context(), in); !errors.Is(err, kith.Invalid) {
			t.Errorf("%+v: %v", in, err)
		}
	}
	if now, err := n.setRelay(t.Context(), RelayIn{}); err != nil || now.Data != out.Data || now.Metered != out.Metered {
		t.Errorf("%+v, %v", now, err)
	}
	var text strings.Builder
	if err := out.WriteText(&text, 80); err != nil || !strings.Contains(text.String(), "has not been found reachable") {
		t.Errorf("%s%v", text.String(), err)
	}
}
