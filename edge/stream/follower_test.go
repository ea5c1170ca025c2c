package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// bucket is a bucket whose leader, replicas and failures a test decides about.
type bucket struct {
	mu      sync.Mutex
	created time.Time
	last    uint64
	keys    map[string]revocation
	// down is what every request fails with.
	down error
	// lag is how many of the last messages a replica lacks, behind how many the leader
	// lacks.
	lag, behind uint64
	polls       []time.Time
	pages       int
}

func newBucket() *bucket { return &bucket{created: time.Now(), keys: map[string]revocation{}} }

func (b *bucket) put(key, value string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last++
	b.keys[key] = revocation{key: key, value: []byte(value), deleted: value == "", seq: b.last}
}

func (b *bucket) set(change func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change()
}

func (b *bucket) from(seq, upTo uint64) []revocation {
	var list []revocation
	for _, r := range b.keys {
		if r.seq >= seq && r.seq <= upTo {
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(a, b revocation) int { return int(a.seq) - int(b.seq) })
	return list
}

func (b *bucket) state(context.Context) (bucketState, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.polls = append(b.polls, time.Now())
	return bucketState{b.created, b.last - b.behind, uint64(len(b.from(1, b.last-b.behind)))}, b.down
}

func (b *bucket) page(_ context.Context, from uint64, each func(revocation)) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pages++
	list := b.from(from, b.last-b.lag)
	for _, r := range list[:min(2, len(list))] {
		each(r)
	}
	return len(list) > 2, b.down
}

func (b *bucket) next(_ context.Context, from uint64) (revocation, bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := b.from(from, b.last-b.behind)
	if b.down != nil || len(list) == 0 {
		return revocation{}, false, b.down
	}
	return list[0], true, nil
}

// follow runs a follower of b until the test ends. The map is what it told; the test may
// look at it while everything waits.
func follow(t *testing.T, b *bucket) (*Follower, map[string]string) {
	t.Helper()
	told := map[string]string{}
	f := newFollower(b, func(key string, value []byte, deleted bool) {
		if deleted {
			delete(told, key)
		} else {
			told[key] = string(value)
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	go f.run(ctx)
	t.Cleanup(func() {
		cancel()
		<-f.Stopped()
	})
	return f, told
}

// pass lets time go by and everything come to rest.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func wantTold(t *testing.T, told map[string]string, want ...string) {
	t.Helper()
	var got []string
	for _, key := range slices.Sorted(maps.Keys(told)) {
		got = append(got, key+"="+told[key])
	}
	if !slices.Equal(got, want) {
		t.Errorf("told %v, want %v", got, want)
	}
}

func TestFollowerTellsEverythingAndThenChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket()
		for i := range 5 {
			b.put(fmt.Sprint("a", i), "1")
		}
		b.put("a3", "")
		b.lag = 3 // The rest is only at the leader.
		f, told := follow(t, b)
		pass(0)
		select {
		case <-f.Loaded():
		default:
			t.Error("not loaded")
		}
		wantTold(t, told, "a0=1", "a1=1", "a2=1", "a4=1")
		b.put("b", "2")
		b.put("a0", "")
		b.put("a1", "3")
		pass(pollEvery)
		wantTold(t, told, "a1=3", "a2=1", "a4=1", "b=2")
		if n := len(b.polls); n != 3 { // Two for the load.
			t.Errorf("%d polls", n)
		}
	})
}

func TestFollowerIsFreshAsLongAsPollsSucceed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket()
		b.down = errors.New("no answer")
		f, told := follow(t, b)
		pass(time.Hour)
		if f.Fresh(time.Now(), time.Hour) || !f.Checked().IsZero() || f.Err() == nil {
			t.Error("fresh before it was loaded")
		}
		b.set(func() { b.down = nil })
		b.put("a", "1")
		pass(10 * time.Second)
		if !f.Fresh(time.Now(), pollEvery) || f.Err() != nil {
			t.Errorf("not fresh: %v", f.Err())
		}
		wantTold(t, told, "a=1")
		checked := f.Checked()
		b.set(func() { b.down = errors.New("no answer") })
		pass(time.Second)
		if f.Fresh(time.Now(), 999*time.Millisecond) || !f.Fresh(time.Now(), 1250*time.Millisecond) || f.Checked() != checked {
			t.Error("fresh although nobody answers")
		}
		// A clock that went on while the machine slept.
		if f.Fresh(time.Now().Round(0).Add(time.Hour), time.Minute) {
			t.Error("fresh after an hour")
		}
		b.set(func() { b.down = nil })
		pass(pollEvery)
		if !f.Fresh(time.Now(), pollEvery) {
			t.Error("not fresh again")
		}
	})
}

