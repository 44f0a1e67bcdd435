//go:build unix

package room

import "syscall"

var systemErrs = []error{syscall.EDQUOT}
