package service

import (
	"fmt"
	"path/filepath"
	"strings"

	"kith"
)

const unitName = "kith.service"

// systemd describes the user unit of systemd(1). What hardens it needs no rights beyond the person's own; file systems are not hidden,
// since people share files from everywhere.
func systemd(p place) manager {
	text := `# Written by kith service install; kith service uninstall removes it.
[Unit]
Description=Kith, a peer-to-peer node

[Service]
Type=exec
Environment=` + unitQuote("KITH_DIR="+p.dir) + `
ExecStart=` + unitQuote(p.exe) + ` up --no-open
Restart=on-failure
RestartSec=10
# It would end the same way again: settings that mean nothing, a node that runs already, a damaged file.
RestartPreventExitStatus=2 5 6
TimeoutStopSec=30
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictNamespaces=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native

[Install]
WantedBy=default.target
`
	return manager{
		name:    "systemd",
		unit:    file{filepath.Join(p.config, "systemd", "user", unitName), text, false},
		check:   []string{"systemctl", "--user", "show-environment"},
		missing: noSystemd(p),
		enable:  [][]string{{"systemctl", "--user", "daemon-reload"}, {"systemctl", "--user", "enable", unitName}, {"systemctl", "--user", "restart", unitName}},
		later:   [][]string{{"systemctl", "--user", "daemon-reload"}, {"systemctl", "--user", "enable", unitName}},
		disable: [][]string{{"systemctl", "--user", "disable", "--now", unitName}},
		forget:  [][]string{{"systemctl", "--user", "daemon-reload"}},
		running: []string{"systemctl", "--user", "is-active", "--quiet", unitName},
		hint:    "it starts when you log in; to have it start with the computer: loginctl enable-linger",
	}
}

func noSystemd(p place) error {
	return kith.Hint(fmt.Errorf("service: install: systemd does not answer for this user: %w", kith.Unavailable),
		"if this computer has systemd, log in anew (not with su) and try again; if it has not, add this line with crontab -e: @reboot KITH_DIR=%s %s up --no-open",
		quote(p.dir), quote(p.exe))
}

// unitQuote quotes a word of a unit file, as systemd.syntax(7) and the specifiers of systemd.unit(5) have it.
func unitQuote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "%", "%%", "\n", `\n`).Replace(s) + `"`
}
