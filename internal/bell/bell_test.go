package bell

import "testing"

func TestBell(t *testing.T) {
	var b Bell
	b.Ring() // for nobody
	one, two := b.Wait(), b.Wait()
	select {
	case <-one:
		t.Fatal("woken before the ring")
	default:
	}
	b.Ring()
	<-one
	<-two
	select {
	case <-b.Wait():
		t.Fatal("an old ring woke somebody new")
	default:
	}
}
