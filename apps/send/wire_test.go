package send

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"math"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/wire"
)

// vector is an exchange as docs/protocol.md has it.
type vector struct {
	Offer   message `json:"offer"`
	Bytes   string  `json:"bytes"`
	Reply   reply   `json:"reply"`
	Replied string  `json:"replied"`
	State   message `json:"state"`
	Stated  string  `json:"stated"`
}

func frame(t testing.TB, v any) string {
	t.Helper()
	var b bytes.Buffer
	if err := wire.WriteMsg(&b, v); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(b.Bytes())
}

// The document's frames are what this code sends, and what it takes for the same.
func TestVector(t *testing.T) {
	doc, err := os.ReadFile("../../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```json delivery\n(.*?)\n```").FindSubmatch(doc)
	var v vector
	if m == nil {
		t.Fatal("docs/protocol.md has no vector of a delivery")
	}
	if err := json.Unmarshal(m[1], &v); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, have string
		value      any
	}{{"offer", v.Bytes, v.Offer}, {"reply", v.Replied, v.Reply}, {"state", v.Stated, v.State}} {
		if want := frame(t, c.value); c.have != want {
			t.Errorf("%s: the document has %s, the code sends %s", c.name, c.have, want)
		}
		data, err := hex.DecodeString(c.have)
		if err != nil {
			t.Fatal(err)
		}
		back := reflect.New(reflect.TypeOf(c.value))
		if err := wire.ReadMsg(bufio.NewReader(bytes.NewReader(data)), maxFrame, back.Interface()); err != nil || !reflect.DeepEqual(back.Elem().Interface(), c.value) {
			t.Errorf("%s is read as %+v: %v", c.name, back.Elem(), err)
		}
	}
	if err := v.Offer.check(); err != nil {
		t.Error(err)
	}
	if err := v.State.check(); err != nil {
		t.Error(err)
	}
}

// FuzzHear gives an engine whatever a contact may send, twice, between what is known already; then it lets time pass and decides.
func FuzzHear(f *testing.F) {
	add := func(m message) {
		var b bytes.Buffer
		if err := wire.WriteMsg(&b, m); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	add(message{Kind: kindOffer, ID: long("b"), Name: "film", Size: 7, Files: 1, Note: "hi", Link: linkOf("b"), Until: epoch.Unix() + 1000})
	add(message{Kind: kindOffer, ID: long("a"), Name: "film", Size: math.MaxInt64, Files: math.MaxInt64, Link: linkOf("a"), Until: math.MaxInt64})
	add(message{Kind: kindState, ID: long("c"), State: taking, Done: math.MinInt64, Rate: math.Inf(1)})
	add(message{Kind: kindState, ID: long("c"), State: delivered})
	add(message{Kind: kindState, ID: long("c"), State: stuck, Reason: strings.Repeat("x", maxReason)})
	add(message{Kind: kindEnd, ID: long("a"), State: expired})
	f.Add([]byte{})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x0f})
	anna := peer.ID("anna")
	f.Fuzz(func(t *testing.T, data []byte) {
		var m message
		if wire.ReadMsg(bufio.NewReader(bytes.NewReader(data)), maxFrame, &m) != nil {
			return
		}
		e := newEngine(contacts{"anna": {anna}})
		e.setAuto("anna", 1000, false)
		e.hear(epoch, anna, message{Kind: kindOffer, ID: long("a"), Name: "one", Size: 5, Link: linkOf("a"), Until: epoch.Unix() + 1000})
		e.send(epoch, outgoing{ID: long("c"), To: "anna", Until: epoch.Add(lifetime)})
		e.hasRead(epoch, long("c"), refOf("c"), "two", 9, 1, nil)
		if _, err := e.hear(epoch, "mallory", m); kith.KindOf(err) != kith.Denied {
			t.Errorf("a stranger is heard: %v", err)
		}
		first, err := e.hear(epoch, anna, m)
		if err != nil && kith.KindOf(err) != kith.Invalid {
			t.Fatalf("%v", err)
		}
		again, err2 := e.hear(epoch, anna, m)
		if (err == nil) != (err2 == nil) || err == nil && m.Kind == kindOffer && first.State != again.State {
			t.Errorf("once it is answered %+v %v, then %+v %v", first, err, again, err2)
		}
		e.tick(epoch.Add(lifetime * 2))
		for _, i := range e.in {
			if len(i.Name) > maxName || len(i.Note) > maxNote || len(i.Reason) > maxReason || i.done < 0 {
				t.Errorf("kept: %+v", i)
			}
			inText(i)
			inNext(i)
		}
		for _, o := range e.out {
			if len(o.Reason) > maxReason || o.done < 0 || o.done > o.Size || math.IsNaN(o.rate) || math.IsInf(o.rate, 0) || o.rate < 0 {
				t.Errorf("kept: %+v", o)
			}
			if _, err := json.Marshal(Delivery{Rate: o.rate}); err != nil {
				t.Errorf("it cannot be shown: %v", err)
			}
			outText(o, true, o.rate)
			outNext(o)
		}
		if _, err := json.Marshal(first); err != nil && m.Kind != kindState {
			t.Errorf("the reply cannot be written: %v", err)
		}
		if len(e.in) > 2 || len(e.out) > 1 {
			t.Errorf("%d incomings and %d outgoings", len(e.in), len(e.out))
		}
	})
}
