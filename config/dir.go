package config

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// DefaultDir returns the data directory: what KITH_DIR says, else kith in the place where this system's programs keep their data
// ($XDG_DATA_HOME or ~/.local/share, ~/Library/Application Support, %AppData%).
func DefaultDir() string {
	if dir := os.Getenv("KITH_DIR"); dir != "" {
		return absolute(dir)
	}
	return usualDir()
}

// usualDir is DefaultDir where KITH_DIR is not set.
func usualDir() string {
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "kith")
	}
	switch runtime.GOOS {
	case "darwin", "ios", "windows":
		if dir, err := os.UserConfigDir(); err == nil {
			return filepath.Join(dir, "kith")
		}
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return absolute(".kith")
	}
	return filepath.Join(home, ".local", "share", "kith")
}

func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// Command returns how a command line for the node in dir begins, in any shell: "kith", with --dir unless that is where it looks by itself.
func Command(dir string) string {
	if dir == usualDir() {
		return "kith"
	}
	return "kith --dir '" + strings.ReplaceAll(dir, "'", `'\''`) + "'"
}
