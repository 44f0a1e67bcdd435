package link

import (
	"fmt"
	"net/netip"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

const device = "tun0"

// newSpace makes a network namespace in which the TUN device has the address, in a network that all hosts are in.
func newSpace(addr netip.Addr) (space, tun *os.File, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlock: the thread, which is in the new namespace, ends with the goroutine
		space, tun, err = unshare(addr)
	}()
	<-done
	return space, tun, err
}

func unshare(addr netip.Addr) (space, tun *os.File, err error) {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return nil, nil, fmt.Errorf("make network namespace: %w", err)
	}
	if space, err = os.Open("/proc/thread-self/ns/net"); err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			space.Close()
		}
	}()
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, &os.PathError{Op: "open", Path: "/dev/net/tun", Err: err}
	}
	if err := configure(fd, addr); err != nil {
		unix.Close(fd)
		return nil, nil, err
	}
	return space, os.NewFile(uintptr(fd), "/dev/net/tun"), nil
}

// configure gives the device and the loopback of the thread's namespace their names, addresses and a start.
func configure(tun int, addr netip.Addr) error {
	r, err := unix.NewIfreq(device)
	if err != nil {
		return err
	}
	r.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(tun, unix.TUNSETIFF, r); err != nil {
		return fmt.Errorf("make device: %w", err)
	}
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	a, mask := addr.As4(), [4]byte{255, 255, 0, 0}
	steps := []struct {
		name    string
		request uint
		set     func(*unix.Ifreq) error
	}{
		{device, unix.SIOCSIFADDR, func(r *unix.Ifreq) error { return r.SetInet4Addr(a[:]) }},
		{device, unix.SIOCSIFNETMASK, func(r *unix.Ifreq) error { return r.SetInet4Addr(mask[:]) }},
		{device, unix.SIOCSIFMTU, func(r *unix.Ifreq) error { r.SetUint32(MTU); return nil }},
		{device, unix.SIOCSIFFLAGS, func(r *unix.Ifreq) error { r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING); return nil }},
		{"lo", unix.SIOCSIFFLAGS, func(r *unix.Ifreq) error { r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING); return nil }},
	}
	for _, step := range steps {
		r, err := unix.NewIfreq(step.name)
		if err != nil {
			return err
		}
		if err := step.set(r); err != nil {
			return err
		}
		if err := unix.IoctlIfreq(s, step.request, r); err != nil {
			return fmt.Errorf("configure %s: %w", step.name, err)
		}
	}
	return nil
}
