package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// webUI is qBittorrent's interface for programs.
type webUI struct {
	url    string
	client *http.Client
}

// ask posts a body, or gets.
func (q webUI) ask(ctx context.Context, path, kind string, body io.Reader) ([]byte, error) {
	method := http.MethodGet
	if body != nil {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(ctx, method, q.url+path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", kind)
	res, err := q.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	out, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("qBittorrent: %s: %s", res.Status, out)
	}
	return out, err
}

// add gives it a torrent, whose files are in dir or are to be there.
func (q webUI) add(ctx context.Context, torrent, dir string) error {
	data, err := os.ReadFile(torrent)
	if err != nil {
		return err
	}
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	if f, err := w.CreateFormFile("torrents", filepath.Base(torrent)); err != nil {
		return err
	} else if _, err := f.Write(data); err != nil {
		return err
	}
	if err := w.WriteField("savepath", dir); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	out, err := q.ask(ctx, "torrents/add", w.FormDataContentType(), &body)
	if err == nil && !strings.Contains(string(out), "Ok") {
		err = fmt.Errorf("qBittorrent: %s", out)
	}
	return err
}

// wait returns when it has all and would seed it.
func (q webUI) wait(ctx context.Context) error {
	for {
		out, err := q.ask(ctx, "torrents/info", "", nil)
		if err != nil {
			return err
		}
		var all []struct {
			State    string
			Progress float64
		}
		if err := json.Unmarshal(out, &all); err != nil {
			return err
		}
		if len(all) == 1 && all[0].Progress == 1 && (all[0].State == "stalledUP" || all[0].State == "uploading") {
			return nil
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return fmt.Errorf("qBittorrent says %s: %w", out, err)
		}
	}
}
