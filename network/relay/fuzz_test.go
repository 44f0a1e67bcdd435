package relay

import (
	"bytes"
	"encoding/hex"
	"io"
	"testing"

	"kith/wire"
)

func mustFrame(t testing.TB, v any) *bytes.Buffer {
	t.Helper()
	var b bytes.Buffer
	if err := wire.WriteMsg(&b, v); err != nil {
		t.Fatal(err)
	}
	return &b
}

// FuzzAsk: no answer and no question makes either side panic, or is taken for what it is not.
func FuzzAsk(f *testing.F) {
	f.Add(mustFrame(f, answer{uint8(Spent), 0, 1380}).Bytes())
	f.Add(mustFrame(f, question{[]byte(carl)}).Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		if st, err := Ask(talk{bytes.NewReader(data), io.Discard}, carl); err == nil && (st.Verdict >= verdicts || st.Left < 0 || st.Wait < 0 || st.Wait > hour) {
			t.Errorf("%+v", st)
		}
		service(Settings{}).Answer(bert, talk{bytes.NewReader(data), io.Discard})
	})
}

// FuzzBegin: whatever the first message of a circuit is, the circuit begins with a peer that it names, or not at all.
func FuzzBegin(f *testing.F) {
	first, _ := hex.DecodeString("0c0801120608011202000000") // a peer whose id is none
	f.Add(first, 3)
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 1)
	f.Add([]byte{2, 8, 1}, 2)
	f.Fuzz(func(t *testing.T, data []byte, cut int) {
		r := service(Settings{})
		defer r.Close()
		c := &circuit{Stream: &line{}, s: r, to: anna}
		cut = max(0, min(cut, len(data)))
		c.Write(data[:cut])
		c.Write(data[cut:])
		if (c.pair != nil) != (c.from != "") || len(c.head) > maxStopMessage+16 && c.from == "" {
			t.Errorf("begun %v, from %q, %d bytes waiting", c.pair != nil, c.from, len(c.head))
		}
		c.Reset()
		if len(r.live) != 0 {
			t.Error("it is on the books after its end")
		}
	})
}
