package config

import "testing"

// A command that was read somewhere works in a terminal that knows nothing of the node's environment.
func TestCommand(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", "/home/anna/data")
	t.Setenv("KITH_DIR", "/elsewhere/it's")
	for dir, want := range map[string]string{
		"/home/anna/data/kith": "kith",
		DefaultDir():           `kith --dir '/elsewhere/it'\''s'`,
	} {
		if got := Command(dir); got != want {
			t.Errorf("for %s: %s, want %s", dir, got, want)
		}
	}
}
