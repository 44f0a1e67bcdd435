//go:build !windows

package atomicfile

import "os"

// SyncDir makes the names in dir durable: what was created, renamed or removed there survives a power cut.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
