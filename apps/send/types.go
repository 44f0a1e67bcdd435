package send

import (
	"fmt"
	"time"

	"kith/internal/human"
)

// What the operations take and give. The CLI, the HTTP API, its OpenAPI document and the page are made from these types.

// SendIn sends files and folders to a contact.
type SendIn struct {
	To      string   `json:"to" arg:"0" doc:"what you call the contact, with or without @; anna/phone for one device of theirs, me or me/laptop for your own"`
	Paths   []string `json:"paths" arg:"1" path:"true" doc:"files and folders to send"`
	Note    string   `json:"note,omitempty" doc:"a short text that goes with it"`
	Detach  bool     `json:"detach,omitempty" short:"d" doc:"do not wait: it goes on in the node"`
	Timeout string   `json:"timeout,omitempty" doc:"stop waiting after this long, such as 90s; it stays in the outbox (default: never)"`
	Expire  string   `json:"expire,omitempty" default:"30d" doc:"take it back if nobody has taken it after this long"`
}

// Delivery is something sent or received, and how it stands.
type Delivery struct {
	N      int        `json:"n" doc:"its number in the inbox or the outbox"`
	ID     string     `json:"id"`
	Who    string     `json:"who" doc:"the contact"`
	Name   string     `json:"name"`
	Size   int64      `json:"size" doc:"bytes of all its files"`
	Files  int        `json:"files" doc:"number of files"`
	Note   string     `json:"note,omitempty" doc:"the text that came with it"`
	State  string     `json:"state" enum:"reading,waiting,offered,taking,stuck,delivered,declined,cancelled,expired,failed"`
	Text   string     `json:"text" doc:"how it stands, in a sentence"`
	Next   string     `json:"next,omitempty" doc:"what comes next, or what a person can do now, in a sentence"`
	Done   int64      `json:"done" doc:"bytes read, then bytes that are there"`
	Rate   float64    `json:"rate" doc:"bytes a second"`
	Path   string     `json:"path,omitempty" doc:"where it is on this computer"`
	Ref    string     `json:"ref,omitempty" doc:"the item it is in the list of files"`
	Made   time.Time  `json:"made"`
	Until  time.Time  `json:"until" doc:"when it is taken back unless it was taken"`
	Ended  *time.Time `json:"ended,omitempty"`
	Online bool       `json:"online" doc:"a device of the contact is connected"`
}

// SendOut tells how what was sent stands.
type SendOut struct {
	Sent []Delivery `json:"sent" doc:"one for each path"`
}

// BoxOut is an inbox or an outbox, the latest last.
type BoxOut struct {
	Box        string     `json:"box" enum:"inbox,outbox"`
	Deliveries []Delivery `json:"deliveries"`
}

// MailOut is what came, what is offered, and what is sent.
type MailOut struct {
	In  []Delivery `json:"in"`
	Out []Delivery `json:"out"`
}

// AcceptIn takes offers.
type AcceptIn struct {
	N      []int  `json:"n,omitempty" arg:"0" doc:"numbers in the inbox; without one, the only offer that waits"`
	Output string `json:"output,omitempty" short:"o" path:"true" doc:"folder to put it in, or the name it shall have; default: Inbox in the node's files folder"`
	Detach bool   `json:"detach,omitempty" short:"d" doc:"do not wait: it comes to the node"`
}

// AcceptOut tells how what was taken stands.
type AcceptOut struct {
	Taken []Delivery `json:"taken" doc:"one for each number"`
}

// NumberIn names a delivery.
type NumberIn struct {
	N int `json:"n" arg:"0" doc:"number in the list"`
}

// AutoIn says what is taken without asking.
type AutoIn struct {
	Who string `json:"who,omitempty" arg:"0" doc:"the contact; without one, the contacts for whom it is on are listed"`
	Max string `json:"max,omitempty" doc:"most that is taken in a day, such as 500MiB; off: ask each time (default 1GiB)"`
}

// AutoOut is what is taken without asking.
type AutoOut struct {
	Auto []Auto `json:"auto"`
}

// Auto is a contact whose offers are taken without asking.
type Auto struct {
	Who string `json:"who"`
	Max int64  `json:"max" doc:"bytes in a day"`
}

// outNext says what comes next of an outgoing, or what the sender can do.
func outNext(o *outgoing) string {
	until := o.Until.Local().Format("2 January")
	switch o.State {
	case waiting:
		if o.Reason != "" {
			return "it is offered again by itself, until " + until
		}
		return "it is offered as soon as " + o.To + " is online, until " + until + "; leave the file where it is"
	case offered:
		return "it waits until " + until + "; leave the file where it is"
	case stuck:
		return "tell " + o.To + ", who goes on with it once that is mended"
	case declined:
		return "ask " + o.To + " before you send it again"
	case expired:
		return "tell " + o.To + ", and send it again"
	case cancelled:
		if o.Reason != "" {
			return "send it again as it is now"
		}
	case failed:
		return "see that the file is there and can be read, and send it again"
	}
	return ""
}

// inNext says what the person can do about an incoming.
func inNext(i *incoming) string {
	switch i.State {
	case offered:
		return "it waits for your answer until " + i.Until.Local().Format("2 January")
	case stuck:
		return "mend that, by making room for example, and go on"
	case expired, cancelled:
		return "ask " + i.Who + " to send it again, if you want it still"
	}
	return ""
}

// outText says how an outgoing stands.
func outText(o *outgoing, online bool, rate float64) string {
	why := ""
	if o.Reason != "" {
		why = ": " + o.Reason
	}
	switch o.State {
	case reading:
		return "reading it" + percent(o.done, o.Size)
	case waiting:
		switch {
		case o.Reason != "":
			return "not offered yet" + why
		case online:
			return "offering it to " + o.To
		}
		return "waiting for " + o.To + " to be online"
	case offered:
		return "offered to " + o.To + "; waiting for an answer"
	case taking:
		text := o.To + " takes it" + percent(o.done, o.Size)
		switch {
		case !online:
			text += "; waiting for " + o.To + " to be online again"
		case rate > 0:
			text += ", " + human.Rate(rate)
		}
		return text
	case stuck:
		return o.To + " could not go on" + why + "; it goes on from there when that is mended"
	case delivered:
		return "delivered to " + o.To
	case declined:
		return o.To + " declined it" + why
	case expired:
		return o.To + " did not take it in time"
	case cancelled:
		return "taken back" + why
	}
	return "it could not be read" + why
}

// inText says how an incoming stands.
func inText(i *incoming) string {
	why := ""
	if i.Reason != "" {
		why = ": " + i.Reason
	}
	switch i.State {
	case offered:
		return fmt.Sprintf("offered; take it with: kith inbox accept %d", i.N)
	case taking:
		text := "coming" + percent(i.done, i.Size)
		switch {
		case i.rate > 0:
			text += ", " + human.Rate(i.rate)
		case i.trouble != "":
			text += "; " + i.trouble
		}
		return text
	case stuck:
		if i.trouble != "" {
			why = ": " + i.trouble
		}
		return fmt.Sprintf("stopped%s; go on with: kith inbox accept %d", why, i.N)
	case delivered:
		return "here"
	case declined:
		return "declined" + why
	case expired:
		return "not taken in time"
	}
	return "taken back by " + i.Who + why
}

func percent(done, total int64) string {
	if total <= 0 {
		return ""
	}
	return fmt.Sprintf(": %d %%", int(100*float64(min(done, total))/float64(total)))
}
