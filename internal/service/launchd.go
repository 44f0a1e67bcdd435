package service

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"path/filepath"

	"kith"
)

const agentLabel = "kith"

// launchd describes the agent of launchd.plist(5).
func launchd(p place) manager {
	text := `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<!-- Written by kith service install; kith service uninstall removes it. -->
<plist version="1.0">
<dict>
	<key>Label</key>
	<string>` + agentLabel + `</string>
	<key>ProgramArguments</key>
	<array>
		<string>` + escapeXML(p.exe) + `</string>
		<string>up</string>
		<string>--no-open</string>
	</array>
	<key>EnvironmentVariables</key>
	<dict>
		<key>KITH_DIR</key>
		<string>` + escapeXML(p.dir) + `</string>
	</dict>
	<key>RunAtLoad</key>
	<true/>
	<key>KeepAlive</key>
	<dict>
		<key>SuccessfulExit</key>
		<false/>
	</dict>
	<key>ThrottleInterval</key>
	<integer>10</integer>
	<key>StandardErrorPath</key>
	<string>` + escapeXML(filepath.Join(p.home, "Library", "Logs", "kith.log")) + `</string>
</dict>
</plist>
`
	domain := fmt.Sprintf("gui/%d", p.uid)
	target := domain + "/" + agentLabel
	path := filepath.Join(p.home, "Library", "LaunchAgents", agentLabel+".plist")
	return manager{
		name:  "launchd",
		unit:  file{path, text, false},
		check: []string{"launchctl", "print", domain},
		missing: kith.Hint(fmt.Errorf("service: install: launchd does not answer for this user: %w", kith.Unavailable),
			"log in at the screen of this computer, and try again"),
		enable:  [][]string{{"launchctl", "enable", target}, {"-launchctl", "bootout", target}, {"launchctl", "bootstrap", domain, path}},
		later:   [][]string{{"launchctl", "enable", target}},
		disable: [][]string{{"-launchctl", "bootout", target}},
		running: []string{"launchctl", "print", target},
	}
}

func escapeXML(s string) string {
	var b bytes.Buffer
	if err := xml.EscapeText(&b, []byte(s)); err != nil { // cannot be: a Buffer takes everything
		return ""
	}
	return b.String()
}
