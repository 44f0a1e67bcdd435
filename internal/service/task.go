package service

import (
	"encoding/binary"
	"fmt"
	"path/filepath"
	"strings"
	"unicode/utf16"

	"kith"
)

const taskName = "Kith"

// taskScheduler describes the scheduled task of Windows (Task Scheduler schema 1.2). conhost --headless gives the node no window that
// somebody could close.
func taskScheduler(p place) manager {
	user := escapeXML(p.user)
	text := `<?xml version="1.0" encoding="UTF-16"?>
<!-- Written by kith service install; kith service uninstall removes it. -->
<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <Triggers>
    <LogonTrigger><UserId>` + user + `</UserId></LogonTrigger>
  </Triggers>
  <Principals>
    <Principal id="Author"><UserId>` + user + `</UserId><LogonType>InteractiveToken</LogonType><RunLevel>LeastPrivilege</RunLevel></Principal>
  </Principals>
  <Settings>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>
    <RestartOnFailure><Interval>PT1M</Interval><Count>3</Count></RestartOnFailure>
  </Settings>
  <Actions Context="Author">
    <Exec>
      <Command>conhost.exe</Command>
      <Arguments>` + escapeXML("--headless "+windowsQuote(p.exe)+" up --no-open --dir "+windowsQuote(p.dir)) + `</Arguments>
    </Exec>
  </Actions>
</Task>
`
	path := filepath.Join(p.dir, "service.xml")
	return manager{
		name:  "Task Scheduler",
		unit:  file{path, strings.ReplaceAll(text, "\n", "\r\n"), true},
		check: []string{"schtasks", "/Query", "/FO", "LIST"},
		missing: kith.Hint(fmt.Errorf("service: install: the Task Scheduler does not answer: %w", kith.Unavailable),
			"put a shortcut to kith up --no-open in the folder that Win+R, shell:startup opens"),
		enable:  [][]string{{"schtasks", "/Create", "/F", "/TN", taskName, "/XML", path}, {"schtasks", "/Run", "/TN", taskName}},
		later:   [][]string{{"schtasks", "/Create", "/F", "/TN", taskName, "/XML", path}},
		disable: [][]string{{"-schtasks", "/End", "/TN", taskName}, {"schtasks", "/Delete", "/F", "/TN", taskName}},
		running: []string{"powershell", "-NoProfile", "-Command", "if ((Get-ScheduledTask " + taskName + ").State -ne 'Running') { exit 1 }"},
	}
}

// windowsQuote quotes an argument that has no quotes of its own, as no path on Windows has.
func windowsQuote(s string) string {
	if n := len(s) - len(strings.TrimRight(s, `\`)); n > 0 {
		s += s[len(s)-n:] // else the last backslash would escape the quote
	}
	return `"` + s + `"`
}

// utf16Text encodes text as schtasks wants it: UTF-16, little endian, with a mark.
func utf16Text(text string) []byte {
	out := []byte{0xff, 0xfe}
	for _, u := range utf16.Encode([]rune(text)) {
		out = binary.LittleEndian.AppendUint16(out, u)
	}
	return out
}
