package feed

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodhisattva/indranet/edge/wire"
	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/catalogue"
)

// aim is the target of a room of dhruva.
func aim(t *testing.T, s *Set, room string) catalogue.Target {
	t.Helper()
	channel, err := schema.ParseChannel(room)
	if err != nil {
		t.Fatal(err)
	}
	target, err := s.cat.Lookup(schema.Dhruva, channel)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

// visit opens a feed, and leaves it again.
func visit(t *testing.T, s *Set, room string) {
	t.Helper()
	f, err := s.Open(t.Context(), aim(t, s, room))
	if err != nil {
		t.Fatal(err)
	}
	f.Release()
}

func TestFeedsThatLingerAreBoundedAndTheOldestGoFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		s := newSet(t, log, func(c *Config) { c.MaxLingering = 10 })
		r, _ := open(t, s, "adapter:kept", wire.Since{})
		for i := range 50 {
			visit(t, s, fmt.Sprint("adapter:", i))
			if i > 0 {
				visit(t, s, "adapter:0") // Which is thereby never the oldest.
			}
		}
		if n, idle := s.Stats.Feeds.Load(), s.Stats.Lingering.Load(); n != 11 || idle != 10 {
			t.Errorf("%d feeds, of which %d linger", n, idle)
		}
		log.mu.Lock()
		if n := len(log.watches); n != 11 {
			t.Errorf("%d watches", n)
		}
		log.mu.Unlock()
		s.mu.Lock()
		for _, room := range []string{"adapter:kept", "adapter:0", "adapter:41", "adapter:49"} {
			if s.feeds[room] == nil {
				t.Errorf("%s is gone", room)
			}
		}
		s.mu.Unlock()
		log.act("kept")
		r.want(0, 1)
		later(40 * time.Second)
		if n, idle := s.Stats.Feeds.Load(), s.Stats.Lingering.Load(); n != 1 || idle != 0 {
			t.Errorf("later, %d feeds, of which %d linger", n, idle)
		}
	})
}

func TestFeedsAreBoundedAndNobodyWhoIsThereNotices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		s := newSet(t, log, func(c *Config) { c.MaxFeeds = 3 })
		a, _ := open(t, s, "adapter:a", wire.Since{})
		b, _ := open(t, s, "adapter:b", wire.Since{})
		visit(t, s, "adapter:c")
		visit(t, s, "adapter:d") // In the place of c.
		s.mu.Lock()
		if s.feeds["adapter:c"] != nil || s.feeds["adapter:d"] == nil {
			t.Error("the oldest has not made room")
		}
		s.mu.Unlock()
		open(t, s, "adapter:e", wire.Since{}) // In the place of d.
		for range 5 {
			if _, err := s.Open(t.Context(), aim(t, s, "adapter:f")); !errors.Is(err, ErrFull) {
				t.Errorf("one too many: %v", err)
			}
		}
		visit(t, s, "adapter:b")
		if n := s.Stats.Full.Load(); n != 5 {
			t.Errorf("%d were refused", n)
		}
		if n := s.Stats.Feeds.Load(); n != 3 {
			t.Errorf("%d feeds", n)
		}
		log.act("a")
		log.act("b")
		later(time.Second)
		a.want(0, 1)
		b.want(0, 2)
	})
}

// Nobody fills all feeds alone: what a client was the first to want counts as its own, also
// while it lingers, but not what somebody else wanted before.
func TestNoClientTakesMoreThanItsShareOfTheFeeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSet(t, newMemory(), func(c *Config) { c.MaxFeeds, c.Linger = 40, 5*time.Second })
		take := func(client string, from, to int) (feeds []*Feed, got int) {
			tally := Tally{Client: client}
			for i := from; i < to; i++ {
				f, err := s.Open(tally.Count(t.Context()), aim(t, s, fmt.Sprint("adapter:", i)))
				switch {
				case err == nil:
					feeds = append(feeds, f)
				case !errors.Is(err, ErrFull):
					t.Fatal(err)
				}
			}
			return feeds, len(feeds)
		}
		greedy, n := take("greedy", 0, 40)
		if n != 21 { // As long as half are free, there is no reason to refuse any.
			t.Errorf("one client made %d feeds of 40", n)
		}
		if _, n := take("greedy", 0, 10); n != 10 {
			t.Errorf("of what is there it got %d of 10", n)
		}
		others, n := take("other", 5, 35)
		if n != 16+10 {
			t.Errorf("another got %d: 16 that are there, and 10 of its own", n)
		}
		for _, f := range append(greedy, others...) {
			f.Release()
		}
		for i := range 10 {
			s.feeds[fmt.Sprint("adapter:", i)].Release()
		}
		later(10 * time.Second)
		if len(s.feeds) != 0 || len(s.makers) != 0 {
			t.Errorf("%d feeds and %d makers are left", len(s.feeds), len(s.makers))
		}
	})
}

func TestOpenServedMakesNoFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		s := newSet(t, log)
		open(t, s, "adapter:a", wire.Since{})
		visit(t, s, "adapter:b")
		var tally Tally
		ctx := tally.Count(context.Background())
		for _, room := range []string{"adapter:a", "adapter:b"} {
			f, err := s.OpenServed(ctx, aim(t, s, room))
			if err != nil {
				t.Fatalf("%s: %v", room, err)
			}
			f.Release()
		}
		if _, err := s.OpenServed(ctx, aim(t, s, "adapter:c")); !errors.Is(err, ErrFull) {
			t.Errorf("a new one: %v", err)
		}
		if n := s.Stats.Feeds.Load(); n != 2 {
			t.Errorf("%d feeds", n)
		}
		if n := tally.Feeds(); n != 0 {
			t.Errorf("%d were made", n)
		}
		f, err := s.Open(ctx, aim(t, s, "adapter:c"))
		if err != nil {
			t.Fatal(err)
		}
		f.Release()
		if n := tally.Feeds(); n != 1 {
			t.Errorf("then %d were made", n)
		}
	})
}
