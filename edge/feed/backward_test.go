package feed

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/bodhisattva/indranet/edge/wire"
	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/catalogue"
)

func TestStretchesGrowAsTheEventsLie(t *testing.T) {
	for _, c := range []struct{ looked, found, missing, want uint64 }{
		{0, 0, 51, 51},                 // Nothing is known: as if every event were of the channel.
		{51, 5, 46, 51 * 8},            // 46 more would need 586, but no leap is so long.
		{51, 30, 21, 43},               // Dense.
		{51, 0, 51, 51 * 8},            // Nothing found.
		{1000, 999, 1, 1},              // Never nothing.
		{1 << 40, 2, 1000, 1 << 43},    // Far.
		{1 << 40, 1000, 1, 1374389533}, // Thin, but known to be.
	} {
		if got := stretchSize(c.looked, c.found, c.missing); got != c.want {
			t.Errorf("stretchSize(%d, %d, %d) = %d, want %d", c.looked, c.found, c.missing, got, c.want)
		}
	}
}

// newestOf asks for the newest n events of a channel below before.
func newestOf(t testing.TB, s *Set, channel string, n int, before uint64, bytes int) (History, error) {
	t.Helper()
	c, err := schema.ParseChannel(channel)
	if err != nil {
		t.Fatal(err)
	}
	target, err := s.cat.Lookup(schema.Dhruva, c)
	if err != nil {
		t.Fatal(err)
	}
	return s.History(t.Context(), target, wire.Since{Kind: wire.SinceLast, Last: n}, n, before, bytes)
}

func seqsOf(frames []wire.Frame) (list []uint64) {
	for _, f := range frames {
		list = append(list, f.Seq)
	}
	return list
}

// lying are ways how the events of adapter:a may lie among those of others.
var lying = map[string]func(r *rand.Rand, i, of int) bool{
	"all":            func(*rand.Rand, int, int) bool { return true },
	"every second":   func(_ *rand.Rand, i, _ int) bool { return i%2 == 0 },
	"every 20th":     func(_ *rand.Rand, i, _ int) bool { return i%20 == 0 },
	"at random":      func(r *rand.Rand, _, _ int) bool { return r.IntN(7) == 0 },
	"thin":           func(_ *rand.Rand, i, _ int) bool { return i%997 == 0 },
	"old crowd":      func(_ *rand.Rand, i, of int) bool { return i < of/3 || i == of-2 },
	"bursts":         func(_ *rand.Rand, i, _ int) bool { return i%900 < 150 },
	"only the first": func(_ *rand.Rand, i, _ int) bool { return i == 0 },
	"none":           func(*rand.Rand, int, int) bool { return false },
}

func TestTheNewestEventsAreFoundHoweverTheyLieAtABoundedPrice(t *testing.T) {
	const of = 3000
	for name, lies := range lying {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log, r := newMemory(), rand.New(rand.NewPCG(1, 2))
				var all []uint64
				for i := range of {
					if lies(r, i, of) {
						all = append(all, log.act("a"))
					} else {
						log.act(fmt.Sprint("b", i%3))
					}
				}
				s := newSet(t, log)
				for _, n := range []int{1, 2, 50, 300} {
					for _, before := range []uint64{0, 1, 2, of / 3, of - 1} {
						want := slices.Clone(all)
						if before > 0 {
							want = want[:len(slices.DeleteFunc(want, func(q uint64) bool { return q >= before }))]
						}
						older := len(want) > n
						want = want[max(0, len(want)-n):]
						read := s.Stats.ReadEvents.Load()
						past, err := newestOf(t, s, "adapter:a", n, before, wire.MaxMessage)
						if err != nil {
							t.Fatal(err)
						}
						if got := seqsOf(past.Frames); !slices.Equal(got, want) || older && !past.More {
							t.Fatalf("the newest %d before %d are %v, want %v (more: %v)", n, before, got, want, past.More)
						}
						// Two or three times what is given, and half a dozen misses of a few each.
						read = s.Stats.ReadEvents.Load() - read
						if most := uint64(3*n + 20*(n/20+12)); read > most {
							t.Errorf("%d events read for the newest %d before %d (%d given), at most %d expected", read, n, before, len(want), most)
						}
					}
				}
			})
		})
	}
}

func TestTheNewestEventsOfAViewAreFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		var all []uint64
		for i := range 3000 {
			if i%40 == 0 {
				all = append(all, log.act("a"))
			} else {
				log.put("fusion:f", "fusion.completed", `{"fusion_id":"f"}`)
			}
		}
		s := newSet(t, log)
		for _, n := range []int{1, 20, 70, 100} {
			past, err := newestOf(t, s, "adapter:*", n, 0, wire.MaxMessage)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := seqsOf(past.Frames), all[max(0, len(all)-n):]; !slices.Equal(got, want) {
				t.Errorf("the newest %d are %v, want %v", n, got, want)
			}
		}
	})
}

// What is larger than the answer may be is not held in memory meanwhile.
func TestLargeEventsAreNotKeptWhileTheNewestAreLookedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		payload := `{"adapter_id":"a","x":"` + strings.Repeat("x", 1000) + `"}`
		for range 500 {
			log.put("adapter:a", "adapter.activated", payload)
		}
		s := newSet(t, log)
		past, err := newestOf(t, s, "adapter:a", 100, 0, 10_000)
		if err != nil {
			t.Fatal(err)
		}
		got := seqsOf(past.Frames)
		if len(got) == 0 || len(got) > 10 || got[0] != 401 || !past.More {
			t.Errorf("got %v, more %v: want the first few of the newest 100 and more", got, past.More)
		}
	})
}

// Whatever replicas lag, lose their front or fail: an answer is complete from its first_seq
// on, or there is none.
func TestTheNewestEventsAreNeverWrongUnderFaults(t *testing.T) {
	var channels []schema.Channel
	for i := range 5 {
		c, err := schema.NewChannel("adapter", fmt.Sprint("a", i))
		if err != nil {
			t.Fatal(err)
		}
		channels = append(channels, c)
	}
	given := 0
	for seed := range uint64(12) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(seed)
			w.lag, w.fail, w.slow, w.early = 30, 3, 20, 0
			if w.trims {
				w.early = 10
			}
			cfg := Config{PageFrames: 1 + w.rand.IntN(40), PageBytes: 200 + w.rand.IntN(4000)}
			s := New(schema.Dhruva, catalogue.Default(), w, &path{world: w, watches: map[*pathWatch]bool{}}, cfg, slog.New(slog.DiscardHandler))
			defer s.Close()
			for range 400 {
				w.mu.Lock()
				for range w.rand.IntN(20) {
					w.put(channels[w.rand.IntN(len(channels))], "adapter.activated", `{}`)
				}
				if w.trims && w.chance(10) {
					w.trim(w.rand.IntN(60))
				}
				n, before := w.rand.IntN(60)+1, uint64(0)
				if w.chance(30) {
					before = uint64(w.rand.IntN(int(w.state.Last+5))) + 1
				}
				w.mu.Unlock()
				past, err := newestOf(t, s, "adapter:a1", n, before, wire.MaxMessage)
				if err != nil {
					continue
				}
				given++
				w.mu.Lock()
				var want []uint64
				for seq := past.FirstSeq; seq <= past.LastSeq && (before == 0 || seq < before); seq++ {
					if m, ok := w.past["e0"][seq]; ok && m.Channel == channels[1] {
						want = append(want, seq)
					}
				}
				w.mu.Unlock()
				if want = want[max(0, len(want)-n):]; !slices.Equal(seqsOf(past.Frames), want) {
					t.Fatalf("seed %d: the newest %d before %d (log %d to %d) are %v, want %v", seed, n, before, past.FirstSeq, past.LastSeq, seqsOf(past.Frames), want)
				}
			}
		})
	}
	if given < 1000 {
		t.Errorf("only %d answers were given", given)
	}
}
