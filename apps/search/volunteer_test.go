package search_test

import (
	"bufio"
	"errors"
	"strings"
	"testing"
	"time"

	"kith"
	"kith/apps/files"
	"kith/apps/search"
	"kith/apps/search/volunteer"
	"kith/apptest"
	"kith/search/ask"
	"kith/search/publication"
	"kith/wire"
)

func role(t *testing.T, n *apptest.Node, op string, in any) volunteer.VolunteerOut {
	t.Helper()
	var out volunteer.VolunteerOut
	if err := n.Call(t.Context(), "search", op, in, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// everybodys asks a node for what it has of everybody, as another.
func everybodys(t *testing.T, from, to *apptest.Node, text string) (list []publication.Publication) {
	t.Helper()
	st, err := from.Network().Open(t.Context(), to.Network().ID(), ask.ProtocolID)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	var answer struct {
		Give [][]byte `cbor:"1,keyasint"`
		Busy bool     `cbor:"3,keyasint"`
		Say  [][]byte `cbor:"4,keyasint"`
	}
	if err := wire.WriteMsg(st, map[int]any{1: text, 4: true}); err != nil {
		t.Fatal(err)
	}
	if err := wire.ReadMsg(bufio.NewReader(st), 1<<20, &answer); err != nil || answer.Busy || len(answer.Say) > 0 {
		t.Fatalf("%s: %v, %+v", text, err, answer)
	}
	for _, value := range answer.Give {
		p, err := publication.Parse(value)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
	return list
}

// eventually waits until something is so.
func eventually(t *testing.T, why string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !so(); time.Sleep(600 * time.Millisecond) { // no more often than is answered
		if time.Now().After(end) {
			t.Fatal(why)
		}
	}
}

// Who volunteers fetches what others publish beyond what everybody keeps of it, says so, and others find it when whoever publishes it is gone, as signed by them. It gives nothing that is not public, nor what was taken back,
// and keeps no more than others when it volunteers no more.
func TestVolunteer(t *testing.T) {
	var w tap
	net := apptest.New(t, 4, w.with(t, "of_stranger = 1")) // 0 knows the others
	publisher, seeker, helper := net.Node(1), net.Node(2), net.Node(3)
	net.Connect(2, 3)
	words := []string{"blue", "steps", "mingus", "voyage"}
	for _, name := range []string{"Kind of Blue.flac", "Giant Steps.flac", "Mingus Ah Um.flac", "Maiden Voyage.flac"} {
		share(t, publisher, name, name, files.ShareIn{For: "public"})
	}
	share(t, helper, "Giant Steps (mine).flac", "Giant Steps.flac", files.ShareIn{})
	share(t, helper, "Diary of Steps.txt", "secret", files.ShareIn{})
	share(t, helper, "Letters of Steps.txt", "more", files.ShareIn{For: "contacts"})
	eventually(t, "nobody hears of who publishes", func() bool {
		return find(t, publisher, "flac").Publishing == 0 && role(t, helper, "search volunteer", nil).Devices == 1
	})
	on := role(t, helper, "search volunteer on", volunteer.VolunteerOnIn{Most: 1000})
	if !on.On || on.Most != 1000 || on.Kept != 0 {
		t.Errorf("%+v", on)
	}
	eventually(t, "what is beyond what others keep is not fetched", func() bool {
		return role(t, helper, "search volunteer", nil).Kept == len(words)-1
	})
	eventually(t, "nobody hears of the volunteer", func() bool { return role(t, seeker, "search volunteer", nil).Others == 1 })
	until(t, helper, "diary", "its owner does not find the diary", one)
	for _, word := range []string{"steps", "diary", "letters"} {
		got := everybodys(t, seeker, helper, word)
		if word == "steps" && (len(got) != 1 || got[0].Publisher != publisher.Network().ID() || got[0].Name != "Giant Steps.flac") || word != "steps" && len(got) != 0 {
			t.Errorf("%s: given %+v", word, got)
		}
	}
	if got := everybodys(t, seeker, publisher, "steps"); len(got) != 1 || got[0].Publisher != publisher.Network().ID() {
		t.Errorf("who does not volunteer gives %+v", got)
	}
	if got := everybodys(t, publisher, seeker, "steps"); len(got) != 0 {
		t.Errorf("who does not volunteer gives what another publishes: %+v", got)
	}
	if err := publisher.Call(t.Context(), "files", "unpublish", files.UnpublishIn{Ref: "Mingus Ah Um.flac", For: "link"}, new(any)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "what was taken back is still given", func() bool { return len(everybodys(t, seeker, helper, "mingus")) == 0 })

	eventually(t, "the volunteer cannot prove itself", func() bool { // what others found shows that it has it
		asked := 0
		for _, word := range []string{"blue", "steps", "voyage"} {
			if out := find(t, seeker, word); out.Volunteers == 1 && out.Answered == 2 {
				asked++
			}
		}
		return asked >= 2
	})
	whose := publisher.Network().ID()
	publisher.Stop()
	asked := 0
	for _, word := range []string{"blue", "steps", "voyage"} {
		var out search.SearchOut
		eventually(t, word+": what the volunteer has of who is gone is not found", func() bool {
			out = find(t, seeker, word)
			return len(out.Results) == 1
		})
		if r := out.Results[0]; r.Sources != 1 || len(r.Strangers) != 1 || r.Strangers[0] != whose {
			t.Errorf("%s: %+v", word, out)
		}
		asked += out.Volunteers
	}
	if asked < 2 {
		t.Errorf("a volunteer is asked %d times for two of three that are nowhere else", asked)
	}
	state := role(t, helper, "search volunteer", nil)
	if state.Asked < 2 || state.Given < 2 || state.Sent < 400 || state.Fetched < 400 || state.Disk == 0 {
		t.Errorf("%+v", state)
	}
	off := role(t, helper, "search volunteer off", nil)
	if off.On || off.Kept != 0 || off.All == 0 {
		t.Errorf("when it is off: %+v", off)
	}
	eventually(t, "nobody hears that it volunteers no more", func() bool { return role(t, seeker, "search volunteer", nil).Others == 0 })
	if got := len(everybodys(t, seeker, helper, "steps")) + len(everybodys(t, seeker, helper, "blue")) + len(everybodys(t, seeker, helper, "voyage")); got != 0 {
		t.Errorf("who volunteers no more gives %d", got)
	}
}

// It stays on through a restart, with what it has; what makes no sense is told so.
func TestVolunteerStays(t *testing.T) {
	var w tap
	net := apptest.New(t, 2, w.with(t, "of_stranger = 1"))
	var out volunteer.VolunteerOut
	for _, most := range []int{-1, 5_000_001} {
		err := net.Node(0).Call(t.Context(), "search", "search volunteer on", volunteer.VolunteerOnIn{Most: most}, &out)
		if !errors.Is(err, kith.Invalid) || !strings.Contains(kith.HintOf(err), "5000000") {
			t.Errorf("%d: %v", most, err)
		}
	}
	role(t, net.Node(0), "search volunteer on", nil)
	for _, name := range []string{"Kind of Blue.flac", "Giant Steps.flac", "Mingus Ah Um.flac"} {
		share(t, net.Node(1), name, name, files.ShareIn{For: "public"})
	}
	kept := func() bool { return role(t, net.Node(0), "search volunteer", nil).Kept == 2 }
	eventually(t, "what is beyond what others keep is not fetched", kept)
	net.Restart(0)
	if out := role(t, net.Node(0), "search volunteer", nil); !out.On || out.Most != 1_000_000 || out.Kept != 2 {
		t.Errorf("after a restart: %+v", out)
	}
}
