package demo_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bodhisattva/indranet/cmd/indranet/demo"
	"github.com/bodhisattva/indranet/publisher"
	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/catalogue"
)

// published is one event as the log would have it.
type published struct {
	After   time.Duration
	Service schema.Service
	Event   string
	Channel string
	Payload string
}

// recorder is a publisher that checks and encodes like the real one and stores
// nothing.
type recorder struct {
	t     *testing.T
	began time.Time
	list  []published
	// fail, where set, decides about each event after it was recorded.
	fail func(ctx context.Context) error
}

func (r *recorder) Publish(ctx context.Context, event schema.Event, opts ...publisher.PublishOption) (publisher.Receipt, error) {
	prepared, err := publisher.Prepare(event, opts...)
	if err != nil {
		r.t.Errorf("%s of %s: %v", event.EventName(), event.EventService(), err)
		return publisher.Receipt{}, err
	}
	if _, err := catalogue.Default().Parse(event.EventService(), prepared.Event, prepared.Payload); err != nil {
		r.t.Errorf("%s of %s: %v", event.EventName(), event.EventService(), err)
	}
	r.list = append(r.list, published{
		time.Since(r.began), event.EventService(), prepared.Event, prepared.Receipt.Channel, string(prepared.Payload),
	})
	if r.fail != nil {
		return prepared.Receipt, r.fail(ctx)
	}
	return prepared.Receipt, nil
}

// play runs the demo for some fake time, and ends it between two events.
func play(t *testing.T, seed uint64, d time.Duration, logger *slog.Logger, fail func(context.Context) error) []published {
	t.Helper()
	r := &recorder{t: t, fail: fail}
	synctest.Test(t, func(t *testing.T) {
		r.began = time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), d-time.Nanosecond)
		defer cancel()
		demo.Run(ctx, r, seed, logger)
		if ctx.Err() == nil {
			t.Error("the demo ended by itself")
		}
	})
	return r.list
}

func TestEveryPairComesByWithinFiveMinutes(t *testing.T) {
	type pair struct {
		service schema.Service
		event   string
	}
	seen := map[pair]int{}
	for _, p := range play(t, 1, 5*time.Minute, slog.New(slog.DiscardHandler), nil) {
		seen[pair{p.Service, p.Event}]++
	}
	for _, row := range catalogue.Default().Rows() {
		if seen[pair{row.Service, row.Name}] == 0 {
			t.Errorf("%s of %s never comes by", row.Name, row.Service)
		}
	}
	if len(seen) != 53 {
		t.Errorf("%d pairs, want 53", len(seen))
	}
}

func TestLlamaindexIsAnnouncedAtOnceAndEveryThreeSeconds(t *testing.T) {
	const d = 5 * time.Minute
	last := -3 * time.Second
	for _, p := range play(t, 2, d, slog.New(slog.DiscardHandler), nil) {
		if p.Event != "adapter.activated" || p.Channel != "adapter:llamaindex" {
			continue
		}
		if p.After-last > 3*time.Second {
			t.Errorf("nothing between %s and %s", last, p.After)
		}
		last = p.After
	}
	if d-last > 3*time.Second {
		t.Errorf("nothing after %s", last)
	}
}

func TestRateIsModest(t *testing.T) {
	list := play(t, 3, 5*time.Minute, slog.New(slog.DiscardHandler), nil)
	wantModest(t, list)
	if perSecond := float64(len(list)) / 300; perSecond < 1 {
		t.Errorf("only %.1f events a second", perSecond)
	}
}

// wantModest wants at most 20 events in any second.
func wantModest(t *testing.T, list []published) {
	t.Helper()
	first := 0
	for i, p := range list {
		for list[first].After <= p.After-time.Second {
			first++
		}
		if i-first >= 20 {
			t.Fatalf("more than 20 events in the second before %s", p.After)
		}
	}
}

func TestSameSeedPlaysTheSame(t *testing.T) {
	logger := slog.New(slog.DiscardHandler)
	one, again := play(t, 4, 3*time.Minute, logger, nil), play(t, 4, 3*time.Minute, logger, nil)
	if diff := cmp.Diff(one, again); diff != "" {
		t.Errorf("two runs differ:\n%s", diff)
	}
	if cmp.Equal(one, play(t, 5, 3*time.Minute, logger, nil)) {
		t.Error("another seed plays the same")
	}
}

func TestOutageIsLoggedAndFollowedByNoBurst(t *testing.T) {
	var log bytes.Buffer
	var began time.Time
	list := play(t, 6, 4*time.Minute, slog.New(slog.NewTextHandler(&log, nil)), func(ctx context.Context) error {
		if began.IsZero() {
			began = time.Now()
		}
		if since := time.Since(began); since > 20*time.Second && since < 70*time.Second {
			<-ctx.Done() // As the SDK does while the log is away.
			return errors.Join(publisher.ErrUnavailable, ctx.Err())
		}
		return nil
	})
	wantModest(t, list)
	if n := strings.Count(log.String(), "could not publish"); n < 5 || n > 15 {
		t.Errorf("%d failures are logged for an outage of 50 s:\n%s", n, log.String())
	}
	if last := list[len(list)-1].After; last < 230*time.Second {
		t.Errorf("nothing was published after %s", last)
	}
}

func TestCancelledDemoLogsNothing(t *testing.T) {
	var log bytes.Buffer
	play(t, 7, 10*time.Second, slog.New(slog.NewTextHandler(&log, nil)), func(ctx context.Context) error {
		return ctx.Err()
	})
	if log.Len() > 0 {
		t.Errorf("logged:\n%s", log.String())
	}
}
