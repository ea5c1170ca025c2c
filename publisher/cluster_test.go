package publisher_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/bodhisattva/indranet/publisher"
	"github.com/bodhisattva/indranet/publisher/natstest"
	"github.com/bodhisattva/indranet/schema"
)

func TestLeaderChangesLoseAndRepeatNothing(t *testing.T) {
	c := natstest.StartCluster(t, 3, natstest.Streams(schema.Mahavishnu))
	nc := c.Connect(t)
	p := newPublisher(t, nc, publisher.WithAttemptTimeout(500*time.Millisecond))
	f := startFlow(t, p, 50)

	// Beside the flow: a chain of events, each under the condition that it follows the
	// one before, and batches.
	end, done := make(chan struct{}), make(chan struct{})
	var chain, batches []uint64
	go func() {
		defer close(done)
		last := uint64(0)
		for i := 0; ; i++ {
			select {
			case <-end:
				return
			default:
			}
			r, err := p.Publish(t.Context(), workflow("chain"), publisher.WithExpectedSeq(last))
			if err != nil {
				t.Errorf("link %d of the chain: %v", i, err)
				return
			}
			last = r.Seq
			chain = append(chain, r.Seq)
			rs, err := p.PublishBatch(t.Context(), []schema.Event{workflow("batch"), workflow("batch2"), workflow("batch")})
			if err != nil {
				t.Errorf("batch %d: %v", i, err)
				return
			}
			for _, r := range rs {
				batches = append(batches, r.Seq)
			}
		}
	}()

	for range 3 {
		f.wantProgress(t, 400)
		c.StepDown(t, schema.Mahavishnu)
	}
	f.wantProgress(t, 400)
	leader := c.Leader(t, schema.Mahavishnu)
	leader.Shutdown()
	f.wantProgress(t, 400)
	leader.Restart(t)
	f.wantProgress(t, 400)
	close(end)
	<-done
	want := f.stop(t)
	c.WaitCurrent(t, schema.Mahavishnu)
	stored := ids(t, nc)
	wantChannels(t, stored, want)
	if n := len(want) + len(chain) + len(batches); n != len(stored) {
		t.Errorf("%d events acknowledged, %d stored", n, len(stored))
	}
	seen := slices.Concat(chain, batches)
	slices.Sort(seen)
	if len(slices.Compact(seen)) != len(chain)+len(batches) {
		t.Error("two events have one position")
	}
	for i := range len(batches) / 3 {
		if b := batches[3*i : 3*i+3]; b[1] != b[0]+1 || b[2] != b[0]+2 {
			t.Errorf("batch %d stands at %v", i, b)
		}
	}
	t.Logf("chain of %d, %d in batches", len(chain), len(batches))
}

func TestBatchIsStoredTogetherOrNotAtAll(t *testing.T) {
	_, nc, p := start(t)
	publish(t, p, workflow("a"))
	events := []schema.Event{workflow("a"), workflow("b"), workflow("a")}
	rs, err := p.PublishBatch(t.Context(), events, publisher.WithExpectedSeq(1))
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range rs {
		if r.Seq != uint64(2+i) || r.Duplicate || r.Epoch == "" || r.Channel != []string{"workflow:a", "workflow:b", "workflow:a"}[i] {
			t.Errorf("receipt %d: %+v", i, r)
		}
		if m := message(t, nc, r.Seq); m.Subject != r.Subject || m.Header.Get("Nats-Msg-Id") != r.ID {
			t.Errorf("stored %+v", m)
		}
	}
	rs, err = p.PublishBatch(t.Context(), events, publisher.WithExpectedSeq(1))
	var conflict *publisher.ConflictError
	if !errors.As(err, &conflict) || conflict.Actual != 4 || len(rs) != 3 || rs[0].Seq != 0 {
		t.Errorf("conflict: %v, %+v", err, rs)
	}
	if list := ids(t, nc); len(list) != 4 {
		t.Errorf("stored %v", list)
	}
	// A batch of one, and the largest.
	if rs, err := p.PublishBatch(t.Context(), events[:1]); err != nil || rs[0].Seq != 5 {
		t.Errorf("one: %+v, %v", rs, err)
	}
	large := make([]schema.Event, publisher.MaxBatch)
	for i := range large {
		large[i] = workflow(fmt.Sprint(i % 10))
	}
	if rs, err := p.PublishBatch(t.Context(), large); err != nil || rs[999].Seq != 1005 {
		t.Errorf("1000: %v", err)
	}
}

