package limit

import (
	"testing"
	"time"
)

// offer offers perSecond messages a second for a time, evenly, and tells what became of
// them and when the connection was given up first (-1: never).
func offer(r *Rate, now *time.Time, perSecond int, d time.Duration) (let, refused int, hopeless time.Duration) {
	hopeless = -1
	every := time.Second / time.Duration(perSecond)
	for t := time.Duration(0); t < d; t += every {
		*now = now.Add(every)
		ok, _, given := r.Take(*now)
		if ok {
			let++
		} else {
			refused++
		}
		if given && hopeless < 0 {
			hopeless = t
		}
	}
	return let, refused, hopeless
}

func TestRateAllowsABurstAndThenTheRate(t *testing.T) {
	now := time.Now()
	r := NewRate(100)
	for i := range 150 {
		if ok, _, _ := r.Take(now); !ok {
			t.Fatalf("message %d of the burst is refused", i+1)
		}
	}
	ok, retry, hopeless := r.Take(now)
	if ok || hopeless || retry <= 0 || retry > 10*time.Millisecond+1 {
		t.Fatalf("message 151: %v, retry after %v, hopeless %v", ok, retry, hopeless)
	}
	if ok, _, _ := r.Take(now.Add(retry)); !ok {
		t.Error("refused after what it said to wait")
	}
	now = now.Add(time.Second)
	if let, refused, _ := offer(&r, &now, 100, time.Minute); refused != 0 {
		t.Errorf("at the rate, %d are let and %d refused", let, refused)
	}
}

func TestRateAllowsAllWhereThereIsNone(t *testing.T) {
	r := NewRate(0)
	for range 1000 {
		if ok, _, _ := r.Take(time.Time{}); !ok {
			t.Fatal("refused")
		}
	}
	if r.bucket != nil {
		t.Error("a bucket was made")
	}
}

func TestRetryAfterIsNeverTooShort(t *testing.T) {
	for _, perSecond := range []int{1, 3, 7, 100, 999, 1_000_000} {
		now := time.Now()
		r := NewRate(perSecond)
		for range 10_000 {
			ok, retry, _ := r.Take(now)
			if ok {
				continue
			}
			if retry > time.Second/time.Duration(perSecond)+1 {
				t.Fatalf("at %d a second, retry after %v", perSecond, retry)
			}
			now = now.Add(retry)
			if ok, _, _ := r.Take(now); !ok {
				t.Fatalf("at %d a second, refused after waiting %v", perSecond, retry)
			}
		}
	}
}

func TestWhoKeepsExceedingIsHopeless(t *testing.T) {
	for _, c := range []struct {
		name     string
		offered  int // a second, with 100 allowed
		hopeless bool
	}{
		{"a little too much", 110, false},
		{"a quarter too much", 125, false},
		{"twice as much", 200, true},
		{"a flood", 10_000, true},
	} {
		now := time.Now()
		r := NewRate(100)
		_, _, hopeless := offer(&r, &now, c.offered, time.Minute)
		if got := hopeless >= 0; got != c.hopeless {
			t.Errorf("%s: hopeless after %v, want %v", c.name, hopeless, c.hopeless)
		}
		if hopeless > 11*time.Second {
			t.Errorf("%s: hopeless only after %v", c.name, hopeless)
		}
	}
}

func TestOneOutburstIsForgiven(t *testing.T) {
	now := time.Now()
	r := NewRate(100)
	for range 20 { // 450 at once, 150 of which are allowed, every 11 seconds
		now = now.Add(11 * time.Second)
		for i := range 450 {
			if _, _, hopeless := r.Take(now); hopeless {
				t.Fatalf("hopeless at message %d", i+1)
			}
		}
	}
	if _, _, hopeless := r.Take(now); !hopeless {
		t.Error("message 451 is not hopeless")
	}
}

func TestRateCountsADearMessageAsMany(t *testing.T) {
	now := time.Now()
	r := NewRate(10)
	if ok, _, _ := r.Take(now); !ok {
		t.Fatal("the first is refused")
	}
	r.Spend(now, 64) // 50 more than the burst has left.
	ok, retry, _ := r.Take(now)
	if ok || retry < 5*time.Second || retry > 5200*time.Millisecond {
		t.Errorf("the next: %v, retry after %v", ok, retry)
	}
	if ok, _, _ := r.Take(now.Add(retry)); !ok {
		t.Error("refused after what it said to wait")
	}
	free := NewRate(0)
	free.Spend(now, 1000)
	if ok, _, _ := free.Take(now); !ok {
		t.Error("refused where there is no rate")
	}
}
