package room

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"kith"
)

func TestExplain(t *testing.T) {
	full := fmt.Errorf("save: %w", &fs.PathError{Op: "write", Path: "/x/y", Err: syscall.ENOSPC})
	err := fmt.Errorf("part: %w", Explain(full))
	if !errors.Is(err, kith.Unavailable) || !errors.Is(err, syscall.ENOSPC) || !strings.Contains(kith.HintOf(err), "/x/y") {
		t.Errorf("%v, hint %q", err, kith.HintOf(err))
	}
	if err := Explain(syscall.ENOSPC); !strings.Contains(kith.HintOf(err), "data directory") {
		t.Errorf("hint %q", kith.HintOf(err))
	}
	short := fmt.Errorf("begin: %w: %w", Short{Need: 30e6, Free: 24e6, Dir: "/x"}, kith.Unavailable)
	if !Full(short) || Explain(short) != short || short.Error() != "begin: 30.0 MB is needed in /x, 24.0 MB is free: unavailable" {
		t.Errorf("too little room: %v", short)
	}
	for _, other := range []error{nil, fs.ErrPermission, kith.NotFound} {
		if got := Explain(other); got != other {
			t.Errorf("%v became %v", other, got)
		}
	}
}
