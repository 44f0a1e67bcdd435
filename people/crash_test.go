package people

import (
	"context"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"
)

// A device that dies at any point of linking comes up again as one person's device, whole; what was not finished is finished when the two meet, or by another link.
// What is on the disk when it dies is copied there and then, as kill -9 would leave it.
func TestADeviceThatDiesWhileItIsLinked(t *testing.T) {
	for _, c := range []struct {
		point  string
		isNew  bool // it is the new device that dies
		linked bool // no other link is needed
	}{
		{"list signed", false, false},
		{"list kept", false, false},
		{"gift checked", true, false},
		{"adopted", true, true},
		{"known", true, true},
	} {
		t.Run(c.point, func(t *testing.T) {
			laptop, phone, ben := newHome(t, "Anna"), newHome(t, ""), newHome(t, "Ben")
			ben.joins(laptop)
			victim := laptop
			if c.isNew {
				victim = phone
			}
			kept, dies := t.TempDir(), make(chan struct{})
			net, fatal := victim.o.Net, error(nil)
			var once sync.Once
			reached = func(point string) {
				if point != c.point {
					return
				}
				once.Do(func() {
					fatal = os.CopyFS(kept, os.DirFS(victim.dir))
					close(dies)
					go net.Close() // nobody hears of it any more
					runtime.Goexit()
				})
			}
			open, err := laptop.ShowLink(laptop.unlock)
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan struct{})
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			go func() {
				defer close(ended)
				phone.TakeLink(ctx, open.String(), false, phone.unlock, func(string) {})
			}()
			<-dies
			cancel()
			<-ended
			reached = func(string) {}
			if fatal != nil {
				t.Fatal(fatal)
			}
			victim.stop()
			victim.dir = kept
			victim.start("kith")
			phone.connect(laptop)
			if linked := phone.o.Me.Person() == laptop.o.Me.Person(); linked != c.linked {
				t.Fatalf("linked: %v", linked)
			} else if !linked {
				laptop.links(phone)
			}
			phone.eventually("the contact", phone.knows("Ben"))
			for _, h := range []*home{laptop, phone} {
				h.eventually("both devices", func() bool { d, err := h.OwnDevices(t.Context()); return err == nil && len(d) == 2 })
			}
			ben.connect(laptop)
			ben.eventually("Ben knows the phone", func() bool { return ben.Contact(id(phone)) })
		})
	}
}
