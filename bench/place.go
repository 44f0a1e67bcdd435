package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"kith"
	"kith/lab/link"
)

// startTime is how long a program may take until it is ready.
const startTime = 30 * time.Second

// A place is where programs run: this computer, or a host of a link.Net.
type place struct {
	Addr    string // at which others reach its programs
	Command func(ctx context.Context, name string, args ...string) *exec.Cmd
	host    *link.Host // nil: this computer
}

func at(h *link.Host) place { return place{h.Addr.String(), h.Command, h} }

// sealed is a place of its own with nothing but a loopback, so that nothing else answers, and nothing goes out; or, where that
// cannot be had, this computer.
func sealed() (p place, close func() error, err error) {
	n, err := link.New(link.Config{Hosts: []link.Spec{{Name: "alone"}}})
	if errors.Is(err, kith.Unavailable) {
		return place{Addr: "127.0.0.1", Command: exec.CommandContext}, func() error { return nil }, nil
	}
	if err != nil {
		return place{}, nil, err
	}
	p = at(n.Hosts()[0])
	p.Addr = "127.0.0.1"
	return p, n.Close, nil
}

// A process is a program that runs until stop.
type process struct {
	cmd    *exec.Cmd
	stderr bytes.Buffer
	ended  chan error
}

func start(cmd *exec.Cmd) (*process, error) {
	r := &process{cmd: cmd, ended: make(chan error, 1)}
	cmd.Stderr = &r.stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() { r.ended <- cmd.Wait() }()
	return r, nil
}

// stop asks the process to end, and makes it.
func (r *process) stop() {
	r.cmd.Process.Signal(os.Interrupt)
	select {
	case <-r.ended:
	case <-time.After(10 * time.Second):
		r.cmd.Process.Kill()
		<-r.ended
	}
}

// serve starts one of this program's own servers and returns the address that it listens on.
func (p place) serve(ctx context.Context, args ...string) (*process, string, error) {
	cmd, err := p.tool(ctx, args...)
	if err != nil {
		return nil, "", err
	}
	stdout, stdin, err := os.Pipe()
	if err != nil {
		return nil, "", err
	}
	defer stdout.Close()
	cmd.Stdout = stdin
	r, err := start(cmd)
	stdin.Close()
	if err != nil {
		return nil, "", err
	}
	addr, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		r.stop()
		return nil, "", fmt.Errorf("%s: %w: %s", args[0], err, r.stderr.String())
	}
	return r, strings.TrimSpace(addr), nil
}

// tool is one of this program's own tools, to run in the place.
func (p place) tool(ctx context.Context, args ...string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return p.Command(ctx, self, args...), nil
}

// timed runs a command to its end and returns how long it took and what it printed.
func timed(cmd *exec.Cmd) (time.Duration, []byte, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	start := time.Now()
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return time.Since(start), stdout.Bytes(), err
}

// atOnce runs all at the same time and returns when the last has ended.
func atOnce[T any](all []T, run func(i int, each T) error) (time.Duration, error) {
	var group sync.WaitGroup
	errs := make([]error, len(all))
	start := time.Now()
	for i, each := range all {
		group.Go(func() { errs[i] = run(i, each) })
	}
	group.Wait()
	return time.Since(start), errors.Join(errs...)
}

// A node is a running kith.
type node struct {
	*process
	place
	bin, dir string
}

// up starts a node in the place, with its data in a folder of that name, and waits until it answers.
func (b *bench) up(ctx context.Context, p place, name string) (*node, error) {
	n := &node{place: p, bin: b.kith, dir: filepath.Join(b.tmp, name)}
	cmd := p.Command(ctx, b.kith, "up", "--dir", n.dir, "--api", net.JoinHostPort("127.0.0.1", "0"), "--no-open", "--no-mdns", "--no-upnp", "--no-mainline",
		"--listen", "/ip4/"+p.Addr+"/tcp/0", "--listen", "/ip4/"+p.Addr+"/udp/0/quic-v1")
	var err error
	if n.process, err = start(cmd); err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(startTime); ; time.Sleep(50 * time.Millisecond) {
		if _, _, err = timed(n.command(ctx, "status")); err == nil {
			return n, nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			n.stop()
			return nil, fmt.Errorf("kith up is not ready: %w\n%s", err, n.stderr.String())
		}
	}
}

func (n *node) command(ctx context.Context, args ...string) *exec.Cmd {
	return n.place.Command(ctx, n.bin, append(args, "--dir", n.dir, "--json")...)
}

// share shares a path and returns its link.
func (n *node) share(ctx context.Context, path string) (link string, took time.Duration, err error) {
	took, out, err := timed(n.command(ctx, "share", path))
	if err != nil {
		return "", 0, err
	}
	var one struct{ Link string }
	if json.Unmarshal(out, &one) == nil && one.Link != "" {
		return one.Link, took, nil
	}
	var many []struct{ Link string }
	if err := json.Unmarshal(out, &many); err != nil || len(many) != 1 {
		return "", 0, fmt.Errorf("kith share printed no link: %s", out)
	}
	return many[0].Link, took, nil
}

// get fetches a link into a folder.
func (n *node) get(ctx context.Context, link, dir string) (time.Duration, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return 0, err
	}
	took, _, err := timed(n.command(ctx, "get", link, "-o", dir))
	return took, err
}

// cpu returns the processor time that the process has used.
func (r *process) cpu() time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", r.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(stat), ") ") // proc(5): the name may hold spaces; then state is the third field
	fields := strings.Fields(rest)
	var ticks int
	for _, i := range []int{11, 12} { // utime, stime
		if i < len(fields) {
			n, _ := strconv.Atoi(fields[i])
			ticks += n
		}
	}
	return time.Duration(ticks) * 10 * time.Millisecond // USER_HZ is 100
}

// memory returns a line of /proc/PID/status, such as VmRSS or VmHWM, in bytes.
func (r *process) memory(key string) float64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(status), key+":")
	var kb float64
	fmt.Sscan(rest, &kb)
	return kb * 1024
}
