package bittorrent

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"kith"
	"kith/bridge/bittorrent/courier"
	"kith/bridge/bittorrent/metainfo"
)

// Web seeds (BEP 19): the library asks a web server for a range of a file. Of a torrent with several files that has a version 1 it knows a single file (see view), so what it asks for
// comes here, and is put together of the files that the server has, with zeros for what pads (BEP 47): no server has that.

const (
	seedMark   = "kith:" // begins the fragment of an address that comes here; no server sees it
	maxDiscard = 48 << 10
	maxSeeds   = 64 // of one torrent
)

// seedAddress returns what the library is given for the address of a web seed; "": nothing. It panics at web seeds of a folder of version 2 alone, for it takes all pieces for as long as
// the first ones are; those are asked by fromSeeds.
func seedAddress(in *metainfo.Info, key kith.InfoHash, seed string) string {
	if in.Folder && !in.HasV1 {
		return ""
	}
	before, _, _ := strings.Cut(seed, "#")
	at := before + "#" + seedMark + hex.EncodeToString(key[:])
	if shown2(in) {
		at += "/" // it takes a single file of version 2 for a folder, and writes names after it
	}
	return at
}

// seedURL returns where the server has a file.
func seedURL(in *metainfo.Info, seed string, f metainfo.File) string {
	seed, _, _ = strings.Cut(seed, "#")
	if !in.Folder && !strings.HasSuffix(seed, "/") {
		return seed // it is that of the file
	}
	names := []string{in.Name}
	if in.Folder {
		names = append(names, strings.Split(f.Raw, "/")...)
	}
	for i, n := range names {
		names[i] = strings.ReplaceAll(url.PathEscape(n), "+", "%2B") // some servers read + as a space
	}
	return strings.TrimSuffix(seed, "/") + "/" + strings.Join(names, "/")
}

// addSeeds has the library fetch from web seeds, once it is known what is asked of them.
func (s *swarm) addSeeds() {
	s.mu.Lock()
	var list []string
	if s.set {
		for _, u := range s.seeds {
			if at := seedAddress(s.info, s.key, u); at != "" {
				list = append(list, at)
			} else if len(s.own) < maxSeeds {
				s.own = append(s.own, &ownSeed{url: u})
			}
		}
		s.seeds = nil
	}
	s.mu.Unlock()
	if len(list) > 0 {
		s.t.AddWebSeeds(list)
	}
}

// seeds is what the library speaks HTTP by.
type seeds struct{ b *Bridge }

// RoundTrip implements http.RoundTripper.
func (w seeds) RoundTrip(req *http.Request) (*http.Response, error) {
	text, ok := strings.CutPrefix(req.URL.Fragment, seedMark)
	if !ok {
		return nil, fmt.Errorf("bittorrent: %.80q is no web seed: %w", req.URL, kith.Internal)
	}
	text, _, _ = strings.Cut(text, "/")
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != len(kith.InfoHash{}) {
		return nil, fmt.Errorf("bittorrent: web seed: %q: %w", text, kith.Internal)
	}
	s := w.b.swarmOf(kith.InfoHash(raw))
	if s == nil {
		return nil, fmt.Errorf("bittorrent: web seed: %w: %w", errEnded, kith.Unavailable)
	}
	in := s.metadata()
	if in == nil {
		return nil, fmt.Errorf("bittorrent: web seed: no metadata: %w", kith.Internal)
	}
	off, n, err := rangeAsked(req.Header.Get("Range"), in.Length)
	if err != nil {
		return nil, err
	}
	r := &seedReader{client: w.b.courier.Client(req.URL.RawQuery == ""), agent: req.Header.Get("User-Agent"), in: in, seed: req.URL.String(), off: off, left: n}
	r.ctx, r.cancel = context.WithCancel(req.Context())
	if res, err := r.open(); err != nil {
		r.cancel()
		return nil, err
	} else if res != nil { // what the server says to the first request is what the library hears
		context.AfterFunc(req.Context(), r.cancel)
		return res, nil
	}
	return &http.Response{
		Status: "206 Partial Content", StatusCode: http.StatusPartialContent, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, Body: r, ContentLength: n, Request: req,
	}, nil
}

