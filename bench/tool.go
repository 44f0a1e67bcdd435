package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
)

// tools are what this program is when it is one of the yardsticks' processes: its first argument names it.
var tools = map[string]func(args []string) error{
	"tcp-send": func(args []string) error { return sendTCP(args[0], args[1]) },
	"tcp-get":  func(args []string) error { return getTCP(args[0], args[1]) },
	"http":     func(args []string) error { return serveHTTP(args[0], args[1]) },
	"touch":    func(args []string) error { return touch(args[0]) },
	"http-get": func(args []string) error { return getHTTP(args[0], args[1]) },
}

// listen listens and says so on stdout, so that whoever started the process can go on.
func listen(addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err == nil {
		fmt.Println(l.Addr())
	}
	return l, err
}

// sendTCP gives the file to everybody who connects, as fast as the kernel can.
func sendTCP(addr, path string) error {
	l, err := listen(addr)
	if err != nil {
		return err
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			f, err := os.Open(path)
			if err != nil {
				return
			}
			defer f.Close()
			io.Copy(c, f)
		}()
	}
}

// getTCP fetches a file, puts it on the disk for good, and reads it once more for its SHA-256.
func getTCP(addr, path string) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	return keep(c, path)
}

func serveHTTP(addr, dir string) error {
	l, err := listen(addr)
	if err != nil {
		return err
	}
	return http.Serve(l, http.FileServer(http.Dir(dir)))
}

func getHTTP(url, path string) error {
	r, err := http.Get(url)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return fmt.Errorf("get %s: %s", url, r.Status)
	}
	return keep(r.Body, path)
}

// touch writes to every page of so many bytes of memory, and ends.
func touch(size string) error {
	n, err := strconv.ParseInt(size, 10, 64)
	if err != nil {
		return err
	}
	memory := make([]byte, n)
	for i := int64(0); i < n; i += 4096 {
		memory[i] = 1
	}
	runtime.KeepAlive(memory)
	return nil
}

// keep writes what comes to the file and to the disk, then hashes the file.
func keep(from io.Reader, path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.Copy(f, from); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	hash := sha256.New()
	if _, err := io.CopyBuffer(struct{ io.Writer }{hash}, struct{ io.Reader }{f}, make([]byte, 1<<20)); err != nil {
		return err
	}
	fmt.Printf("%x\n", hash.Sum(nil))
	return nil
}

// makeFile makes a file of random bytes.
func makeFile(path string, size int64, seed byte) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.CopyN(f, rand.NewChaCha8([32]byte{seed}), size); err != nil {
		return err
	}
	return f.Sync()
}

// makeFolder makes count small files, 100 in each folder.
func makeFolder(path string, count int, size int64) error {
	random := rand.NewChaCha8([32]byte{1})
	data := make([]byte, size)
	for i := range count {
		dir := filepath.Join(path, fmt.Sprintf("%03d", i/100))
		if i%100 == 0 {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
		}
		random.Read(data)
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%02d.bin", i%100)), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}
