package media

import "testing"

func TestType(t *testing.T) {
	for name, want := range map[string]string{"a.webm": "video/webm", "A.MKV": "video/x-matroska", "x.html": "text/html; charset=utf-8", "noext": "application/octet-stream"} {
		if got := Type(name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	for _, name := range []string{"page.html", "image.svg", "paper.pdf", "x"} {
		if _, ok := Shown(name); ok {
			t.Errorf("%s would be shown, and can do more than be looked at", name)
		}
	}
}
