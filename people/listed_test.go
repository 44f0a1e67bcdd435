package people

import (
	"errors"
	"testing"
	"time"

	"kith"
	"kith/record"
)

// A contact who was away when a device was revoked, and meets nobody of that person but the device that was, learns it from the overlay; so does the device, and a
// record that the device can still put there changes nothing.
func TestRevokedWhileContactsWereAway(t *testing.T) {
	hub, laptop, phone, ben := newRouted(t, "Hub"), newRouted(t, "Anna"), newRouted(t, ""), newRouted(t, "Ben")
	for _, h := range []*home{laptop, phone, ben} {
		h.connect(hub)
	}
	laptop.links(phone)
	ben.joins(laptop)
	person := laptop.o.Me.Certificate().Master
	ben.eventually("Ben knows where her list is", func() bool { return ben.Contact(id(phone)) && ben.ticketOf(t.Context(), person) != record.Ticket{} })
	phone.eventually("the phone has what to publish", func() bool { _, dated := phone.dated(t.Context(), person); return len(dated) == datedCount })
	_, before := phone.dated(t.Context(), person)
	ben.stop()
	phone.stop()
	if _, err := laptop.RevokeDevice(t.Context(), laptop.master(), phone.o.Me.Device()); err != nil {
		t.Fatal(err)
	}
	ticket := laptop.ticketOf(t.Context(), person)
	laptop.eventually("published", func() bool {
		r, err := hub.o.Records.Resolve(t.Context(), ticket)
		return err == nil && string(r.Content) == string(laptop.newest(t.Context(), person))
	})
	laptop.stop()
	if err := hub.o.Records.PublishSealed(t.Context(), ticket, before[0]); !errors.Is(err, kith.Exists) {
		t.Errorf("the phone's older version: %v", err)
	}
	for _, h := range []*home{ben, phone} {
		h.start("kith")
		h.connect(hub)
	}
	ben.connect(phone)
	// Whoever did not answer the library's question at once, on a busy machine, is in the table after two minutes.
	ben.within(5*time.Minute, "Ben has heard", func() bool { return !ben.Contact(id(phone)) })
	phone.within(5*time.Minute, "and the phone", func() bool { _, ok := phone.Revoked(); return ok })
}

// The record's versions follow each other without a gap, and each holds when its time has come.
func TestVersionsForTheMonthsToCome(t *testing.T) {
	laptop, phone := newRouted(t, "Anna"), newRouted(t, "")
	laptop.links(phone)
	ticket, dated := phone.dated(t.Context(), phone.o.Me.Certificate().Master)
	where, err := record.ParseTicket(ticket)
	if err != nil || len(dated) != datedCount {
		t.Fatalf("%d versions, %v", len(dated), err)
	}
	var last record.Record
	for n, value := range dated {
		r, err := record.Open(where, value, time.Now().Add(time.Duration(n)*datedEvery))
		if err != nil || n > 0 && (r.Sequence <= last.Sequence || !r.Issued.Before(last.Expires)) {
			t.Errorf("version %d: %+v after %+v, %v", n, r, last, err)
		}
		last = r
	}
	if key := phone.listKey(laptop.master()); key.Ticket() != where {
		t.Error("it is another record")
	}
	laptop.clock.Store(int64(120 * 24 * time.Hour))
	if err := laptop.renewList(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, again := laptop.dated(t.Context(), laptop.o.Me.Certificate().Master); len(again) != datedCount || string(again[0]) == string(dated[0]) {
		t.Error("they come to an end, and no new ones were signed")
	}
}

// Whoever is taken off the list, and a device that is revoked, can no longer read where a device is; who is a contact still can.
func TestTheRecordMovesWhenSomebodyGoes(t *testing.T) {
	hub, anna, ben, carla := newRouted(t, "Hub"), newRouted(t, "Anna"), newRouted(t, "Ben"), newRouted(t, "Carla")
	for _, h := range []*home{anna, ben, carla} {
		h.connect(hub)
	}
	ben.joins(anna)
	carla.joins(anna)
	ticket := func(h *home) record.Ticket { return h.All()[0].Devices[0].Ticket }
	for _, h := range []*home{ben, carla} {
		h.eventually("the record", func() bool { _, err := h.where(); return err == nil })
	}
	old := ticket(ben)
	if err := anna.Remove(t.Context(), "Ben"); err != nil {
		t.Fatal(err)
	}
	carla.eventually("the new ticket", func() bool { return ticket(carla) != old })
	hub.eventually("nothing under the old one", func() bool { _, err := hub.o.Records.Resolve(t.Context(), old); return errors.Is(err, kith.Gone) })
	carla.eventually("the addresses under the new one", func() bool { _, err := carla.where(); return err == nil })
	if _, err := ben.where(); !errors.Is(err, kith.Gone) {
		t.Errorf("Ben reads it: %v", err)
	}
}
