package nats_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/bodhisattva/indranet/edge/feed"
	"github.com/bodhisattva/indranet/edge/stream"
	"github.com/bodhisattva/indranet/publisher"
	"github.com/bodhisattva/indranet/schema"
)

// event is an event of any service.
type event struct {
	service   schema.Service
	channel   schema.Channel
	transient bool
}

func (e event) EventName() string                     { return "test.happened" }
func (e event) EventService() schema.Service          { return e.service }
func (e event) EventChannel() (schema.Channel, error) { return e.channel, nil }
func (e event) EventTransient() bool                  { return e.transient }
func (e event) Validate() error                       { return nil }
func (e event) MarshalJSON() ([]byte, error)          { return []byte(`{"n":1}`), nil }

func TestEveryRoleCanDoItsWork(t *testing.T) {
	d := single(t)
	works(t, d, 1)
}

// works has every role do all it is there for.
func works(t *testing.T, d *deployment, replicas int) {
	t.Helper()
	bus := d.bus(t)
	for _, service := range schema.Services() {
		t.Run(string(service), func(t *testing.T) { publishes(t, d, bus, service) })
	}
	t.Run("operator", func(t *testing.T) { operates(t, d, bus, replicas) })
}

// publishes has a service's publisher do everything that it can do, and an edge see it.
func publishes(t *testing.T, d *deployment, bus *stream.Bus, service schema.Service) {
	c := channel(t, "registry:a.b")
	log := bus.Service(service)
	live := make(chan feed.Message, 1000)
	for _, transient := range []bool{false, true} {
		for _, which := range []schema.Channel{c, {}} {
			w, err := log.Watch(which, transient, func(m feed.Message) { live <- m })
			must(t, err)
			defer w.Stop()
		}
	}
	must(t, log.Flush(t.Context()))
	d.awaitInterest(t, service)

	p, err := publisher.New(d.connect(t, role(service)))
	must(t, err)
	defer p.Close()
	one := event{service: service, channel: c}
	r, err := p.Publish(t.Context(), one, publisher.WithID("one"))
	must(t, err)
	if r.Seq != 1 || r.Epoch == "" || r.Duplicate {
		t.Errorf("receipt %+v", r)
	}
	// Again, which has the SDK look the event up.
	if r, err = p.Publish(t.Context(), one, publisher.WithID("one")); err != nil || r.Seq != 1 || !r.Duplicate {
		t.Errorf("repeated: %+v, %v", r, err)
	}
	// A condition that holds, and one that does not.
	if r, err = p.Publish(t.Context(), one, publisher.WithExpectedSeq(1)); err != nil || r.Seq != 2 {
		t.Errorf("conditional: %+v, %v", r, err)
	}
	if _, err = p.Publish(t.Context(), one, publisher.WithExpectedSeq(1), publisher.WithID("two")); err == nil {
		t.Error("a condition that does not hold was accepted")
	}
	// A batch, and the same again, which has the SDK scan the stream.
	batch := []schema.Event{one, one, one}
	for i := range 2 {
		rs, err := p.PublishBatch(t.Context(), batch, publisher.WithID("batch"))
		if err != nil || len(rs) != 3 || rs[2].Seq != 5 || rs[0].Duplicate != (i == 1) {
			t.Errorf("batch, try %d: %+v, %v", i, rs, err)
		}
	}
	ack, err := p.PublishAsync(t.Context(), one)
	must(t, err)
	if r, err = ack.Wait(t.Context()); err != nil || r.Seq != 6 {
		t.Errorf("async: %+v, %v", r, err)
	}
	_, err = p.Publish(t.Context(), event{service: service, channel: c, transient: true})
	must(t, err)
	must(t, p.Flush(t.Context()))
	_, err = publisher.Diff(t.Context(), d.connect(t, role(service)), publisher.StreamConfig{}, service)
	must(t, err)

	// Six stored events and a transient one, on the channel and on the whole service.
	seen := map[uint64]int{}
	for range 2 * 7 {
		select {
		case m := <-live:
			seen[m.Seq]++
			if m.Channel != c || m.Event != "test.happened" || string(m.Data) != `{"n":1}` {
				t.Errorf("live: %+v", m)
			}
		case <-time.After(patience):
			t.Fatalf("live messages: %v", seen)
		}
	}
	for seq := range uint64(7) {
		if seen[seq] != 2 {
			t.Errorf("live: %v", seen)
		}
	}
	if n := bus.Stats.Forged.Load() + bus.Stats.Denied.Load(); n > 0 {
		t.Errorf("%d messages forged or requests denied", n)
	}
	st, err := log.State(t.Context())
	if err != nil || st.Last != 6 || st.Epoch != r.Epoch {
		t.Errorf("state %+v, %v", st, err)
	}
	for _, q := range []feed.Query{
		{Channel: c, From: 1, Count: 100, Bytes: 1 << 20},
		{Channel: c, From: 1, Count: 100, Bytes: 1 << 20, Urgent: true},
		{From: 1, Count: 100, Bytes: 1 << 20},
		{Channel: c, From: 1, Count: 10, Bytes: 1 << 20, Leader: true},
		{Channel: c, Time: time.Unix(1, 0), Count: 100, Bytes: 1 << 20},
	} {
		until(t, "history", func() bool {
			n := 0
			more, err := log.Read(t.Context(), q, func(feed.Message) { n++ })
			return err == nil && n == 6 && !more
		})
	}
	until(t, "the tail", func() bool {
		last, _, err := log.Tails(t.Context(), []schema.Channel{c}, 0, 0)
		return err == nil && last[c] == 6
	})
}

