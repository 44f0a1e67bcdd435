//go:build !linux

package space

import (
	"context"
	"fmt"
	"os/exec"
	"runtime"

	"kith"
)

// A Space is one network namespace; there are none on this system.
type Space struct{}

// New returns kith.Unavailable: network namespaces are Linux'.
func New(func() error) (*Space, error) {
	err := fmt.Errorf("no network namespaces on %s: %w", runtime.GOOS, kith.Unavailable)
	return nil, kith.Hint(err, "run it on Linux, as root")
}

// Path returns "".
func (s *Space) Path() string { return "" }

// Command runs the program here.
func (s *Space) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, name, args...)
}

// Do runs f here.
func (s *Space) Do(f func() error) error { return f() }

// Kill does nothing.
func (s *Space) Kill() {}

// Processes returns nobody.
func (s *Space) Processes() []int { return nil }

// Close does nothing.
func (s *Space) Close() error { return nil }
