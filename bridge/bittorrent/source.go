package bittorrent

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"kith"
	"kith/bridge/bittorrent/courier"
	"kith/bridge/bittorrent/metainfo"
)

// sourceTime is how long a web server may take to give a .torrent file.
const sourceTime = 2 * time.Minute

// isTorrentURL reports whether a source (xs) is a .torrent file on a web server.
func isTorrentURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && strings.HasSuffix(strings.ToLower(u.Path), ".torrent")
}

// download fetches a .torrent file from a web server.
func (b *Bridge) download(ctx context.Context, from string) (*metainfo.Torrent, error) {
	ctx, cancel := context.WithTimeout(ctx, sourceTime)
	defer cancel()
	u, err := url.Parse(from)
	if err != nil {
		return nil, fmt.Errorf("bittorrent: %w: %w", err, kith.Invalid)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, fmt.Errorf("bittorrent: %w: %w", err, kith.Invalid)
	}
	req.Header.Set("User-Agent", "Kith/"+b.o.Version)
	res, err := b.courier.Client(u.RawQuery == "").Do(req)
	if err != nil {
		return nil, fmt.Errorf("bittorrent: %w", courier.Explain(err))
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("bittorrent: %s says %s: %w", from, res.Status, kith.Unavailable)
	}
	data, err := io.ReadAll(io.LimitReader(res.Body, metainfo.MaxTorrent+1))
	if err != nil {
		return nil, fmt.Errorf("bittorrent: %w: %w", err, kith.Unavailable)
	}
	return metainfo.Read(data)
}

// askSource gets the metadata from a web server, while peers are asked too.
func (o *origin) askSource(ctx context.Context, from string) {
	t, err := o.s.b.download(ctx, from)
	if err != nil {
		o.s.b.log.Debug("source", "op", "bittorrent", "err", err)
		return
	}
	o.s.mu.Lock()
	names := o.s.names
	o.s.mu.Unlock()
	if !isNamed(t.Raw, names, o.s.key) {
		o.s.b.log.Debug("source is of another torrent", "op", "bittorrent")
		return
	}
	trackers := slices.Concat(t.Trackers...)
	o.s.mu.Lock()
	o.s.audience.Trackers = append(o.s.audience.Trackers, trackers...)
	o.s.mu.Unlock()
	if err := o.s.got(t.Info, t.Layers, o.s.src, false); err != nil {
		o.s.fail(err)
		return
	}
	o.s.ask(trackers)
}

// source returns where the bytes of the swarm are.
func (s *swarm) source() source {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pieces == nil {
		return nil
	}
	return s.pieces.src
}
