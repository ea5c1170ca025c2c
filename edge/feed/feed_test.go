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
)

// later returns when that much of the fake time has passed.
func later(d time.Duration) { <-time.After(d) }

func after(seq uint64) wire.Since { return wire.Since{Kind: wire.SinceSeq, Seq: seq} }

func TestReplayMeetsLiveWithoutHoleOrRepetition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		s := newSet(t, log)
		var want []uint64
		for range 5 {
			want = append(want, log.act("a"))
			log.act("b")
		}
		r, start := open(t, s, "adapter:a", wire.Since{Kind: wire.SinceStart})
		want = append(want, log.act("a")) // Live before anything was replayed.
		r.want(0, want...)
		want = append(want, log.act("a"))
		r.want(0, want...)
		if start.Pos != 0 || start.Epoch != "e1" || start.First != 1 || start.Reason != "" {
			t.Errorf("start %+v", start)
		}
	})
}

func TestLostLiveMessageIsRepairedByTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		s := newSet(t, log)
		r, _ := open(t, s, "adapter:a", wire.Since{})
		log.set(func(l *memory) { l.lossy = true })
		want := []uint64{log.act("a"), log.act("a")}
		log.set(func(l *memory) { l.lossy = false })
		want = append(want, log.act("a"))
		synctest.Wait()
		r.want(0, want...)
		if s.Stats.ChainRepairs.Load() != 1 {
			t.Errorf("%d repairs by chain", s.Stats.ChainRepairs.Load())
		}
	})
}

func TestLostLastMessageIsFoundByTheTailCheck(t *testing.T) {
	for _, room := range []string{"adapter:a", "global"} {
		t.Run(room, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := newMemory()
				log.act("a")
				s := newSet(t, log)
				r, _ := open(t, s, room, wire.Since{})
				later(time.Minute) // Quiet: the early checks are over.
				log.set(func(l *memory) { l.lossy = true })
				seq := log.act("a")
				before := time.Now()
				<-r.grew
				r.want(1, seq)
				if took := time.Since(before); took > 5*time.Second {
					t.Errorf("found after %v", took)
				}
				if s.Stats.TailRepairs.Load() != 1 {
					t.Errorf("%d repairs by tail check", s.Stats.TailRepairs.Load())
				}
			})
		})
	}
}

func TestAMessageLostWhileAttachingComesSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		log.act("a")
		s := newSet(t, log)
		log.set(func(l *memory) { l.lossy = true })
		r, _ := open(t, s, "adapter:a", wire.Since{})
		seq := log.act("a")
		before := time.Now()
		<-r.grew
		r.want(1, seq)
		if took := time.Since(before); took > 600*time.Millisecond {
			t.Errorf("found after %v", took)
		}
	})
}

func TestALaggingReplicaIsNotBelieved(t *testing.T) {
	for _, room := range []string{"adapter:a", "adapter:*"} {
		t.Run(room, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := newMemory()
				s := newSet(t, log)
				var want []uint64
				for range 6 {
					want = append(want, log.act("a"))
				}
				r, _ := open(t, s, room, wire.Since{Kind: wire.SinceStart})
				log.set(func(l *memory) { l.lag = 4 })
				r.want(0, want...)
				log.set(func(l *memory) { l.lag = 6; l.lossy = true })
				want = append(want, log.act("a"))
				log.set(func(l *memory) { l.lossy = false })
				want = append(want, log.act("a"))
				later(5 * time.Second)
				r.want(0, want...)
				if s.Stats.Stale.Load() == 0 {
					t.Error("no stale read was noticed")
				}
			})
		})
	}
}

func TestSlowReaderFallsBehindTheRingAndCatchesUp(t *testing.T) {
	for _, room := range []string{"adapter:a", "adapter:*", "global"} {
		t.Run(room, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := newMemory()
				s := newSet(t, log, func(c *Config) { c.RingFrames = 5; c.PageFrames = 7 })
				r, _ := open(t, s, room, wire.Since{})
				var want []uint64
				for range 3 {
					for range 40 {
						want = append(want, log.act("a"))
					}
					r.want(0, want...)
				}
				if r.pages < 3 {
					t.Errorf("%d pages", r.pages)
				}
				pages := r.pages
				want = append(want, log.act("a"))
				r.want(0, want...)
				if r.pages != pages {
					t.Error("a reader at the head read the log")
				}
			})
		})
	}
}

