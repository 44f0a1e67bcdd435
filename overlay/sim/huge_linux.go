package sim

import (
	"os"
	"strconv"
	"strings"
	"syscall"
)

const (
	adviseHuge = 14 // MADV_HUGEPAGE: use large pages from now on
	collapse   = 25 // MADV_COLLAPSE, from Linux 6.1 on: and for what is there already
)

// huge asks the system for large pages wherever the program has much memory, since of a few gigabytes that are read at random a processor does not remember where
// the small ones are. What cannot be has small ones.
func huge() {
	const page = 2 << 20
	data, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return
	}
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line) // 3fa8400000-3faa000000 rw-p 00000000 00:00 0, and behind that the file, if it is one
		if len(f) != 5 || f[1] != "rw-p" {
			continue
		}
		from, to, _ := strings.Cut(f[0], "-")
		start, err1 := strconv.ParseUint(from, 16, 64)
		end, err2 := strconv.ParseUint(to, 16, 64)
		if err1 != nil || err2 != nil || end-start < 2*page {
			continue
		}
		for _, advice := range []uintptr{adviseHuge, collapse} {
			syscall.Syscall(syscall.SYS_MADVISE, uintptr(start), uintptr(end-start), advice)
		}
	}
}
