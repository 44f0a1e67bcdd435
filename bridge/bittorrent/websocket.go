package bittorrent

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/time/rate"

	"kith/bridge/bittorrent/courier"
)

// Limits of what a tracker's WebSocket may bring (WebTorrent). The library reads a message of any length, and makes a connection of each offer, which it keeps for 30 s, and another one after each
// answer to an offer of its own, which it does not close when it fails: a peer sends five offers in two minutes, and a tracker gives each of them to somebody, so that a torrent brings about three a minute, and as many answers.
const (
	maxSocketMessage = 64 << 10        // bytes: an offer or an answer has a few thousand
	maxOwnMessage    = 1 << 20         // bytes of what the library says
	socketMessages   = 20              // a second …
	socketBurst      = 200             // … after so many at once
	offerEvery       = 4 * time.Second // one; what is more is dropped …
	offerBurst       = 30              // … after so many at once
	socketPing       = time.Minute     // whether the tracker is still there is asked so often
)

// socket carries what the library and the tracker at u say to each other over a WebSocket.
func (t *trackers) socket(w http.ResponseWriter, req *http.Request, u *url.URL, known bool) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	dialing, dialed := context.WithTimeout(ctx, trackerTime)
	far, _, err := websocket.Dial(dialing, u.String(), &websocket.DialOptions{
		HTTPClient: t.courier.Client(known || u.RawQuery == ""), HTTPHeader: http.Header{"User-Agent": {"Kith/" + t.b.o.Version}},
	})
	dialed()
	if err != nil {
		http.Error(w, courier.Explain(err).Error(), http.StatusBadGateway)
		return
	}
	defer far.CloseNow()
	near, err := websocket.Accept(w, req, &websocket.AcceptOptions{InsecureSkipVerify: true}) // of this process: it has no origin
	if err != nil {
		return
	}
	defer near.CloseNow()
	near.SetReadLimit(maxOwnMessage)
	far.SetReadLimit(maxSocketMessage)
	go func() {
		defer cancel()
		for {
			typ, data, err := near.Read(ctx)
			if err != nil || far.Write(ctx, typ, data) != nil {
				return
			}
		}
	}()
	go func() {
		defer cancel()
		for tick := time.NewTicker(socketPing); ; {
			select {
			case <-t.ended:
				return
			case <-ctx.Done():
				tick.Stop()
				return
			case <-tick.C:
			}
			pinging, done := context.WithTimeout(ctx, socketPing)
			err := far.Ping(pinging)
			done()
			if err != nil {
				return
			}
		}
	}()
	all, offers := rate.NewLimiter(socketMessages, socketBurst), rate.NewLimiter(rate.Every(offerEvery), offerBurst)
	for {
		typ, data, err := far.Read(ctx)
		if err != nil || all.Wait(ctx) != nil {
			return
		}
		var m struct{ Offer, Answer json.RawMessage } // an answer makes the library offer a new one
		if json.Unmarshal(data, &m) != nil || (m.Offer != nil || m.Answer != nil) && !offers.Allow() {
			continue
		}
		if near.Write(ctx, typ, data) != nil {
			return
		}
	}
}
