package files_test

import (
	"bytes"
	"crypto/sha1"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"kith/apps/files"
	"kith/apptest"
)

// zeros are bytes that nobody stores.
type zeros struct {
	size, at, mark int64
	sent           *atomic.Int64
}

const markText = "here it is"

func (z *zeros) Read(p []byte) (int, error) {
	if z.at >= z.size {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), z.size-z.at)]
	clear(p)
	for i := range int64(len(markText)) {
		if at := z.mark + i - z.at; at >= 0 && at < int64(len(p)) {
			p[at] = markText[i]
		}
	}
	z.at += int64(len(p))
	z.sent.Add(int64(len(p)))
	return len(p), nil
}

func (z *zeros) Seek(off int64, from int) (int64, error) {
	switch from {
	case io.SeekCurrent:
		off += z.at
	case io.SeekEnd:
		off += z.size
	}
	z.at = off
	return off, nil
}

// TestSixteenGiB: of a file of 16 GiB in pieces of 16 MiB a few bytes from the middle are read while it comes, and neither the network nor the disk sees more than that takes.
func TestSixteenGiB(t *testing.T) {
	const size, piece, mark = 16 << 30, 16 << 20, 11<<30 + 5<<20 + 17
	const most = 1 << 30 // on the wire and on the disk, of 16
	out := t.TempDir()
	var fs syscall.Statfs_t
	if err := syscall.Statfs(out, &fs); err != nil {
		t.Fatal(err)
	}
	if free := int64(fs.Bavail) * fs.Bsize; free < size+most { // the node would wait for room
		t.Fatalf("%d MB are free where temporary files go, and a file of %d MB is to be begun there", free>>20, int64(size)>>20)
	}
	plain := make([]byte, piece)
	usual := sha1.Sum(plain)
	copy(plain[mark%piece:], markText)
	marked := sha1.Sum(plain)
	var info bytes.Buffer
	fmt.Fprintf(&info, "d6:lengthi%de4:name7:big.bin12:piece lengthi%de6:pieces%d:", int64(size), piece, size/piece*sha1.Size)
	for i := range size / piece {
		if i == mark/piece {
			info.Write(marked[:])
		} else {
			info.Write(usual[:])
		}
	}
	info.WriteString("e")
	var sent atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, &zeros{size: size, mark: mark, sent: &sent})
	}))
	defer s.Close()
	_, build := torrented(t)
	n := apptest.New(t, 1, build).Node(0)
	if err := n.Call(t.Context(), "files", "limit", files.LimitIn{Down: "24MiB"}, &files.LimitOut{}); err != nil {
		t.Fatal(err)
	}
	var got files.GetOut
	if err := n.Call(t.Context(), "files", "get", files.GetIn{Link: writeTorrent(t, info.String(), s.URL+"/"), Output: out, Detach: true}, &got); err != nil {
		t.Fatal(err)
	}
	until(t, n, func(i files.Item) bool { return i.Size == size })
	if text := string(readRange(t, n, got.Ref.String(), mark-3, mark+int64(len(markText))+1)); text != "\x00\x00\x00"+markText+"\x00\x00" {
		t.Errorf("%q", text)
	}
	if err := n.Call(t.Context(), "files", "pause", files.RefIn{Ref: got.Ref.String()}, &files.GetOut{}); err != nil {
		t.Error(err)
	}
	parts, err := filepath.Glob(filepath.Join(out, "big.bin*"))
	if err != nil || len(parts) != 1 {
		t.Fatalf("%q, %v", parts, err)
	}
	st, err := os.Stat(parts[0])
	if err != nil {
		t.Fatal(err)
	}
	if disk := st.Sys().(*syscall.Stat_t).Blocks * 512; st.Size() != size || disk > most {
		t.Errorf("the part has %d bytes, and takes %d on the disk", st.Size(), disk)
	} else {
		t.Logf("sent %d MB, on the disk %d MB", sent.Load()>>20, disk>>20)
	}
	if n := sent.Load(); n > most {
		t.Errorf("%d bytes were sent", n)
	}
	if err := n.Call(t.Context(), "files", "rm", files.RmIn{Ref: got.Ref.String(), Delete: true}, &files.RmOut{}); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(out, "*")); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}
