package lab

import "fmt"

// String says what has happened, in words.
func (h Happening) String() string {
	switch h.Verb {
	case "wants":
		return h.Name + " asks for " + h.What
	case "has":
		if h.Sources > 1 {
			return fmt.Sprintf("%s has %s, from %d at once, in %.1f s", h.Name, h.What, h.Sources, h.Took)
		}
		return fmt.Sprintf("%s has %s, from one, in %.1f s", h.Name, h.What, h.Took)
	case "forgot":
		return h.Name + " deletes " + h.What
	case "shared":
		return h.Name + " shares " + h.What
	case "killed":
		return h.Name + " goes away without a word"
	case "revived":
		return h.Name + " is back"
	case "moved":
		return h.Name + " is on another network"
	case "parted":
		return "the network has fallen apart"
	case "healed":
		return "the network is whole again"
	case "met":
		return "as expected: " + h.What
	case "missed":
		return "NOT as expected: " + h.What
	}
	return h.What
}
