package node_test

import (
	"errors"
	"strings"
	"testing"

	"kith"
	"kith/app"
	"kith/apptest"
	"kith/node"
	"kith/transfer"
)

func list(t *testing.T, n *apptest.Node) []node.Contact {
	t.Helper()
	var out node.PeopleOut
	if err := n.Call(t.Context(), "node", "people", node.None{}, &out); err != nil {
		t.Fatal(err)
	}
	return out.People
}

// Three people, through the operations: each of two invites and joins, a third does not get in, and a restart changes nothing.
func TestThreePeopleInviteAndJoin(t *testing.T) {
	net := apptest.New(t, 3, func() ([]app.App, transfer.Guard) { return nil, nil })
	call := func(i int, op string, in, out any) error { return net.Node(i).Call(t.Context(), "node", op, in, out) }
	for i, name := range []string{"Anna", "Ben", "Carla"} {
		if err := call(i, "id profile", node.ProfileIn{Name: name}, new(any)); err != nil {
			t.Fatal(err)
		}
	}
	var first, second node.InviteOut
	var joined node.JoinOut
	err := errors.Join(
		call(0, "invite", node.InviteIn{Name: "Benjamin"}, &first), call(1, "join", node.JoinIn{Link: first.Link}, &joined),
		call(2, "invite", node.InviteIn{}, &second), call(0, "join", node.JoinIn{Link: second.Link, Name: "Carlotta"}, &joined))
	if err != nil || joined.State != "joined" || joined.Contact != "Carlotta" {
		t.Fatalf("joined %+v, %v", joined, err)
	}
	if !strings.Contains(first.Command, first.Link) || !strings.Contains(first.QR, "<svg") {
		t.Errorf("invite %+v", first)
	}
	if err := call(2, "join", node.JoinIn{Link: first.Link}, &joined); !errors.Is(err, kith.Gone) {
		t.Errorf("Carla joined by Ben's invite: %v", err)
	}
	net.Restart(0)
	net.Connect(1, 0)
	for i, want := range [][]string{{"Benjamin", "Carlotta"}, {"Anna"}, {"Anna"}} {
		var names []string
		for _, c := range list(t, net.Node(i)) {
			names = append(names, c.Name)
			if !c.Proven || len(c.Peers) != 1 || len(c.Devices) != 1 || c.Seen == nil {
				t.Errorf("%d knows %+v", i, c)
			}
		}
		if strings.Join(names, " ") != strings.Join(want, " ") {
			t.Errorf("%d knows %q, want %q", i, names, want)
		}
	}
	if c := list(t, net.Node(1))[0]; !c.Online || !c.Direct || c.How == "" || c.Profile != "Anna" {
		t.Errorf("Anna is connected: %+v", c)
	}
	var invites node.InvitesOut
	if err := errors.Join(call(2, "invite", node.InviteIn{For: "1h"}, &second), call(2, "invite rm", node.InviteRef{ID: second.ID}, &invites)); err != nil {
		t.Fatal(err)
	}
	if len(invites.Invites) != 2 || invites.Invites[0].State != "withdrawn" || invites.Invites[1].By != "Anna" {
		t.Errorf("Carla's invites: %+v", invites)
	}
	for in, want := range map[node.InviteIn]kith.Kind{{For: "soon"}: kith.Invalid, {For: "1s"}: kith.Invalid, {Name: "\x00"}: kith.Invalid} {
		if err := call(0, "invite", in, &first); !errors.Is(err, want) {
			t.Errorf("invite %+v: %v, want %v", in, err, want)
		}
	}
	var picture node.PictureOut
	if err := call(0, "people picture", node.NameIn{Name: "Benjamin"}, &picture); err != nil || picture.Picture != "" {
		t.Errorf("a picture that there is not: %+v, %v", picture, err)
	}
	if err := call(0, "people picture", node.NameIn{Name: "Nobody"}, &picture); !errors.Is(err, kith.NotFound) {
		t.Errorf("the picture of nobody: %v", err)
	}
	if err := errors.Join(call(0, "people rename", node.RenameIn{Name: "Benjamin", To: "Ben"}, new(any)), call(0, "people rm", node.NameIn{Name: "Carlotta"}, new(any))); err != nil {
		t.Fatal(err)
	}
	if left := list(t, net.Node(0)); len(left) != 1 || left[0].Name != "Ben" {
		t.Errorf("Anna has %+v", left)
	}
}