func TestBatchesThatBreakARuleAreRefused(t *testing.T) {
	_, nc, p := start(t)
	large := make([]schema.Event, publisher.MaxBatch+1)
	heavy := make([]schema.Event, 70)
	for i := range large {
		large[i] = workflow("a")
	}
	for i := range heavy {
		w := workflow("a")
		w.Prompt = strings.Repeat("x", schema.MaxPayload-1000)
		heavy[i] = w
	}
	for _, test := range []struct {
		name   string
		events []schema.Event
		want   error
		says   string
	}{
		{"empty", nil, publisher.ErrInvalid, "empty"},
		{"too many", large, publisher.ErrTooLarge, "1001"},
		{"too heavy", heavy, publisher.ErrTooLarge, "bytes"},
		{"a bad event", []schema.Event{workflow("a"), workflow("")}, publisher.ErrInvalid, "event 2 of the batch"},
		{"two services", []schema.Event{workflow("a"), dhruvaEvent()}, publisher.ErrInvalid, "event 2 of the batch is of dhruva"},
		{"transient", []schema.Event{cursor()}, publisher.ErrInvalid, "never stored"},
	} {
		if _, err := p.PublishBatch(t.Context(), test.events); !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	if list := ids(t, nc); len(list) != 0 {
		t.Errorf("%d stored", len(list))
	}
}

func TestRetriedBatchIsFound(t *testing.T) {
	for _, nodes := range []int{1, 3} {
		t.Run(fmt.Sprintf("replicas=%d", nodes), func(t *testing.T) {
			var srv *natstest.Server
			if nodes == 1 {
				srv = natstest.Start(t, natstest.Streams(schema.Mahavishnu))
			} else {
				srv = natstest.StartCluster(t, nodes, natstest.Streams(schema.Mahavishnu)).Servers[1]
			}
			proxy := newProxy(t, srv)
			p := newPublisher(t, proxy.connect(t, ignoreOthers), publisher.WithAttemptTimeout(300*time.Millisecond))
			other := newPublisher(t, srv.Connect(t))
			first := publish(t, p, workflow("a"))
			events := []schema.Event{workflow("a"), workflow("b"), workflow("a")}
			proxy.dropAnswers(1)
			rs, err := p.PublishBatch(t.Context(), events, publisher.WithExpectedSeq(first.Seq))
			if err != nil {
				t.Fatal(err)
			}
			for i, r := range rs {
				if r.Seq != first.Seq+1+uint64(i) {
					t.Errorf("receipt %d: %+v", i, r)
				}
			}
			// A new process repeats a batch under the same id.
			id := publisher.WithID("outbox-7")
			want, err := other.PublishBatch(t.Context(), events, id)
			if err != nil {
				t.Fatal(err)
			}
			publish(t, other, workflow("a"))
			rs, err = p.PublishBatch(t.Context(), events, id)
			if err != nil || rs[0].Seq != want[0].Seq || rs[2].Seq != want[2].Seq || !rs[1].Duplicate {
				t.Errorf("again: %+v, %v, want %+v", rs, err, want)
			}
			// Another batch under that id, and a batch with the id of a lone event.
			_, err = p.PublishBatch(t.Context(), []schema.Event{workflow("a"), workflow("c"), workflow("a")}, id)
			if !errors.Is(err, publisher.ErrIDTaken) {
				t.Errorf("another batch: %v", err)
			}
			publish(t, p, workflow("a"), publisher.WithID("lone/2"))
			_, err = p.PublishBatch(t.Context(), events, publisher.WithID("lone"))
			if !errors.Is(err, publisher.ErrIDTaken) {
				t.Errorf("a taken id: %v", err)
			}
			// first, the batch, outbox-7, other, lone/2.
			if list := ids(t, srv.Connect(t)); len(list) != 1+3+3+1+1 {
				t.Errorf("stored %v", list)
			}
		})
	}
}

func TestABatchThatTheLogHasDroppedIsNotCalledAnothers(t *testing.T) {
	_, nc, p := start(t)
	events := []schema.Event{workflow("a"), workflow("b"), workflow("a")}
	id := publisher.WithID("outbox-8")
	if _, err := p.PublishBatch(t.Context(), events, id); err != nil {
		t.Fatal(err)
	}
	for _, keep := range []int64{2, 1} { // A part of it has gone, then all.
		publish(t, p, workflow("c"))
		limitMessages(t, nc, schema.Mahavishnu, keep)
		_, err := p.PublishBatch(t.Context(), events, id)
		if !errors.Is(err, publisher.ErrUnknownOutcome) || !errors.Is(err, publisher.ErrTrimmed) || errors.Is(err, publisher.ErrIDTaken) {
			t.Errorf("the log keeps %d messages: %v", keep, err)
		}
	}
}

// limitMessages makes a stream keep no more than the newest n messages.
func limitMessages(t *testing.T, nc *nats.Conn, service schema.Service, n int64) {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), service.Stream())
	if err != nil {
		t.Fatal(err)
	}
	cfg := stream.CachedInfo().Config
	cfg.MaxMsgs = n
	if _, err := js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
}

