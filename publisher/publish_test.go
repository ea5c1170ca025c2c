package publisher_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/bodhisattva/indranet/publisher"
	"github.com/bodhisattva/indranet/publisher/directget"
	"github.com/bodhisattva/indranet/publisher/natstest"
	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/catalogue"
	"github.com/bodhisattva/indranet/schema/dhruva"
	"github.com/bodhisattva/indranet/schema/excalidraw"
	"github.com/bodhisattva/indranet/schema/mahavishnu"
)

const stream = "IND_MAHAVISHNU"

func workflow(id string) mahavishnu.WorkflowStarted {
	return mahavishnu.WorkflowStarted{WorkflowID: id, Adapter: "llamaindex", Prompt: "go"}
}

// newPublisher returns a publisher over nc that ends with the test.
func newPublisher(t testing.TB, nc *nats.Conn, opts ...publisher.Option) *publisher.Publisher {
	t.Helper()
	p, err := publisher.New(nc, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// start runs a server with the stream of mahavishnu and a publisher.
func start(t testing.TB, opts ...publisher.Option) (*natstest.Server, *nats.Conn, *publisher.Publisher) {
	t.Helper()
	srv := natstest.Start(t, natstest.Streams(schema.Mahavishnu))
	nc := srv.Connect(t)
	return srv, nc, newPublisher(t, nc, opts...)
}

func publish(t testing.TB, p *publisher.Publisher, event schema.Event, opts ...publisher.PublishOption) publisher.Receipt {
	t.Helper()
	r, err := p.Publish(t.Context(), event, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// message is the stored message at seq.
func message(t testing.TB, nc *nats.Conn, seq uint64) *directget.Message {
	t.Helper()
	m, err := directget.New(nc).Leader(t.Context(), stream, directget.LeaderRequest{Seq: seq})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// ids are the ids of everything in the stream of mahavishnu, in order.
func ids(t testing.TB, nc *nats.Conn) []string {
	t.Helper()
	c := directget.New(nc)
	info, err := c.Info(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for next := info.FirstSeq; next <= info.LastSeq; {
		end, err := c.Get(t.Context(), stream, directget.Request{Seq: next, Batch: 1000}, func(m *directget.Message) error {
			list = append(list, directget.Last(m.Header, "Nats-Msg-Id"))
			return nil
		})
		if end.LastSeq >= next {
			next = end.LastSeq + 1
		} else if err != nil || end.None {
			// A replica that lags, or an election.
			t.Logf("read again from %d: %v", next, err)
		}
	}
	return list
}

func TestPublishStoresTheEventOnItsChannel(t *testing.T) {
	_, nc, p := start(t)
	receipt := publish(t, p, workflow("42"))
	info, err := directget.New(nc).Info(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	want := publisher.Receipt{
		ID: receipt.ID, Service: schema.Mahavishnu, Channel: "workflow:42",
		Subject: "ev.mahavishnu.workflow.42", Epoch: info.Metadata[publisher.EpochKey], Seq: 1,
	}
	if receipt != want || receipt.Epoch == "" || len(receipt.ID) != 36 {
		t.Errorf("receipt %+v, want %+v", receipt, want)
	}
	m := message(t, nc, 1)
	if m.Subject != want.Subject || string(m.Data) != `{"workflow_id":"42","adapter":"llamaindex","prompt":"go"}` {
		t.Errorf("stored %s %s", m.Subject, m.Data)
	}
	headers := nats.Header{"Nats-Msg-Id": {receipt.ID}, "Ind-Event": {"workflow.started"}, "Content-Type": {"application/json"}}
	if fmt.Sprint(m.Header) != fmt.Sprint(headers) {
		t.Errorf("headers %v, want %v", m.Header, headers)
	}
	text, err := json.Marshal(receipt)
	if err != nil || !strings.Contains(string(text), `"channel":"workflow:42"`) || !strings.Contains(string(text), `"duplicate":false`) {
		t.Errorf("receipt as JSON: %s, %v", text, err)
	}
}

func TestPublishOptionsReachTheMessage(t *testing.T) {
	_, nc, p := start(t)
	at := time.Date(2026, 3, 4, 5, 6, 7, 800, time.FixedZone("", 3600))
	r := publish(t, p, workflow("a"), publisher.WithID("own-1"), publisher.WithOccurredAt(at),
		publisher.WithTraceContext("00-aa-bb-01", "v=1"), publisher.WithExpectedSeq(0))
	m := message(t, nc, r.Seq)
	if !strings.HasSuffix(string(m.Data), `,"occurred_at":"2026-03-04T04:06:07.0000008Z"}`) {
		t.Errorf("payload %s", m.Data)
	}
	for key, want := range map[string]string{
		"Nats-Msg-Id": "own-1", "traceparent": "00-aa-bb-01", "tracestate": "v=1", "Nats-Expected-Last-Subject-Sequence": "0",
	} {
		if got := directget.Last(m.Header, key); got != want {
			t.Errorf("%s = %q, want %q", key, got, want)
		}
	}
	// None of it stays with the next event.
	r = publish(t, p, workflow("a"))
	if m := message(t, nc, r.Seq); len(m.Header) != 3 || strings.Contains(string(m.Data), "occurred_at") {
		t.Errorf("the next event has %v %s", m.Header, m.Data)
	}
}

func TestParsedEventsArePublishedAsTheyCame(t *testing.T) {
	_, nc, p := start(t)
	event, err := catalogue.Default().Parse(schema.Mahavishnu, "workflow.started",
		[]byte(`{"workflow_id":"7","prompt":"","adapter":"x","more":{"z":1,"a":2}}`))
	if err != nil {
		t.Fatal(err)
	}
	r := publish(t, p, event)
	if m := message(t, nc, r.Seq); string(m.Data) != `{"workflow_id":"7","prompt":"","adapter":"x","more":{"z":1,"a":2}}` {
		t.Errorf("payload %s", m.Data)
	}
}

func TestTransientEventsAreSentAndNotStored(t *testing.T) {
	srv, _, p := start(t)
	got := subscribe(t, srv.Connect(t), "now.excalidraw.>")
	event := excalidraw.CursorMoved{RoomID: "r1", UserID: "u", X: 1, Y: 2}
	r := publish(t, p, event)
	if r.Seq != 0 || r.Epoch != "" || r.ID == "" || r.Channel != "collaboration:r1" {
		t.Errorf("receipt %+v", r)
	}
	m := <-got
	if m.Subject != "now.excalidraw.collaboration.r1" || m.Header.Get("Nats-Msg-Id") != r.ID || m.Header.Get("Ind-Event") != "cursor.moved" {
		t.Errorf("got %+v", m)
	}
	ack, err := p.PublishAsync(t.Context(), event)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := ack.Wait(t.Context()); err != nil || r.Seq != 0 {
		t.Errorf("async: %+v, %v", r, err)
	}
	<-got
}

// subscribe returns what comes to subject from now on.
func subscribe(t testing.TB, nc *nats.Conn, subject string) <-chan *nats.Msg {
	t.Helper()
	got := make(chan *nats.Msg, 1024)
	if _, err := nc.ChanSubscribe(subject, got); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestNothingInvalidIsSent(t *testing.T) {
	_, nc, p := start(t)
	big := mahavishnu.WorkflowStarted{WorkflowID: "w", Adapter: "a", Prompt: strings.Repeat("x", schema.MaxPayload)}
	seq := uint64(3)
	tests := []struct {
		name  string
		event schema.Event
		opts  []publisher.PublishOption
		want  error
		says  string
	}{
		{"no event", nil, nil, publisher.ErrInvalid, ""},
		{"fields", mahavishnu.WorkflowStarted{}, nil, publisher.ErrInvalid, "workflow_id may not be empty; adapter may not be empty"},
		{"too large", big, nil, publisher.ErrTooLarge, "workflow.started"},
		{"not JSON", mahavishnu.WorkflowCompleted{WorkflowID: "w", Result: func() {}}, nil, publisher.ErrInvalid, "not JSON"},
		{"an id with a space", workflow("w"), []publisher.PublishOption{publisher.WithID("a b")}, publisher.ErrInvalid, "id"},
		{"a first try without an id", workflow("w"), []publisher.PublishOption{publisher.WithFirstSent(time.Now())}, publisher.ErrInvalid, "WithID"},
		{"a hostile trace", workflow("w"), []publisher.PublishOption{publisher.WithTraceContext("a\r\nNats-Rollup: all", "")}, publisher.ErrInvalid, "trace"},
		{"a condition on nothing", excalidraw.CursorMoved{RoomID: "r", UserID: "u"}, []publisher.PublishOption{publisher.WithExpectedSeq(seq)}, publisher.ErrInvalid, "never stored"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := p.Publish(t.Context(), test.event, test.opts...)
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("Publish: got %v", err)
			}
			if _, err := p.PublishAsync(t.Context(), test.event, test.opts...); !errors.Is(err, test.want) {
				t.Errorf("PublishAsync: got %v", err)
			}
		})
	}
	var fields *schema.InvalidError
	if _, err := p.Publish(t.Context(), mahavishnu.WorkflowStarted{}); !errors.As(err, &fields) || len(fields.Fields) != 2 {
		t.Errorf("fields: %v", err)
	}
	if list := ids(t, nc); len(list) != 0 {
		t.Errorf("stored %v", list)
	}
}

func TestAsyncKeepsTheOrderOfEachChannel(t *testing.T) {
	_, nc, p := start(t)
	want := make(map[string][]string)
	var acks []*publisher.Ack
	for i := range 500 {
		channel := fmt.Sprint(i % 7)
		id := fmt.Sprintf("%s-%03d", channel, i)
		ack, err := p.PublishAsync(t.Context(), workflow(channel), publisher.WithID(id))
		if err != nil {
			t.Fatal(err)
		}
		acks = append(acks, ack)
		want[channel] = append(want[channel], id)
	}
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, ack := range acks {
		select {
		case <-ack.Done():
		default:
			t.Fatal("an ack was open after Flush")
		}
		if r, err := ack.Wait(t.Context()); err != nil || r.Seq == 0 {
			t.Fatalf("%+v, %v", r, err)
		}
	}
	got := make(map[string][]string)
	for _, id := range ids(t, nc) {
		channel, _, _ := strings.Cut(id, "-")
		got[channel] = append(got[channel], id)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}

func TestPublishersShareOneConnectionAndPublisher(t *testing.T) {
	_, nc, p := start(t)
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 50 {
				if _, err := p.Publish(t.Context(), workflow(fmt.Sprint(g%3)), publisher.WithID(fmt.Sprintf("%d-%d", g, i))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if list := ids(t, nc); len(list) != 400 {
		t.Errorf("%d stored", len(list))
	}
}

func TestBoundsMakePublishAsyncWait(t *testing.T) {
	srv := natstest.Start(t, natstest.Streams(schema.Mahavishnu))
	proxy := newProxy(t, srv)
	p := newPublisher(t, proxy.connect(t), publisher.WithMaxPending(2, 1<<20))
	publish(t, p, workflow("a"))
	proxy.holdAnswers()
	for range 2 {
		if _, err := p.PublishAsync(t.Context(), workflow("a")); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	_, err := p.PublishAsync(ctx, workflow("b"))
	if !errors.Is(err, publisher.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a third one: %v", err)
	}
	proxy.releaseAnswers()
	if _, err := p.PublishAsync(t.Context(), workflow("b")); err != nil {
		t.Errorf("after the answers: %v", err)
	}
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestAnIDIsStoredOnce(t *testing.T) {
	_, nc, p := start(t)
	first := publish(t, p, workflow("a"), publisher.WithID("x"))
	again := publish(t, p, workflow("a"), publisher.WithID("x"))
	if again.Seq != first.Seq || !again.Duplicate || first.Duplicate {
		t.Errorf("first %+v, again %+v", first, again)
	}
	for name, event := range map[string]schema.Event{
		"another channel": workflow("b"),
		"another event":   mahavishnu.WorkflowFailed{WorkflowID: "a", Error: "e"},
	} {
		_, err := p.Publish(t.Context(), event, publisher.WithID("x"))
		if !errors.Is(err, publisher.ErrIDTaken) || !errors.Is(err, publisher.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if list := ids(t, nc); len(list) != 1 {
		t.Errorf("stored %v", list)
	}
}

func TestExpectedSeqStoresOnlyAtThatPosition(t *testing.T) {
	_, nc, p := start(t)
	a := publish(t, p, workflow("a"), publisher.WithExpectedSeq(0))
	publish(t, p, workflow("other"))
	b := publish(t, p, workflow("a"), publisher.WithExpectedSeq(a.Seq))
	for expected, wantActual := range map[uint64]uint64{a.Seq: b.Seq, 0: b.Seq, 99: b.Seq} {
		r, err := p.Publish(t.Context(), workflow("a"), publisher.WithExpectedSeq(expected))
		var conflict *publisher.ConflictError
		if !errors.Is(err, publisher.ErrConflict) || !errors.As(err, &conflict) ||
			conflict.Actual != wantActual || conflict.Expected != expected || conflict.Channel != "workflow:a" || r.Seq != 0 {
			t.Errorf("expected %d: %+v, %v", expected, r, err)
		}
	}
	if list := ids(t, nc); len(list) != 3 {
		t.Errorf("stored %v", list)
	}
}

func TestCloseAndTheErrorsAfterIt(t *testing.T) {
	srv := natstest.Start(t, natstest.Streams(schema.Mahavishnu))
	proxy := newProxy(t, srv)
	p := newPublisher(t, proxy.connect(t))
	publish(t, p, workflow("a"))
	proxy.holdAnswers()
	sent, err := p.PublishAsync(t.Context(), workflow("a"))
	if err != nil {
		t.Fatal(err)
	}
	behind, err := p.PublishAsync(t.Context(), workflow("a"))
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	p.Close()
	if _, err := sent.Wait(t.Context()); !errors.Is(err, publisher.ErrUnknownOutcome) {
		t.Errorf("sent: %v", err)
	}
	if _, err := behind.Wait(t.Context()); !errors.Is(err, publisher.ErrClosed) {
		t.Errorf("not sent: %v", err)
	}
	if _, err := p.Publish(t.Context(), workflow("a")); !errors.Is(err, publisher.ErrClosed) {
		t.Errorf("Publish: %v", err)
	}
	if _, err := p.PublishAsync(t.Context(), excalidraw.CursorMoved{RoomID: "r", UserID: "u"}); !errors.Is(err, publisher.ErrClosed) {
		t.Errorf("transient: %v", err)
	}
	if _, err := p.PublishBatch(t.Context(), []schema.Event{workflow("a")}); !errors.Is(err, publisher.ErrClosed) {
		t.Errorf("batch: %v", err)
	}
}

func dhruvaEvent() schema.Event {
	return dhruva.AdapterDeactivated{AdapterID: "a", Repo: "github.com/a/b", Reason: "old"}
}

func cursor() schema.Event { return excalidraw.CursorMoved{RoomID: "r", UserID: "u"} }

// ignoreOthers keeps a connection to a cluster on the proxy that it was made to.
func ignoreOthers(o *nats.Options) error {
	o.IgnoreDiscoveredServers = true
	return nil
}

// plainStream makes a stream for mahavishnu as somebody who knows no better would.
func plainStream(t testing.TB, nc *nats.Conn) {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: stream, Subjects: []string{"ev.mahavishnu.>"}, MaxAge: time.Hour, AllowDirect: true,
		Metadata: map[string]string{"owner": "somebody"},
	})
	if err != nil {
		t.Fatal(err)
	}
}