// rangeAsked reads the range that the library asks for; all, if it names none.
func rangeAsked(header string, size int64) (off, n int64, err error) {
	if header == "" {
		return 0, size, nil
	}
	from, to, _ := strings.Cut(strings.TrimPrefix(header, "bytes="), "-")
	first, err1 := strconv.ParseInt(from, 10, 64)
	last, err2 := strconv.ParseInt(to, 10, 64)
	if err1 != nil || err2 != nil || first < 0 || last < first || last >= size {
		return 0, 0, fmt.Errorf("bittorrent: web seed: range %q of %d: %w", header, size, kith.Internal)
	}
	return first, last - first + 1, nil
}

// seedReader reads a range of a torrent from the files of a web server, one after another.
type seedReader struct {
	ctx    context.Context
	cancel context.CancelFunc
	client *http.Client
	agent  string
	in     *metainfo.Info
	seed   string

	off, left int64         // among the pieces
	body      io.ReadCloser // of the file that is read; nil: what comes pads, or nothing is open
	part      int64         // bytes of it, or of what pads, that are to come
}

// open begins the file, or the padding, at off. If the server refuses, its answer is returned.
func (r *seedReader) open() (refused *http.Response, err error) {
	var f *metainfo.File
	r.part = r.left
	p := pieces{in: r.in}
	p.within(r.off, r.left, func(file int, fileOff, at, n int64) bool {
		if at > 0 {
			r.part = at // it pads until then
			return false
		}
		f, r.part = &r.in.Files[file], n
		return false
	})
	if f == nil {
		return nil, nil
	}
	at := r.off - f.Off
	req, err := http.NewRequestWithContext(r.ctx, http.MethodGet, seedURL(r.in, r.seed, *f), nil)
	if err != nil {
		return nil, fmt.Errorf("bittorrent: web seed: %w: %w", err, kith.Invalid)
	}
	if r.agent != "" {
		req.Header.Set("User-Agent", r.agent)
	}
	req.Header.Set("Accept-Encoding", "identity")
	if at > 0 || r.part < f.Size {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", at, at+r.part-1))
	}
	res, err := r.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("bittorrent: web seed: %w", courier.Explain(err))
	}
	switch {
	case res.StatusCode == http.StatusPartialContent:
	case res.StatusCode == http.StatusOK && at <= maxDiscard: // it knows no ranges
		if _, err := io.CopyN(io.Discard, res.Body, at); err != nil {
			res.Body.Close()
			return nil, fmt.Errorf("bittorrent: web seed: %w: %w", err, kith.Unavailable)
		}
	case res.StatusCode == http.StatusOK:
		res.Body.Close()
		return nil, fmt.Errorf("bittorrent: web seed: %s gives whole files only: %w", req.URL.Host, kith.Unavailable)
	default:
		return res, nil
	}
	r.body = res.Body
	return nil, nil
}

// Read implements io.Reader.
func (r *seedReader) Read(b []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	if r.part == 0 {
		if r.body != nil {
			r.body.Close()
			r.body = nil
		}
		res, err := r.open()
		if err != nil {
			return 0, err
		}
		if res != nil {
			res.Body.Close()
			return 0, fmt.Errorf("bittorrent: web seed: %s says %s: %w", res.Request.URL.Redacted(), res.Status, kith.Unavailable)
		}
	}
	b = b[:min(int64(len(b)), r.part)]
	n := len(b)
	var err error
	if r.body == nil {
		clear(b)
	} else if n, err = r.body.Read(b); errors.Is(err, io.EOF) {
		err = nil
		if int64(n) < r.part && n == 0 {
			err = io.ErrUnexpectedEOF
		}
	}
	r.off += int64(n)
	r.left -= int64(n)
	r.part -= int64(n)
	return n, err
}

// Close implements io.Closer. It may be called while Read waits, which ends then.
func (r *seedReader) Close() error {
	r.cancel()
	return nil
}
