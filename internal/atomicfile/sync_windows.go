package atomicfile

// SyncDir does nothing on Windows, where a folder cannot be synced; NTFS journals its names itself.
func SyncDir(dir string) error { return nil }