func TestBatchKeepsTheOrderOfItsChannels(t *testing.T) {
	_, nc, p := start(t)
	var want []string
	for i := range 40 {
		a, b := fmt.Sprintf("a%d", i), fmt.Sprintf("b%d", i)
		if _, err := p.PublishAsync(t.Context(), workflow("x"), publisher.WithID(a)); err != nil {
			t.Fatal(err)
		}
		if _, err := p.PublishBatch(t.Context(), []schema.Event{workflow("x"), workflow("y")}, publisher.WithID(b)); err != nil {
			t.Fatal(err)
		}
		want = append(want, a, b+"/1", b+"/2")
	}
	if got := ids(t, nc); !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}

func TestBatchWithoutAnAnswerIsAnUnknownOutcome(t *testing.T) {
	srv, proxy, p := proxied(t, quick, publisher.WithTimeout(300*time.Millisecond))
	proxy.holdAnswers()
	rs, err := p.PublishBatch(t.Context(), []schema.Event{workflow("a"), workflow("b")})
	var e *publisher.Error
	if !errors.Is(err, publisher.ErrUnknownOutcome) || !errors.As(err, &e) || e.FirstSent.IsZero() || rs[0].ID == "" {
		t.Errorf("%+v, %v", rs, err)
	}
	proxy.releaseAnswers()
	if list := ids(t, srv.Connect(t)); len(list) != 3 {
		t.Errorf("stored %v", list)
	}
}

func TestStreamWithoutBatchesRefusesThem(t *testing.T) {
	srv := natstest.Start(t)
	nc := srv.Connect(t)
	plainStream(t, nc)
	p := newPublisher(t, nc)
	_, err := p.PublishBatch(t.Context(), []schema.Event{workflow("a"), workflow("b")})
	if !errors.Is(err, publisher.ErrUnavailable) || !strings.Contains(err.Error(), "takes no batches") {
		t.Errorf("got %v", err)
	}
	if list := ids(t, nc); len(list) != 0 {
		t.Errorf("stored %v", list)
	}
}
