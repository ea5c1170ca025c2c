package publisher_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/bodhisattva/indranet/publisher"
	"github.com/bodhisattva/indranet/publisher/natstest"
	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/fastblocks"
)

func TestOptionsAreChecked(t *testing.T) {
	nc := natstest.Start(t).Connect(t)
	for name, opt := range map[string]publisher.Option{
		"WithTimeout":        publisher.WithTimeout(0),
		"WithTimeout ":       publisher.WithTimeout(publisher.DedupWindow),
		"WithAttemptTimeout": publisher.WithAttemptTimeout(-1),
		"WithMaxPending":     publisher.WithMaxPending(1, 0),
		"WithDebounce":       publisher.WithDebounce(-1),
	} {
		if _, err := publisher.New(nc, opt); err == nil || !strings.Contains(err.Error(), strings.TrimSpace(name)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	nc.Close()
	if _, err := publisher.New(nc); !errors.Is(err, nats.ErrConnectionClosed) {
		t.Errorf("a closed connection: %v", err)
	}
}

func TestUnorderedOvertakesItsChannel(t *testing.T) {
	srv, proxy, p := proxied(t)
	proxy.holdAnswers()
	for _, event := range []struct {
		id   string
		opts []publisher.PublishOption
	}{{"first-in-line", nil}, {"behind", nil}, {"overtakes", []publisher.PublishOption{publisher.WithUnordered()}}} {
		if _, err := p.PublishAsync(t.Context(), workflow("a"), append(event.opts, publisher.WithID(event.id))...); err != nil {
			t.Fatal(err)
		}
	}
	nc := srv.Connect(t)
	for len(ids(t, nc)) < 3 {
		if t.Context().Err() != nil {
			t.Fatal("not stored")
		}
	}
	if list := ids(t, nc); !slices.Equal(list[1:], []string{"first-in-line", "overtakes"}) {
		t.Errorf("stored %v", list)
	}
	proxy.releaseAnswers()
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if list := ids(t, nc); !slices.Equal(list[1:], []string{"first-in-line", "overtakes", "behind"}) {
		t.Errorf("stored %v", list)
	}
}

func TestFlushWaitsNoLongerThanItsContext(t *testing.T) {
	_, proxy, p := proxied(t)
	proxy.holdAnswers()
	ack, err := p.PublishAsync(t.Context(), workflow("a"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := p.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Flush: %v", err)
	}
	if _, err := ack.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Wait: %v", err)
	}
	proxy.releaseAnswers()
	for range 2 {
		if err := p.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if r, err := ack.Wait(ctx); err != nil || r.Seq != 2 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestServerThatAllowsLessIsTooLarge(t *testing.T) {
	srv := natstest.Start(t, natstest.Streams(schema.Mahavishnu), natstest.Configure(func(o *server.Options) { o.MaxPayload = 64 << 10 }))
	p := newPublisher(t, srv.Connect(t))
	large := workflow("a")
	large.Prompt = strings.Repeat("x", 100<<10)
	if _, err := p.Publish(t.Context(), large); !errors.Is(err, publisher.ErrTooLarge) || errors.Is(err, publisher.ErrUnknownOutcome) {
		t.Errorf("Publish: %v", err)
	}
	for _, batch := range [][]schema.Event{{workflow("a"), large}, {large, workflow("a")}} {
		if _, err := p.PublishBatch(t.Context(), batch); !errors.Is(err, publisher.ErrTooLarge) {
			t.Errorf("PublishBatch: %v", err)
		}
	}
	if list := ids(t, srv.Connect(t)); len(list) != 0 {
		t.Errorf("stored %v", list)
	}
}

func TestClosedConnectionIsClosed(t *testing.T) {
	_, nc, p := start(t)
	publish(t, p, workflow("a"))
	nc.Close()
	if _, err := p.Publish(t.Context(), workflow("a")); !errors.Is(err, publisher.ErrClosed) {
		t.Errorf("Publish: %v", err)
	}
	if _, err := p.PublishBatch(t.Context(), []schema.Event{workflow("a")}); !errors.Is(err, publisher.ErrClosed) {
		t.Errorf("PublishBatch: %v", err)
	}
	if _, err := p.Publish(t.Context(), dhruvaEvent()); !errors.Is(err, publisher.ErrClosed) {
		t.Errorf("a service that was not looked at: %v", err)
	}
}

func TestReloadsAreDebouncedOnTheirWay(t *testing.T) {
	srv := natstest.Start(t)
	got := subscribe(t, srv.Connect(t), "now.fastblocks.hot_reload")
	nc := srv.Connect(t)
	failed := make(chan error, 1)
	p := newPublisher(t, nc, publisher.WithDebounce(time.Hour),
		publisher.WithErrorHandler(func(r publisher.Receipt, err error) { failed <- err }))
	reload := func(file, component string, opts ...publisher.PublishOption) publisher.Receipt {
		return publish(t, p, fastblocks.HotReloadTriggered{FilePath: file, AffectedComponents: []string{component}}, opts...)
	}
	one, two := reload("a.py", "x"), reload("b.py", "y")
	if one != two {
		t.Errorf("receipts %+v and %+v", one, two)
	}
	apart := reload("c.py", "z", publisher.WithID("apart"))
	if m := <-got; m.Header.Get("Nats-Msg-Id") != apart.ID {
		t.Errorf("got %v", m.Header)
	}
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	m := <-got
	if string(m.Data) != `{"affected_components":["x","y"],"file_path":"b.py"}` || m.Header.Get("Nats-Msg-Id") != one.ID || m.Header.Get("Ind-Event") != "hot_reload.triggered" {
		t.Errorf("got %v %s", m.Header, m.Data)
	}

	away := nc.StatusChanged(nats.RECONNECTING)
	reload("d.py", "w")
	srv.Shutdown()
	<-away
	p.Close()
	if err := <-failed; !errors.Is(err, publisher.ErrUnavailable) {
		t.Errorf("without a connection: %v", err)
	}
}

func TestWithoutDebounceEachReloadIsSent(t *testing.T) {
	srv := natstest.Start(t)
	got := subscribe(t, srv.Connect(t), "now.fastblocks.hot_reload")
	p := newPublisher(t, srv.Connect(t), publisher.WithDebounce(0))
	for range 3 {
		publish(t, p, fastblocks.HotReloadTriggered{FilePath: "a", AffectedComponents: []string{}})
		<-got
	}
}

// TestAServerThatIsNotThereAtFirstIsWaitedFor: the connection of a service that starts
// before NATS.
func TestAServerThatIsNotThereAtFirstIsWaitedFor(t *testing.T) {
	srv := natstest.Start(t, natstest.Streams(schema.Mahavishnu))
	url := srv.URL()
	srv.Shutdown()
	nc, err := nats.Connect(url, nats.MaxReconnects(-1), nats.RetryOnFailedConnect(true), nats.ReconnectWait(10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	p := newPublisher(t, nc, quick)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := p.Publish(ctx, workflow("a")); !errors.Is(err, publisher.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	srv.Restart(t)
	if r := publish(t, p, workflow("a")); r.Seq != 1 {
		t.Errorf("receipt %+v", r)
	}
}
