package publisher_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/bodhisattva/indranet/publisher"
	"github.com/bodhisattva/indranet/publisher/natstest"
	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/excalidraw"
)

// quick makes a publisher repeat an attempt soon.
var quick = publisher.WithAttemptTimeout(50 * time.Millisecond)

// proxied runs a server and a publisher whose answers can be lost.
func proxied(t *testing.T, opts ...publisher.Option) (*natstest.Server, *proxy, *publisher.Publisher) {
	t.Helper()
	srv := natstest.Start(t, natstest.Streams(schema.Mahavishnu))
	proxy := newProxy(t, srv)
	p := newPublisher(t, proxy.connect(t), opts...)
	// The stream has been looked at when the answers begin to be lost.
	publish(t, p, workflow("first"))
	return srv, proxy, p
}

func TestRetryNeverStoresTwice(t *testing.T) {
	srv, proxy, p := proxied(t, quick)
	proxy.dropAnswers(3)
	r := publish(t, p, workflow("a"))
	if r.Seq != 2 {
		t.Errorf("receipt %+v", r)
	}
	proxy.dropAnswers(1)
	ack, err := p.PublishAsync(t.Context(), workflow("a"))
	if err != nil {
		t.Fatal(err)
	}
	if r, err := ack.Wait(t.Context()); err != nil || r.Seq != 3 {
		t.Errorf("async: %+v, %v", r, err)
	}
	if list := ids(t, srv.Connect(t)); len(list) != 3 {
		t.Errorf("stored %v", list)
	}
}

func TestALateAnswerToAnEarlierAttemptCounts(t *testing.T) {
	_, proxy, p := proxied(t, quick)
	proxy.holdAnswers()
	ack, err := p.PublishAsync(t.Context(), workflow("a"))
	if err != nil {
		t.Fatal(err)
	}
	proxy.releaseAnswers()
	if r, err := ack.Wait(t.Context()); err != nil || r.Seq != 2 {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestRetriedConditionFindsItsOwnEvent: with one replica the server answers "wrong last
// sequence" to the second attempt, with three it answers "duplicate".
func TestRetriedConditionFindsItsOwnEvent(t *testing.T) {
	for _, nodes := range []int{1, 3} {
		t.Run(fmt.Sprintf("replicas=%d", nodes), func(t *testing.T) {
			var srv *natstest.Server
			if nodes == 1 {
				srv = natstest.Start(t, natstest.Streams(schema.Mahavishnu))
			} else {
				srv = natstest.StartCluster(t, nodes, natstest.Streams(schema.Mahavishnu)).Servers[0]
			}
			proxy := newProxy(t, srv)
			other := newPublisher(t, srv.Connect(t))
			p := newPublisher(t, proxy.connect(t, ignoreOthers),
				publisher.WithAttemptTimeout(300*time.Millisecond))
			first := publish(t, p, workflow("a"))

			proxy.dropAnswers(1)
			second := publish(t, p, workflow("a"), publisher.WithExpectedSeq(first.Seq))
			if second.Seq != first.Seq+1 {
				t.Errorf("second %+v", second)
			}

			// Somebody appends before the second attempt.
			proxy.dropAnswers(1)
			done := make(chan publisher.Receipt, 1)
			go func() {
				r, err := p.Publish(t.Context(), workflow("a"), publisher.WithExpectedSeq(second.Seq))
				if err != nil {
					t.Error(err)
				}
				done <- r
			}()
			<-proxy.dropped
			<-proxy.dropped
			publish(t, other, workflow("a"))
			if third := <-done; third.Seq != second.Seq+1 {
				t.Errorf("third %+v", third)
			}

			// Somebody else's event stands where this one should: a conflict, also when
			// the answer that says so is lost the first time.
			proxy.dropAnswers(1)
			_, err := p.Publish(t.Context(), workflow("a"), publisher.WithExpectedSeq(first.Seq))
			var conflict *publisher.ConflictError
			if !errors.As(err, &conflict) || conflict.Actual != second.Seq+2 {
				t.Errorf("conflict: %v", err)
			}
			// A new process repeats what an old one did.
			id := publisher.WithID("from-the-outbox")
			want := publish(t, p, workflow("b"), id, publisher.WithExpectedSeq(0))
			publish(t, other, workflow("b"))
			again := publish(t, other, workflow("b"), id, publisher.WithExpectedSeq(0))
			if again.Seq != want.Seq || !again.Duplicate {
				t.Errorf("again %+v, want %+v", again, want)
			}
		})
	}
}

func TestDeadlineWithoutAnAnswerIsAnUnknownOutcome(t *testing.T) {
	srv, proxy, p := proxied(t, quick)
	proxy.holdAnswers()
	before := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	r, err := p.Publish(ctx, workflow("a"))
	var e *publisher.Error
	if !errors.Is(err, publisher.ErrUnknownOutcome) || errors.Is(err, publisher.ErrUnavailable) ||
		!errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &e) {
		t.Fatalf("got %v", err)
	}
	if e.FirstSent.Before(before) || e.Attempts < 2 || e.ID != r.ID || e.Channel != "workflow:a" {
		t.Errorf("got %+v", e)
	}
	proxy.releaseAnswers()
	again := publish(t, p, workflow("a"), publisher.WithID(r.ID), publisher.WithFirstSent(e.FirstSent))
	if again.Seq != 2 || !again.Duplicate {
		t.Errorf("again %+v", again)
	}
	_, err = p.Publish(t.Context(), workflow("a"), publisher.WithID(r.ID),
		publisher.WithFirstSent(time.Now().Add(-publisher.DedupWindow+29*time.Second)))
	if !errors.Is(err, publisher.ErrUnknownOutcome) {
		t.Errorf("too late: %v", err)
	}
	if list := ids(t, srv.Connect(t)); len(list) != 2 {
		t.Errorf("stored %v", list)
	}
}

func TestTimeoutEndsAsyncEvents(t *testing.T) {
	failed := make(chan error, 8)
	_, proxy, p := proxied(t, quick, publisher.WithTimeout(300*time.Millisecond),
		publisher.WithErrorHandler(func(_ publisher.Receipt, err error) { failed <- err }))
	proxy.holdAnswers()
	var acks []*publisher.Ack
	for range 3 {
		ack, err := p.PublishAsync(t.Context(), workflow("a"))
		if err != nil {
			t.Fatal(err)
		}
		acks = append(acks, ack)
	}
	for i, ack := range acks {
		_, err := ack.Wait(t.Context())
		// The others waited behind the first one and may not have been sent.
		if i == 0 && !errors.Is(err, publisher.ErrUnknownOutcome) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("ack %d: %v", i, err)
		}
		if err := <-failed; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("handler: %v", err)
		}
	}
}

