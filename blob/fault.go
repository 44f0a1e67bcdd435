package blob

// fault is called at named points where a crash or a full disk would hurt most: "write", "checkpoint", "renamed", "placed", "put", "commit",
// "import". Tests replace it, to kill the process there or to make the disk full.
var fault = func(point string) error { return nil }