func TestTrimmedWhileBehindIsSaidByName(t *testing.T) {
	for _, room := range []string{"adapter:a", "global"} {
		t.Run(room, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := newMemory()
				s := newSet(t, log, func(c *Config) { c.RingFrames = 2 })
				r, _ := open(t, s, room, wire.Since{})
				for range 10 {
					log.act("a")
				}
				log.trim(4)
				r.want(4, 5, 6, 7, 8, 9, 10)
				if fmt.Sprint(r.note) != "[position_expired]" {
					t.Errorf("told %v", r.note)
				}
			})
		})
	}
}

func TestALogThatLostEverythingSaysSo(t *testing.T) {
	for _, room := range []string{"adapter:a", "global"} {
		t.Run(room, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := newMemory()
				s := newSet(t, log, func(c *Config) { c.RingFrames = 2 })
				r, _ := open(t, s, room, wire.Since{})
				for range 10 {
					log.act("a")
				}
				log.trim(10)
				r.want(10)
				if fmt.Sprint(r.note) != "[position_expired]" {
					t.Errorf("told %v", r.note)
				}
				r.want(10, log.act("a"))
			})
		})
	}
}

func TestTrimmedWhileRepairingIsSaidByName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		s := newSet(t, log)
		r, _ := open(t, s, "adapter:a", wire.Since{})
		log.set(func(l *memory) { l.lossy = true })
		for range 5 {
			log.act("a")
		}
		log.trim(3)
		later(10 * time.Second)
		r.want(3, 4, 5)
		if fmt.Sprint(r.note) != "[position_expired]" {
			t.Errorf("told %v", r.note)
		}
	})
}

func TestResumeDecision(t *testing.T) {
	st := State{Epoch: "e", First: 10, Last: 20}
	for _, c := range []struct {
		seq   uint64
		epoch string
		want  wire.Reason
	}{
		{9, "e", ""}, {20, "e", ""}, {15, "", ""}, {8, "e", wire.PositionExpired}, {0, "e", wire.PositionExpired},
		{21, "e", wire.PositionAhead}, {15, "f", wire.EpochChanged}, {99, "f", wire.EpochChanged},
	} {
		if got := resume(wire.Since{Kind: wire.SinceSeq, Seq: c.seq, Epoch: c.epoch}, st); got != c.want {
			t.Errorf("resume(%d, %q) = %q, want %q", c.seq, c.epoch, got, c.want)
		}
	}
}

func TestQuietChannelsResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		log.act("a")
		s := newSet(t, log)
		used, _ := open(t, s, "adapter:a", wire.Since{})
		never, _ := open(t, s, "adapter:never", wire.Since{})
		view, _ := open(t, s, "lifecycle", wire.Since{})
		for range 50 {
			log.act("b")
		}
		later(10 * time.Second)
		for _, r := range []*reader{used, never, view} {
			r.drain()
			if r.c.Known() != 51 {
				t.Errorf("%s is known up to %d, want 51", r.feed.Room(), r.c.Known())
			}
		}
		log.trim(40)
		for _, room := range []string{"adapter:a", "adapter:never"} {
			if _, start := open(t, s, room, after(51)); start.Reason != "" {
				t.Errorf("%s refused: %s", room, start.Reason)
			}
		}
	})
}

func TestPositionOfAFresherEdgeIsNotRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		s := newSet(t, log)
		log.act("a")
		open(t, s, "adapter:a", wire.Since{})
		log.set(func(l *memory) { l.lossy = true })
		seq := log.act("a")
		r, start := open(t, s, "adapter:a", after(seq))
		if start.Reason != "" {
			t.Fatalf("refused: %s", start.Reason)
		}
		later(5 * time.Second)
		r.want(seq)
		next := log.act("a")
		later(5 * time.Second)
		r.want(seq, next)
	})
}