func TestNothingIsSentWithoutAConnection(t *testing.T) {
	srv, nc, p := start(t, quick)
	publish(t, p, workflow("a"))
	away := nc.StatusChanged(nats.RECONNECTING)
	srv.Shutdown()
	<-away
	ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
	defer cancel()
	_, err := p.Publish(ctx, workflow("a"))
	var e *publisher.Error
	if !errors.Is(err, publisher.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) ||
		!errors.As(err, &e) || !e.FirstSent.IsZero() || e.Attempts != 0 {
		t.Errorf("Publish: %v", err)
	}
	_, err = p.Publish(t.Context(), excalidraw.CursorMoved{RoomID: "r", UserID: "u"})
	if !errors.Is(err, publisher.ErrUnavailable) {
		t.Errorf("transient: %v", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = p.PublishBatch(ctx, []schema.Event{workflow("a")})
	if !errors.Is(err, publisher.ErrUnavailable) {
		t.Errorf("batch: %v", err)
	}
	ack, err := p.PublishAsync(t.Context(), workflow("a"))
	if err != nil {
		t.Fatal(err)
	}
	srv.Restart(t)
	if r, err := ack.Wait(t.Context()); err != nil || r.Seq != 2 {
		t.Errorf("after the restart: %+v, %v", r, err)
	}
	if list := ids(t, srv.Connect(t)); len(list) != 2 {
		t.Errorf("stored %v", list)
	}
}

func TestRestartLosesAndRepeatsNothing(t *testing.T) {
	srv, nc, p := start(t, publisher.WithAttemptTimeout(200*time.Millisecond))
	f := startFlow(t, p, 5)
	for range 4 {
		f.wantProgress(t, 300)
		srv.Restart(t)
	}
	f.wantProgress(t, 300)
	want := f.stop(t)
	wantChannels(t, ids(t, nc), want)
}

// flow publishes to a number of channels until it is stopped.
type flow struct {
	ids  []string
	acks []*publisher.Ack
	// answered counts the events that have their answer.
	answered chan struct{}
	end      chan struct{}
	done     chan struct{}
}

func startFlow(t *testing.T, p *publisher.Publisher, channels int) *flow {
	f := &flow{answered: make(chan struct{}, 1<<20), end: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(f.done)
		for i := 0; ; i++ {
			select {
			case <-f.end:
				return
			default:
			}
			id := fmt.Sprintf("%d-%06d", i%channels, i)
			ack, err := p.PublishAsync(t.Context(), workflow(fmt.Sprint(i%channels)), publisher.WithID(id))
			if err != nil {
				t.Errorf("%s: %v", id, err)
				return
			}
			f.ids, f.acks = append(f.ids, id), append(f.acks, ack)
			if i%20 == 0 {
				// Not as fast as possible: trouble should meet publishing, not queues.
				if _, err := ack.Wait(t.Context()); err != nil {
					t.Errorf("%s: %v", id, err)
				}
				f.answered <- struct{}{}
			}
		}
	}()
	return f
}

// wantProgress waits until about n more events have their answer, from now on.
func (f *flow) wantProgress(t *testing.T, n int) {
	t.Helper()
	for len(f.answered) > 0 {
		<-f.answered
	}
	for range n / 20 {
		select {
		case <-f.answered:
		case <-f.done:
			t.Fatal("the flow has ended")
		}
	}
}

// stop wants every event to have been stored, and returns their ids.
func (f *flow) stop(t *testing.T) []string {
	t.Helper()
	close(f.end)
	<-f.done
	for i, ack := range f.acks {
		if r, err := ack.Wait(t.Context()); err != nil || r.ID != f.ids[i] || r.Seq == 0 {
			t.Fatalf("%s: %+v, %v", f.ids[i], r, err)
		}
	}
	return f.ids
}

// wantChannels wants each id "channel-n" exactly once and each channel in order.
func wantChannels(t *testing.T, stored, want []string) {
	t.Helper()
	split := func(list []string) map[string][]string {
		channels := make(map[string][]string)
		for _, id := range list {
			if channel, _, ok := strings.Cut(id, "-"); ok && len(channel) < 8 {
				channels[channel] = append(channels[channel], id)
			}
		}
		return channels
	}
	got, wanted := split(stored), split(want)
	for channel, list := range wanted {
		if !slices.Equal(got[channel], list) {
			t.Errorf("channel %s has %d events, want %d, or their order differs", channel, len(got[channel]), len(list))
		}
	}
	t.Logf("%d events", len(want))
}

func TestEpochIsReadAgainAfterAReconnect(t *testing.T) {
	srv, proxy, p := proxied(t)
	before := publish(t, p, workflow("a")).Epoch
	js, err := jetstream.New(srv.Connect(t))
	if err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	cfg := s.CachedInfo().Config
	cfg.Metadata[publisher.EpochKey] = "another"
	if _, err := js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if r := publish(t, p, workflow("a")); r.Epoch != before {
		t.Errorf("epoch without a reconnect: %s", r.Epoch)
	}
	proxy.cut()
	// The publisher hears of the reconnect a moment after the connection has it.
	for publish(t, p, workflow("a")).Epoch != "another" {
		if t.Context().Err() != nil {
			t.Fatal("the epoch stays")
		}
	}
}

func TestMissingStreamIsNamed(t *testing.T) {
	srv := natstest.Start(t)
	p := newPublisher(t, srv.Connect(t))
	_, err := p.Publish(t.Context(), workflow("a"))
	if !errors.Is(err, publisher.ErrUnavailable) || !strings.Contains(err.Error(), "IND_MAHAVISHNU does not exist") {
		t.Errorf("Publish: %v", err)
	}
	if _, err := p.PublishAsync(t.Context(), workflow("a")); !errors.Is(err, publisher.ErrUnavailable) {
		t.Errorf("PublishAsync: %v", err)
	}
	if _, err := publisher.EnsureStreams(t.Context(), srv.Connect(t), publisher.StreamConfig{MaxBytes: 1 << 20}, schema.Mahavishnu); err != nil {
		t.Fatal(err)
	}
	publish(t, p, workflow("a"))
}

func TestNobodyListeningIsUnavailable(t *testing.T) {
	srv, _, p := proxied(t)
	js, err := jetstream.New(srv.Connect(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteStream(t.Context(), stream); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = p.Publish(ctx, workflow("a"))
	if !errors.Is(err, publisher.ErrUnavailable) || !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("got %v", err)
	}
}

func TestTooManyBufferedIsTriedAgain(t *testing.T) {
	srv := natstest.Start(t, natstest.Streams(schema.Mahavishnu), natstest.Configure(func(o *server.Options) {
		o.StreamMaxBufferedMsgs = 5
	}))
	nc := srv.Connect(t)
	p := newPublisher(t, nc)
	var want []string
	for i := range 3000 {
		id := fmt.Sprintf("%d-%05d", i%100, i)
		if _, err := p.PublishAsync(t.Context(), workflow(fmt.Sprint(i%100)), publisher.WithID(id)); err != nil {
			t.Fatal(err)
		}
		want = append(want, id)
	}
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantChannels(t, ids(t, nc), want)
}
