package reader_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/bodhisattva/indranet/publisher"
	"github.com/bodhisattva/indranet/publisher/natstest"
	"github.com/bodhisattva/indranet/publisher/reader"
	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/mahavishnu"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func channel(t testing.TB, name string) schema.Channel {
	t.Helper()
	c, err := schema.ParseChannel(name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func publisherOn(t testing.TB, nc *nats.Conn) *publisher.Publisher {
	t.Helper()
	p, err := publisher.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// publish stores one event of a workflow under an id.
func publish(t testing.TB, p *publisher.Publisher, workflow, id string) publisher.Receipt {
	t.Helper()
	r, err := p.Publish(t.Context(), mahavishnu.WorkflowFailed{WorkflowID: workflow, Error: id}, publisher.WithID(id))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// follower collects what a sequence gives.
type follower struct {
	events chan reader.Event
	err    chan error
	cancel context.CancelFunc
}

func follow(t testing.TB, nc *nats.Conn, c schema.Channel, after reader.Position) *follower {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	f := &follower{events: make(chan reader.Event), err: make(chan error, 1), cancel: cancel}
	go func() {
		for e, err := range reader.New(nc).Follow(ctx, schema.Mahavishnu, c, after) {
			if err != nil {
				f.err <- err
				return
			}
			select {
			case f.events <- e:
			case <-ctx.Done():
			}
		}
		f.err <- nil
	}()
	t.Cleanup(cancel)
	return f
}

func (f *follower) want(t testing.TB, ids ...string) {
	t.Helper()
	for _, id := range ids {
		select {
		case e := <-f.events:
			if e.ID != id {
				t.Fatalf("got %s, want %s", e.ID, id)
			}
		case err := <-f.err:
			t.Fatalf("ended before %s: %v", id, err)
		case <-time.After(30 * time.Second):
			t.Fatalf("no %s after 30 s", id)
		}
	}
}

func TestReadGivesWhatIsStoredAfterAPosition(t *testing.T) {
	srv := natstest.Start(t, natstest.Streams(schema.Mahavishnu))
	nc := srv.Connect(t)
	p := publisherOn(t, nc)
	var receipts []publisher.Receipt
	for i := range 1200 {
		receipts = append(receipts, publish(t, p, fmt.Sprint(i%2), fmt.Sprint("id-", i)))
	}
	for _, after := range []int{-1, 0, 1, 700, 1198, 1199} {
		position := reader.Position{}
		if after >= 0 {
			position = reader.After(receipts[after])
		}
		var got []reader.Event
		for e, err := range reader.New(nc).Read(t.Context(), schema.Mahavishnu, channel(t, "workflow:1"), position) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, e)
		}
		i := after + 1
		if i%2 == 0 {
			i++
		}
		for _, e := range got {
			want := receipts[i]
			if e.ID != want.ID || e.Position != reader.After(want) || e.Name != "workflow.failed" || e.Channel.String() != want.Channel ||
				string(e.Payload) != fmt.Sprintf(`{"workflow_id":"1","error":%q}`, want.ID) || time.Since(e.Time) > time.Minute {
				t.Fatalf("after %d: got %+v, want %+v", after, e, want)
			}
			i += 2
		}
		if i < 1200 {
			t.Errorf("after %d: ended before %d", after, i)
		}
	}
	// Who stops ranging stops reading.
	for e, err := range reader.New(nc).Read(t.Context(), schema.Mahavishnu, channel(t, "workflow:1"), reader.Position{}) {
		if err != nil || e.ID != "id-1" {
			t.Errorf("%+v, %v", e, err)
		}
		break
	}
}

func TestFollowGoesOnLiveWithoutAGap(t *testing.T) {
	srv := natstest.Start(t, natstest.Streams(schema.Mahavishnu))
	nc := srv.Connect(t)
	p := publisherOn(t, nc)
	publish(t, p, "a", "1")
	f := follow(t, srv.Connect(t), channel(t, "workflow:a"), reader.Position{})
	f.want(t, "1")
	for i := range 300 {
		publish(t, p, "b", fmt.Sprint("b", i))
		publish(t, p, "a", fmt.Sprint("a", i))
		f.want(t, fmt.Sprint("a", i))
	}
	// What claims to be live and is not the server's is not taken.
	if err := nc.Publish("live.mahavishnu.workflow.a", []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	publish(t, p, "a", "after-the-forgery")
	f.want(t, "after-the-forgery")
	f.cancel()
	if err := <-f.err; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}

// configure changes the stream's configuration.
func configure(t testing.TB, nc *nats.Conn, change func(*jetstream.StreamConfig)) {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(t.Context(), schema.Mahavishnu.Stream())
	if err != nil {
		t.Fatal(err)
	}
	cfg := s.CachedInfo().Config
	change(&cfg)
	if _, err := js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
}

func TestLostLiveCopiesAreReadFromTheLog(t *testing.T) {
	srv := natstest.Start(t, natstest.Streams(schema.Mahavishnu))
	nc := srv.Connect(t)
	p := publisherOn(t, nc)
	f := follow(t, srv.Connect(t), channel(t, "workflow:a"), reader.Position{})
	publish(t, p, "a", "1")
	f.want(t, "1")
	var live *jetstream.RePublish
	configure(t, nc, func(c *jetstream.StreamConfig) { live, c.RePublish = c.RePublish, nil })
	publish(t, p, "a", "2")
	publish(t, p, "a", "3")
	configure(t, nc, func(c *jetstream.StreamConfig) { c.RePublish = live })
	publish(t, p, "a", "4")
	f.want(t, "2", "3", "4")
	// And when nothing follows, the tail is looked at.
	configure(t, nc, func(c *jetstream.StreamConfig) { c.RePublish = nil })
	publish(t, p, "a", "5")
	f.want(t, "5")
	// After a reconnect at once.
	publish(t, p, "a", "6")
	srv.Restart(t)
	f.want(t, "6")
}

func TestRefusalsSayThatTheLogDoesNotFollowThePosition(t *testing.T) {
	srv := natstest.Start(t, natstest.Streams(schema.Mahavishnu))
	nc := srv.Connect(t)
	p := publisherOn(t, nc)
	first := publish(t, p, "a", "1")
	publish(t, p, "a", "2")
	last := publish(t, p, "b", "3")
	configure(t, nc, func(c *jetstream.StreamConfig) { c.MaxMsgs = 1 })
	configure(t, nc, func(c *jetstream.StreamConfig) { c.MaxMsgs = -1 })

	end := func(after reader.Position) error {
		for _, err := range reader.New(nc).Read(t.Context(), schema.Mahavishnu, channel(t, "workflow:a"), after) {
			if err != nil {
				return err
			}
		}
		return nil
	}
	for _, test := range []struct {
		name  string
		after reader.Position
		want  error
	}{
		{"trimmed", reader.After(first), reader.ErrExpired},
		{"just held", reader.Position{Epoch: first.Epoch, Seq: 2}, nil},
		{"the end", reader.After(last), nil},
		{"from the oldest", reader.Position{}, nil},
		{"beyond the end", reader.Position{Epoch: first.Epoch, Seq: 99}, reader.ErrAhead},
		{"another log", reader.Position{Epoch: "other", Seq: 3}, reader.ErrEpoch},
	} {
		if err := end(test.after); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
	for _, err := range reader.New(nc).Read(t.Context(), schema.Dhruva, channel(t, "registry"), reader.Position{}) {
		if err == nil {
			t.Error("a stream that does not exist has an event")
		}
	}
	// A follower of a quiet channel does not expire while others are trimmed.
	f := follow(t, srv.Connect(t), channel(t, "workflow:a"), reader.After(last))
	for i := range 5 {
		publish(t, p, "b", fmt.Sprint("noise", i))
	}
	publish(t, p, "a", "4")
	f.want(t, "4")
}

func TestFollowOutlastsLeaderChanges(t *testing.T) {
	c := natstest.StartCluster(t, 3, natstest.Streams(schema.Mahavishnu))
	p := publisherOn(t, c.Connect(t))
	f := follow(t, c.Connect(t), channel(t, "workflow:a"), reader.Position{})
	var want []string
	step := func(n int) {
		for range n {
			id := fmt.Sprintf("%04d", len(want))
			want = append(want, id)
			publish(t, p, "a", id)
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		step(50)
		c.StepDown(t, schema.Mahavishnu)
		step(50)
		leader := c.Leader(t, schema.Mahavishnu)
		leader.Shutdown()
		step(50)
		leader.Restart(t)
		step(50)
	}()
	for i := range 200 {
		f.want(t, fmt.Sprintf("%04d", i))
	}
	<-done
}

func TestWhatNATSForbidsEndsTheSequence(t *testing.T) {
	srv := natstest.Start(t, natstest.Streams(schema.Mahavishnu), natstest.Configure(func(o *server.Options) {
		o.Users = []*server.User{
			{Username: "all", Password: "p"},
			{Username: "some", Password: "p", Permissions: &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{"$JS.API.STREAM.MSG.GET.>"}}}},
		}
		o.NoAuthUser = "all"
	}))
	publish(t, publisherOn(t, srv.Connect(t)), "a", "1")
	nc := srv.Connect(t, nats.UserInfo("some", "p"))
	for name, read := range map[string]func(context.Context, schema.Service, schema.Channel, reader.Position) iter.Seq2[reader.Event, error]{
		"Read": reader.New(nc).Read, "Follow": reader.New(nc).Follow,
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		for _, err := range read(ctx, schema.Mahavishnu, channel(t, "workflow:a"), reader.Position{}) {
			if !errors.Is(err, publisher.ErrForbidden) || !strings.Contains(err.Error(), "the role edge") {
				t.Errorf("%s: %v", name, err)
			}
		}
		if ctx.Err() != nil {
			t.Errorf("%s: did not end", name)
		}
		cancel()
	}
}