func TestFormsOfSince(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		s := newSet(t, log, func(c *Config) { c.RingFrames = 4 })
		var a []uint64
		var times []time.Time
		for range 30 {
			a = append(a, log.act("a"))
			times = append(times, time.Now())
			log.act("b")
			later(time.Second)
		}
		for _, room := range []string{"adapter:a", "quiet"} {
			for _, c := range []struct {
				name  string
				since wire.Since
				want  []uint64
			}{
				{"now", wire.Since{}, nil},
				{"start", wire.Since{Kind: wire.SinceStart}, a},
				{"last 3", wire.Since{Kind: wire.SinceLast, Last: 3}, a[27:]},
				{"last 30", wire.Since{Kind: wire.SinceLast, Last: 30}, a},
				{"last 99", wire.Since{Kind: wire.SinceLast, Last: 99}, a},
				{"time", wire.Since{Kind: wire.SinceTime, Time: times[10]}, a[10:]},
				{"time between", wire.Since{Kind: wire.SinceTime, Time: times[10].Add(time.Millisecond)}, a[11:]},
				{"time of the future", wire.Since{Kind: wire.SinceTime, Time: times[29].Add(time.Hour)}, nil},
				{"seq", after(a[20]), a[21:]},
				{"seq between", after(a[20] + 1), a[21:]},
				{"id", wire.Since{Kind: wire.SinceSeq, Seq: a[20], ID: fmt.Sprint("id", a[20])}, a[21:]},
			} {
				if room == "quiet" {
					continue
				}
				r, start := open(t, s, room, c.since)
				if start.Reason != "" {
					t.Errorf("%s: %s", c.name, start.Reason)
				}
				r.drain()
				if fmt.Sprint(r.got) != fmt.Sprint(c.want) {
					t.Errorf("%s: got %v, want %v", c.name, r.got, c.want)
				}
			}
		}
		_, start := open(t, s, "adapter:a", wire.Since{Kind: wire.SinceSeq, Seq: a[20], ID: "other"})
		if start.Reason != wire.EpochChanged || start.Pos != 0 {
			t.Errorf("another event at the position: %+v", start)
		}
	})
}

func TestViewStaysWithinItsScanLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		s := newSet(t, log, func(c *Config) { c.ScanLimit = 10 })
		for range 50 {
			log.act("a")
		}
		r, start := open(t, s, "global", after(5))
		if start.Reason != wire.ScanLimit || start.Pos != 40 {
			t.Fatalf("start %+v", start)
		}
		r.want(40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50)
	})
}

func TestAStormReadsTheLogOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		s := newSet(t, log)
		for range 100 {
			log.act("a")
		}
		f, _ := open(t, s, "adapter:a", wire.Since{})
		served := make(chan Page, 1000)
		log.set(func(l *memory) { l.reads = 0 })
		for i := range 1000 {
			f.feed.Fetch(Want{after: uint64(i % 20), bytes: FirstPage}, func(p Page) { served <- p })
		}
		for range 1000 {
			<-served
		}
		if log.reads > 3 {
			t.Errorf("%d reads for 1000 cursors", log.reads)
		}
	})
}

func TestNATSAwayIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		s := newSet(t, log, func(c *Config) { c.RingFrames = 3 })
		for range 10 {
			log.act("a")
		}
		r, _ := open(t, s, "adapter:a", wire.Since{Kind: wire.SinceStart})
		log.set(func(l *memory) { l.away = true })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Open(ctx, r.feed.target); err != nil {
			t.Errorf("an open feed: %v", err)
		} else {
			r.feed.Release()
		}
		channel, _ := schema.ParseChannel("adapter:b")
		target, _ := s.cat.Lookup(schema.Dhruva, channel)
		if _, err := s.Open(ctx, target); !errors.Is(err, ErrUnavailable) {
			t.Errorf("a new feed: %v", err)
		}
		time.AfterFunc(7*time.Second, func() { log.set(func(l *memory) { l.away = false }) })
		r.want(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
	})
}

func TestFeedLingersThenCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		s := newSet(t, log)
		r, _ := open(t, s, "adapter:a", wire.Since{})
		r.feed.Release()
		later(20 * time.Second)
		if s.Stats.Feeds.Load() != 1 {
			t.Error("the feed did not linger")
		}
		later(20 * time.Second)
		if s.Stats.Feeds.Load() != 0 || len(log.watches) != 0 {
			t.Errorf("%d feeds, %d watches", s.Stats.Feeds.Load(), len(log.watches))
		}
		r.feed.set.mu.Lock()
		r.feed.users++ // For the release at the end of the test.
		r.feed.set.mu.Unlock()
	})
}

func TestAnEventIsEncodedOnceForChannelAndViews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		s := newSet(t, log)
		var readers []*reader
		for _, room := range []string{"global", "lifecycle", "adapter:*", "adapter:a"} {
			r, _ := open(t, s, room, wire.Since{})
			readers = append(readers, r)
		}
		log.act("a")
		var bodies []*byte
		for _, r := range readers {
			bufs, _, _ := r.c.Next(nil, 1000)
			bodies = append(bodies, &bufs[1][0])
		}
		for i := range bodies {
			if bodies[i] != bodies[0] {
				t.Errorf("%s has a body of its own", readers[i].feed.Room())
			}
		}
	})
}
