package limit

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

func address(i int) netip.Prefix {
	return Key(netip.AddrFrom4([4]byte{192, byte(i >> 16), byte(i >> 8), byte(i)}))
}

func TestFailuresDelayMoreAndMoreThenBlock(t *testing.T) {
	now := time.Now()
	f := NewFailures(DefaultFailures())
	key := address(1)
	for i, want := range []time.Duration{0, 250, 500, 1000, 2000, 4000, 4000, 4000, 4000, 4000} {
		if until, blocked := f.Blocked(key, now); blocked {
			t.Fatalf("blocked until %v after %d failures", until, i)
		}
		if got := f.Fail(key, now); got != want*time.Millisecond {
			t.Errorf("failure %d waits %v, want %v", i+1, got, want*time.Millisecond)
		}
		now = now.Add(time.Second)
	}
	began := now.Add(-time.Second)
	until, blocked := f.Blocked(key, now)
	if !blocked || !until.Equal(began.Add(10*time.Minute)) {
		t.Fatalf("blocked: %v until %v, want until 10 minutes after the tenth failure", blocked, until)
	}
	if d := f.Fail(key, now.Add(5*time.Minute)); d != longestDelay {
		t.Errorf("a failure while blocked waits %v", d)
	}
	if again, _ := f.Blocked(key, now); !again.Equal(until) {
		t.Error("a failure while blocked moves the end of the block")
	}
	if _, blocked := f.Blocked(address(2), now); blocked {
		t.Error("another address is blocked")
	}
	if _, blocked := f.Blocked(key, until.Add(-1)); !blocked {
		t.Error("the block ends early")
	}
	if _, blocked := f.Blocked(key, until); blocked {
		t.Error("the block does not end")
	}
	if d := f.Fail(key, until); d != 0 {
		t.Errorf("the first failure after a block waits %v", d)
	}
}

func TestFailuresCountOnlyWithinTheWindow(t *testing.T) {
	now := time.Now()
	f := NewFailures(FailuresConfig{Max: 3, Window: time.Minute})
	key := address(1)
	for range 100 { // two a window, for ever
		now = now.Add(30 * time.Second)
		if d := f.Fail(key, now); d > 250*time.Millisecond {
			t.Fatalf("waits %v", d)
		}
		if _, blocked := f.Blocked(key, now); blocked {
			t.Fatal("blocked")
		}
	}
	f.Fail(key, now.Add(29*time.Second))
	if _, blocked := f.Blocked(key, now.Add(29*time.Second)); !blocked {
		t.Error("three within a window do not block")
	}
}

func TestFailuresCanBeSwitchedOff(t *testing.T) {
	now := time.Now()
	off, on := NewFailures(FailuresConfig{}), NewFailures(DefaultFailures())
	for range 100 {
		if off.Fail(address(1), now) != 0 || on.Fail(netip.Prefix{}, now) != 0 {
			t.Fatal("a delay")
		}
	}
	if _, blocked := off.Blocked(address(1), now); blocked {
		t.Error("blocked")
	}
	if _, blocked := on.Blocked(netip.Prefix{}, now); blocked {
		t.Error("no address is blocked")
	}
	if off.Len()+on.Len() != 0 {
		t.Error("something is remembered")
	}
}

func TestFailuresForgetTheOldestOfTooMany(t *testing.T) {
	now := time.Now()
	f := NewFailures(FailuresConfig{Max: 2, Keys: 100})
	for i := range 100 {
		f.Fail(address(i), now)
	}
	f.Fail(address(0), now) // blocked, and now the newest
	for i := range 50 {
		f.Fail(address(100+i), now)
	}
	if f.Len() != 100 || f.Evicted() != 50 {
		t.Errorf("%d are remembered and %d evicted, want 100 and 50", f.Len(), f.Evicted())
	}
	if _, blocked := f.Blocked(address(0), now); !blocked {
		t.Error("one of the newest is forgotten")
	}
	if d := f.Fail(address(51), now); d == 0 {
		t.Error("number 51 is forgotten")
	}
	if d := f.Fail(address(1), now); d != 0 {
		t.Error("the oldest is remembered")
	}
}

func TestFailuresForgetWhoStopped(t *testing.T) {
	now := time.Now()
	f := NewFailures(FailuresConfig{Max: 3, Window: time.Minute, Block: time.Minute})
	for i := range 1000 {
		f.Fail(address(i), now)
	}
	now = now.Add(2 * time.Minute)
	for range 1000 {
		f.Fail(address(5000), now)
	}
	if f.Len() != 1 {
		t.Errorf("%d are remembered long after", f.Len())
	}
}

// FuzzFailuresAreTheNaiveOnes compares with a list of all failures ever.
func FuzzFailuresAreTheNaiveOnes(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 64, 1, 2, 130, 0, 0, 0, 7})
	f.Fuzz(func(t *testing.T, ops []byte) {
		const window, block, limit = 20 * time.Second, 30 * time.Second, 4
		set := NewFailures(FailuresConfig{Max: limit, Window: window, Block: block})
		type state struct {
			failed []time.Time
			until  time.Time
		}
		model := map[int]*state{0: {}, 1: {}, 2: {}}
		now := time.Now()
		for i, op := range ops {
			who := int(op) % 3
			s, key := model[who], address(who)
			now = now.Add(time.Duration(op>>4) * time.Second)
			at := fmt.Sprintf("op %d of %v", i, ops)
			got := set.Fail(key, now)
			if now.Before(s.until) {
				if got != longestDelay {
					t.Fatalf("%s: waits %v while blocked", at, got)
				}
			} else {
				s.failed = append(s.failed, now)
				n := 0
				for _, f := range s.failed {
					if now.Sub(f) < window {
						n++
					}
				}
				want := []time.Duration{0, 0, 250, 500, 1000}[n] * time.Millisecond
				if got != want {
					t.Fatalf("%s: waits %v at failure %d", at, got, n)
				}
				if n == limit {
					*s = state{until: now.Add(block)}
				}
			}
			for who, s := range model {
				until, blocked := set.Blocked(address(who), now)
				if blocked != now.Before(s.until) || blocked && !until.Equal(s.until) {
					t.Fatalf("%s: %d is blocked: %v until %v, want until %v", at, who, blocked, until, s.until)
				}
			}
		}
	})
}
