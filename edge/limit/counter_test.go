package limit

import (
	"net/netip"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestCounterKeepsTheLimitOfEachKey(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 4).Draw(t, "limit")
		c, model := NewCounter[string](limit), map[string]int{}
		key := rapid.SampledFrom([]string{"", "a", "b", "c"})
		t.Repeat(map[string]func(*rapid.T){
			"acquire": func(t *rapid.T) {
				k := key.Draw(t, "key")
				ok, want := c.Acquire(k), k == "" || model[k] < limit
				if ok != want {
					t.Fatalf("Acquire(%q) = %v with %d holders", k, ok, model[k])
				}
				if ok && k != "" {
					model[k]++
				}
			},
			"release": func(t *rapid.T) {
				k := key.Draw(t, "key")
				c.Release(k)
				if model[k]--; model[k] <= 0 {
					delete(model, k)
				}
			},
			"": func(t *rapid.T) {
				if c.Len() != len(model) {
					t.Fatalf("%d keys are kept, %d have holders", c.Len(), len(model))
				}
				for k, n := range model {
					if c.Held(k) != n {
						t.Fatalf("Held(%q) = %d, want %d", k, c.Held(k), n)
					}
				}
			},
		})
	})
}

func TestCounterWithoutALimitCountsNothing(t *testing.T) {
	c := NewCounter[netip.Prefix](0)
	key := Key(netip.MustParseAddr("192.0.2.1"))
	for range 1000 {
		if !c.Acquire(key) {
			t.Fatal("refused")
		}
	}
	c.Release(key)
	if c.Len() != 0 {
		t.Errorf("%d keys are kept", c.Len())
	}
}

func TestCounterNeverExceedsItsLimitConcurrently(t *testing.T) {
	c := NewCounter[int](3)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 2000 {
				k := 1 + i%2
				if c.Acquire(k) {
					if n := c.Held(k); n > 3 {
						t.Errorf("%d holders", n)
					}
					c.Release(k)
				}
			}
		})
	}
	wg.Wait()
	if c.Len() != 0 {
		t.Errorf("%d keys are kept", c.Len())
	}
}

func TestArrivalsAllowABurstAndThenTheRate(t *testing.T) {
	now := time.Now()
	a := newArrivals(10)
	one, two := Key(netip.MustParseAddr("192.0.2.1")), Key(netip.MustParseAddr("192.0.2.2"))
	came := func(key netip.Prefix, n int) (let int) {
		for range n {
			if a.take(key, now) {
				let++
			}
		}
		return let
	}
	if n := came(one, 100); n != 10 {
		t.Errorf("%d came at once, want the burst of 10", n)
	}
	if n := came(two, 3); n != 3 {
		t.Errorf("%d of another address came, want 3", n)
	}
	now = now.Add(550 * time.Millisecond)
	if n := came(one, 100); n != 5 {
		t.Errorf("%d came after 550 ms, want 5", n)
	}
	if n := came(netip.Prefix{}, 1000); n != 1000 {
		t.Errorf("%d without an address came, want all", n)
	}
	now = now.Add(time.Hour)
	if n := came(one, 100); n != 10 {
		t.Errorf("%d came after an hour, want the burst of 10", n)
	}
	if (*arrivals)(nil).take(one, now) != true {
		t.Error("no limit refuses")
	}
}

func TestArrivalsForgetWhoHasRested(t *testing.T) {
	now := time.Now()
	a := newArrivals(5)
	for i := range 5000 {
		now = now.Add(time.Millisecond)
		a.take(Key(netip.AddrFrom4([4]byte{1, 2, byte(i >> 8), byte(i)})), now)
		// One arrival is forgiven after 200 ms.
		if n := len(a.full.nodes); n > 202 {
			t.Fatalf("%d addresses are remembered", n)
		}
	}
}

func TestArrivalsAreBoundedInAFlood(t *testing.T) {
	now := time.Now()
	a := newArrivals(1)
	for i := range arrivalKeys + 5000 {
		if !a.take(Key(netip.AddrFrom4([4]byte{byte(i >> 16), byte(i >> 8), byte(i), 1})), now) {
			t.Fatal("the first one of an address is refused")
		}
	}
	if n := len(a.full.nodes); n != arrivalKeys {
		t.Errorf("%d addresses are remembered, want %d", n, arrivalKeys)
	}
}
