package web

import (
	"io/fs"
	"regexp"
	"strings"
	"testing"
)

// TestPageIsWhole checks that what index.html names is there, and that it names nothing outside and runs nothing inline: the
// content security policy would refuse it.
func TestPageIsWhole(t *testing.T) {
	page, err := fs.ReadFile(FS(), "index.html")
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllStringSubmatch(string(page), -1)
	if len(names) < 3 {
		t.Fatalf("index.html names %d files, want at least its icon, its script and its style", len(names))
	}
	for _, n := range names {
		if !strings.HasPrefix(n[1], "./") {
			t.Errorf("index.html names %q, want a file beside it", n[1])
			continue
		}
		if _, err := fs.Stat(FS(), n[1][2:]); err != nil {
			t.Errorf("index.html names %s: %v", n[1], err)
		}
	}
	if m := regexp.MustCompile(`<script[^>]*>[^<]|<style|\sstyle=|\son[a-z]+=`).Find(page); m != nil {
		t.Errorf("index.html has inline code or style: %s", m)
	}
}
