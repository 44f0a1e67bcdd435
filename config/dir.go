package config

import (
	"os"
	"path/filepath"
	"runtime"
)

// DefaultDir returns the data directory: what KITH_DIR says, else kith in the place where this system's programs keep their data
// ($XDG_DATA_HOME or ~/.local/share, ~/Library/Application Support, %AppData%).
func DefaultDir() string {
	if dir := os.Getenv("KITH_DIR"); dir != "" {
		return absolute(dir)
	}
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