func TestFollowerLosesNothingByAnElection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket()
		b.put("a", "1")
		b.put("b", "1")
		f, told := follow(t, b)
		pass(0)
		// The new leader has not caught up with itself.
		b.set(func() { b.behind = 1 })
		pass(fallPatience - pollEvery)
		wantTold(t, told, "a=1", "b=1")
		if !errors.Is(f.Err(), errBehind) || f.Fresh(time.Now(), time.Second) {
			t.Errorf("fresh, %v, although the leader is behind", f.Err())
		}
		b.set(func() { b.behind = 0 })
		b.put("c", "1")
		pass(pollEvery)
		wantTold(t, told, "a=1", "b=1", "c=1")
		// It says how far it goes, and another one is asked for the message.
		b.set(func() { b.behind = 1 })
		pass(pollEvery)
		b.set(func() { b.behind = 0 })
		pass(pollEvery)
		wantTold(t, told, "a=1", "b=1", "c=1")
		if f.Err() != nil {
			t.Error(f.Err())
		}
	})
}

func TestFollowerBelievesALossThatLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket()
		b.put("a", "1")
		b.put("b", "1")
		f, told := follow(t, b)
		pass(0)
		b.set(func() { // The power failed before the last message was on the disk.
			b.last = 1
			delete(b.keys, "b")
		})
		pass(fallPatience + 2*pollEvery)
		wantTold(t, told, "a=1")
		if f.Err() != nil {
			t.Error(f.Err())
		}
	})
}

func TestFollowerSeesAnotherBucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket()
		b.put("a", "1")
		b.put("b", "1")
		f, told := follow(t, b)
		pass(time.Second)
		b.set(func() { b.down = ErrNoRevocations })
		pass(time.Second)
		wantTold(t, told, "a=1", "b=1")
		if !errors.Is(f.Err(), ErrNoRevocations) {
			t.Errorf("error %v", f.Err())
		}
		b.set(func() {
			b.down, b.created, b.last = nil, time.Now(), 0
			clear(b.keys)
		})
		b.put("a", "2")
		pass(pollEvery)
		wantTold(t, told, "a=2")
		// Replaced between two polls, and already longer.
		b.set(func() {
			b.created, b.last = time.Now(), 0
			clear(b.keys)
		})
		for i := range 9 {
			b.put(fmt.Sprint("c", i%3), "3")
		}
		pass(pollEvery)
		wantTold(t, told, "c0=3", "c1=3", "c2=3")
	})
}

func TestFollowerSeesWhatGoesWithoutAWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket()
		b.put("a", "1")
		b.put("b", "1")
		f, told := follow(t, b)
		pass(time.Minute)
		b.set(func() { delete(b.keys, "a") }) // Too old.
		pass(pollEvery)
		wantTold(t, told, "b=1")
		b.set(func() { clear(b.keys) }) // Purged.
		pass(reloadEvery + pollEvery)
		wantTold(t, told)
		pages := b.pages
		pass(time.Minute)
		if b.pages != pages || f.Err() != nil {
			t.Errorf("%d loads of an empty bucket, %v", b.pages-pages, f.Err())
		}
		// Put and gone between two polls, which the last message tells nothing of.
		b.put("c", "1")
		b.put("d", "1")
		b.set(func() { delete(b.keys, "d") })
		pass(fallPatience + 2*pollEvery)
		wantTold(t, told, "c=1")
		if f.Err() != nil {
			t.Error(f.Err())
		}
	})
}
