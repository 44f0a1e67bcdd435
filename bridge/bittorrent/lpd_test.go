package bittorrent

import (
	"testing"

	"kith"
)

func FuzzLPD(f *testing.F) {
	f.Add(lpdMessage(6881, kith.InfoHash{1, 2}, "abc"))
	f.Add([]byte("BT-SEARCH * HTTP/1.1\r\nPort: 1\r\nInfohash: 00\r\n\r\n"))
	f.Fuzz(func(t *testing.T, msg []byte) {
		port, hashes, cookie, err := parseLPD(msg)
		if err != nil {
			return
		}
		if port == 0 || len(hashes) > lpdMany {
			t.Errorf("port %d, %d hashes", port, len(hashes))
		}
		for _, h := range hashes {
			p, again, _, err := parseLPD(lpdMessage(int(port), h, "x"))
			if err != nil || p != port || len(again) != 1 || again[0] != h {
				t.Errorf("%d, %v, %q, %v", p, again, cookie, err)
			}
		}
	})
}