// awaitInterest waits until every node of a cluster knows that a whole service is
// watched, and with it every subscription from before, since nodes learn an account's in
// order. The flush of a subscription says so of one node only: what another sends before
// it knows is not live, and an edge finds it in history.
func (d *deployment) awaitInterest(t *testing.T, service schema.Service) {
	t.Helper()
	if len(d.servers) == 1 {
		return
	}
	// Nobody watches this channel by itself.
	other := channel(t, "other")
	for account, class := range map[string]schema.Class{"INDRANET": schema.Live, account(service): schema.Transient} {
		for _, srv := range d.servers {
			until(t, srv.Name()+" to know who watches", func() bool {
				a, err := srv.LookupAccount(account)
				return err == nil && a.SubscriptionInterest(schema.Subject(class, service, other))
			})
		}
	}
}

// operates has the operator do what the commands do.
func operates(t *testing.T, d *deployment, bus *stream.Bus, replicas int) {
	nc := d.connect(t, operator)
	report, err := publisher.Diff(t.Context(), nc, publisher.StreamConfig{}, schema.Services()...)
	if err != nil || len(report) != 7 || report.Drift() {
		t.Errorf("diff: %s, %v", report, err)
	}
	report, err = publisher.EnsureStreams(t.Context(), nc, publisher.StreamConfig{MaxAge: 24 * time.Hour}, schema.Dhruva)
	if err != nil || report[0].Action != publisher.Updated {
		t.Errorf("apply: %s, %v", report, err)
	}
	js, err := jetstream.New(nc)
	must(t, err)
	s, err := js.Stream(t.Context(), schema.Dhruva.Stream())
	if err != nil || s.CachedInfo().State.LastSeq != 6 {
		t.Errorf("ls: %v", err)
	}

	one, err := stream.DiffRevocations(t.Context(), nc, replicas)
	if err != nil || one.Action != publisher.Unchanged {
		t.Errorf("diff of the revocations: %+v, %v", one, err)
	}
	changes := make(chan string, 10)
	follower := bus.FollowRevocations(t.Context(), func(key string, value []byte, deleted bool) {
		changes <- fmt.Sprint(key, " ", string(value), " ", deleted)
	})
	wait(t, follower.Loaded(), "the revocations are loaded")
	must(t, putRevocation(t.Context(), nc))
	want(t, changes, "token.1 v false")
	was, err := stream.DeleteRevocation(t.Context(), nc, "token.1")
	if must(t, err); !was {
		t.Error("the operator cannot see that there was a revocation")
	}
	held := 0
	must(t, stream.Revocations(t.Context(), nc, func(string, []byte) { held++ }))
	if held != 0 {
		t.Errorf("%d revocations", held)
	}
	want(t, changes, "token.1  true")

	// What `nats kv` does: status, get, keys, watch, purge.
	bucket, err := js.KeyValue(t.Context(), stream.RevocationsBucket)
	must(t, err)
	_, err = bucket.Put(t.Context(), "user.2", []byte("w"))
	must(t, err)
	want(t, changes, "user.2 w false")
	e, err := bucket.Get(t.Context(), "user.2")
	if err != nil || string(e.Value()) != "w" {
		t.Errorf("get: %v", err)
	}
	keys, err := bucket.Keys(t.Context())
	if err != nil || len(keys) != 1 {
		t.Errorf("keys: %v, %v", keys, err)
	}
	must(t, bucket.Purge(t.Context(), "user.2"))
	want(t, changes, "user.2  true")
	status, err := bucket.Status(t.Context())
	if err != nil || status.TTL() != stream.RevocationLife || status.History() != 1 {
		t.Errorf("status: %v", err)
	}
}

func wait(t *testing.T, done <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("%s: not within %s", what, patience)
	}
}

func want(t *testing.T, got <-chan string, text string) {
	t.Helper()
	select {
	case g := <-got:
		if g != text {
			t.Errorf("got %q, want %q", g, text)
		}
	case <-time.After(patience):
		t.Fatalf("%q did not come", text)
	}
}
