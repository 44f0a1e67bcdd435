package service

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"kith"
)

const (
	desktopName = "kith-magnet.desktop"
	magnetType  = "x-scheme-handler/magnet"
	// previousKey keeps, in the desktop entry, what opened magnet links before.
	previousKey = "X-Kith-Previous="
	section     = "[Default Applications]"
)

func (p place) desktopPath() string { return filepath.Join(p.data, "applications", desktopName) }
func (p place) mimePath() string    { return filepath.Join(p.config, "mimeapps.list") }

// desktopEntry returns the entry (freedesktop.org, Desktop Entry Specification) that a magnet link is opened with.
func (p place) desktopEntry(previous string) file {
	text := `[Desktop Entry]
Type=Application
Name=Kith
Comment=Open a magnet link
Exec=` + desktopQuote(p.exe) + ` open --dir ` + desktopQuote(p.dir) + ` %u
MimeType=` + magnetType + `;
NoDisplay=true
Terminal=false
`
	if previous != "" {
		text += previousKey + previous + "\n"
	}
	return file{p.desktopPath(), text, false}
}

// desktopQuote quotes an argument of Exec: once for the quoted string, once for the value of a key.
func desktopQuote(s string) string {
	s = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "`", "\\`", "$", `\$`, "%", "%%").Replace(s)
	return `"` + strings.ReplaceAll(s, `\`, `\\`) + `"`
}

// openMagnets makes magnet links open with the node, and remembers what opened them before.
func (in installer) openMagnets(r *Report) error {
	if in.os != "linux" && in.os != "freebsd" {
		return kith.Hint(fmt.Errorf("service: install: magnet links on %s: %w", in.os, kith.Unavailable),
			"the service itself is installed; paste links on the page, or run: kith get 'LINK'")
	}
	files, err := in.magnetFiles()
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := r.write(f); err != nil {
			return err
		}
	}
	r.Magnet = true
	r.note("a click on a magnet link now opens your page with the link")
	return nil
}

// magnetFiles returns the files that make magnet links open with the node.
func (in installer) magnetFiles() ([]file, error) {
	list, err := readSmall(in.mimePath())
	if err != nil {
		return nil, err
	}
	previous := defaultFor(list, magnetType)
	if previous == desktopName {
		entry, err := readSmall(in.desktopPath())
		if err != nil {
			return nil, err
		}
		previous = previousOf(entry)
	}
	return []file{in.desktopEntry(previous), {in.mimePath(), setDefault(list, magnetType, desktopName), false}}, nil
}

// leaveMagnets gives magnet links back to what opened them before.
func (in installer) leaveMagnets(r *Report) error {
	entry, err := readSmall(in.desktopPath())
	if err != nil || entry == "" {
		return err
	}
	list, err := readSmall(in.mimePath())
	if err != nil {
		return err
	}
	if defaultFor(list, magnetType) == desktopName {
		restored := setDefault(list, magnetType, previousOf(entry))
		if restored == "" {
			err = r.remove(in.mimePath())
		} else {
			err = r.write(file{in.mimePath(), restored, false})
		}
		if err != nil {
			return err
		}
	}
	return r.remove(in.desktopPath())
}

func (in installer) opensMagnets() bool {
	list, err := readSmall(in.mimePath())
	return err == nil && defaultFor(list, magnetType) == desktopName
}

// readSmall reads a file; none is no error.
func readSmall(path string) (string, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("service: %w", err)
	case info.Size() > maxFile:
		return "", fmt.Errorf("service: %s has over %d bytes: %w", path, maxFile, kith.TooLarge)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("service: %w", err)
	}
	return string(data), nil
}

// defaultFor returns the program that a mimeapps.list (freedesktop.org, MIME Applications Associations) has for a type, or "".
func defaultFor(list, mime string) string {
	inside := false
	for line := range strings.Lines(list) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			inside = line == section
		} else if k, v, _ := strings.Cut(line, "="); inside && strings.TrimSpace(k) == mime {
			first, _, _ := strings.Cut(v, ";")
			return strings.TrimSpace(first)
		}
	}
	return ""
}

// setDefault returns list with program for a type, or with no line for it if program is "". All other lines stay as they are.
func setDefault(list, mime, program string) string {
	var lines []string
	at, inside := -1, false // at: where a new line goes
	for line := range strings.Lines(list) {
		if !strings.HasSuffix(line, "\n") {
			line += "\n"
		}
		text := strings.TrimSpace(line)
		k, _, _ := strings.Cut(text, "=")
		switch {
		case strings.HasPrefix(text, "["):
			inside = text == section
		case inside && strings.TrimSpace(k) == mime:
			if at < 0 {
				at = len(lines)
			}
			continue
		}
		lines = append(lines, line)
		if text == section && at < 0 {
			at = len(lines)
		}
	}
	if program == "" {
		if n := len(lines) - 1; n >= 0 && strings.TrimSpace(lines[n]) == section {
			lines = lines[:n] // it was made for this one line
		}
		return strings.Join(lines, "")
	}
	if at < 0 {
		lines = append(lines, section+"\n")
		at = len(lines)
	}
	return strings.Join(slices.Insert(lines, at, mime+"="+program+"\n"), "")
}

func previousOf(entry string) string {
	for line := range strings.Lines(entry) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), previousKey); ok {
			return name
		}
	}
	return ""
}
