package nats_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/bodhisattva/indranet/edge/feed"
	"github.com/bodhisattva/indranet/edge/stream"
	"github.com/bodhisattva/indranet/publisher"
	"github.com/bodhisattva/indranet/publisher/directget"
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

// request is something that a role tries.
type request struct {
	subject string
	body    string
	reply   string
}

// TestNobodyCanDoMore has every role try what it may not, with each subject as the
// target of a message and, since JetStream answers to whatever subject it is told, as the
// target of an answer. Nothing may happen: neither to the streams, nor live.
func TestNobodyCanDoMore(t *testing.T) { nobodyCanDoMore(t, single(t)) }

func nobodyCanDoMore(t *testing.T, d *deployment) {
	t.Helper()
	for _, service := range schema.Services() {
		p, err := publisher.New(d.connect(t, role(service)))
		must(t, err)
		_, err = p.Publish(t.Context(), event{service: service, channel: channel(t, "registry")})
		must(t, err)
		p.Close()
		// As a request an empty payload is one that needs no arguments.
		_, err = d.connect(t, role(service)).Request("ev."+string(service)+".empty", nil, patience)
		must(t, err)
	}
	must(t, putRevocation(t.Context(), d.connect(t, operator)))
	live := d.eavesdrop(t)
	before := d.state(t)
	for _, r := range roles() {
		if r == operator {
			continue
		}
		t.Run(string(r), func(t *testing.T) {
			var violations atomic.Int32
			nc := d.connect(t, r, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
				if errors.Is(err, nats.ErrPermissionViolation) {
					violations.Add(1)
				}
			}))
			plain, replies := forbidden(r)
			for _, req := range append(plain, replies...) {
				must(t, nc.PublishMsg(&nats.Msg{Subject: req.subject, Reply: req.reply, Data: []byte(req.body)}))
			}
			must(t, nc.FlushTimeout(patience))
			until(t, "every violation", func() bool { return int(violations.Load()) >= len(plain) })
		})
	}
	after := d.state(t)
	for name, was := range before {
		now, ok := after[name]
		if !ok {
			t.Errorf("%s is gone", name)
			continue
		}
		if now.config != was.config || now.created != was.created || now.first != was.first {
			t.Errorf("%s was changed:\n%+v\n%+v", name, was, now)
		}
		for _, m := range now.foreign {
			t.Errorf("%s holds what its publisher did not write: %s", name, m)
		}
	}
	if len(after) != len(before) {
		t.Errorf("streams %v", after)
	}
	for _, subject := range live.strange(t) {
		t.Errorf("live: %s", subject)
	}
}

// forbidden lists what r may not do: subjects that it may not write, and requests that
// it may make with such a subject as the target of the answer.
func forbidden(r role) (list, replies []request) {
	all := append([]string{stream.RevocationsStream}, streams()...)
	own := schema.Service(r)
	for _, name := range all {
		for _, api := range []string{
			"STREAM.DELETE.", "STREAM.PURGE.", "STREAM.MSG.DELETE.", "STREAM.UPDATE.", "STREAM.CREATE.",
			"STREAM.SNAPSHOT.", "STREAM.LEADER.STEPDOWN.", "STREAM.PEER.REMOVE.", "CONSUMER.CREATE.",
		} {
			list = append(list, request{subject: "$JS.API." + api + name})
		}
		list = append(list, request{subject: "$JS.API.STREAM.UPDATE." + name, body: `{"name":"` + name + `","subjects":["x.>"],"max_msgs":1}`},
			request{subject: "$JS.API.STREAM.MSG.DELETE." + name, body: `{"seq":1}`})
	}
	for _, service := range schema.Services() {
		for _, class := range []schema.Class{schema.Stored, schema.Transient, schema.Live} {
			if service != own || class == schema.Live {
				list = append(list, request{subject: string(class) + "." + string(service) + ".registry", body: `{"forged":1}`})
			}
		}
	}
	list = append(list,
		request{subject: "$KV.IND_REVOCATIONS.token.1"}, request{subject: "$KV.IND_REVOCATIONS.token.9", body: "x"},
		request{subject: "$JS.API.STREAM.CREATE.OTHER", body: `{"name":"OTHER","subjects":["other"]}`},
		request{subject: "$JS.API.STREAM.RESTORE.OTHER", body: `{}`}, request{subject: "$JS.API.META.LEADER.STEPDOWN"},
		request{subject: "$SYS.REQ.SERVER.PING"}, request{subject: "$SYS.REQ.USER.INFO"},
		request{subject: "elsewhere", body: "x"})
	for _, target := range list {
		for _, name := range all {
			for _, req := range []request{
				{"$JS.API.DIRECT.GET." + name, `{"seq":1}`, target.subject},
				{"$JS.API.DIRECT.GET." + name, `{"seq":2}`, target.subject},
				{"$JS.API.STREAM.MSG.GET." + name, `{"seq":1}`, target.subject},
				{"$JS.API.STREAM.INFO." + name, ``, target.subject},
			} {
				if name == own.Stream() || r == edge {
					replies = append(replies, req)
				}
			}
		}
		if r != edge {
			replies = append(replies, request{"ev." + string(own) + ".empty", "", target.subject})
		}
	}
	return list, replies
}

func streams() []string {
	var names []string
	for _, service := range schema.Services() {
		names = append(names, service.Stream())
	}
	return names
}

// streamState is what may not change.
type streamState struct {
	config  string
	created time.Time
	first   uint64
	foreign []string
}

// state looks at every stream, with whatever is in it that its publisher did not write.
func (d *deployment) state(t *testing.T) map[string]streamState {
	t.Helper()
	nc := d.connect(t, operator)
	js, err := jetstream.New(nc)
	must(t, err)
	for _, service := range schema.Services() {
		// Behind whatever was asked of JetStream before.
		s, err := js.Stream(t.Context(), service.Stream())
		must(t, err)
		_, err = js.UpdateStream(t.Context(), s.CachedInfo().Config)
		must(t, err)
	}
	all := map[string]streamState{}
	lister := js.ListStreams(t.Context())
	for info := range lister.Info() {
		config, err := json.Marshal(info.Config)
		must(t, err)
		all[info.Config.Name] = streamState{config: string(config), created: info.Created, first: info.State.FirstSeq}
	}
	must(t, lister.Err())
	get := directget.New(d.connect(t, edge))
	for name, s := range all {
		for seq := uint64(1); ; {
			m, err := get.Leader(t.Context(), name, directget.LeaderRequest{Seq: seq, NextBySubj: ">"})
			if err != nil {
				break
			}
			seq = m.Seq + 1
			empty := strings.HasSuffix(m.Subject, ".empty") && len(m.Data) == 0
			if !empty && string(m.Data) != `{"n":1}` && m.Subject != "$KV.IND_REVOCATIONS.token.1" || m.Subject == "$KV.IND_REVOCATIONS.token.1" && string(m.Data) != "v" {
				s.foreign = append(s.foreign, m.Subject+" "+string(m.Data))
			}
		}
		all[name] = s
	}
	return all
}

// ear is what an edge takes for live events.
type ear struct {
	bus *stream.Bus

	// Guarded by mu.
	mu  sync.Mutex
	odd []string
}

// eavesdrop runs an edge that watches every service.
func (d *deployment) eavesdrop(t *testing.T) *ear {
	t.Helper()
	e := &ear{bus: d.bus(t)}
	for _, service := range schema.Services() {
		log := e.bus.Service(service)
		for _, transient := range []bool{false, true} {
			w, err := log.Watch(schema.Channel{}, transient, func(m feed.Message) {
				// What a publisher stored itself is no forgery.
				if transient || m.Channel.String() != "empty" || len(m.Data) > 0 {
					e.mu.Lock()
					e.odd = append(e.odd, fmt.Sprintf("%s %s %s", service, m.Channel, m.Data))
					e.mu.Unlock()
				}
			})
			must(t, err)
			t.Cleanup(w.Stop)
		}
		must(t, log.Flush(t.Context()))
	}
	return e
}

// strange is what was heard and nobody published.
func (e *ear) strange(t *testing.T) []string {
	t.Helper()
	must(t, e.bus.Service(schema.Dhruva).Flush(t.Context()))
	e.mu.Lock()
	defer e.mu.Unlock()
	t.Logf("%d forged", e.bus.Stats.Forged.Load())
	return e.odd
}

func putRevocation(ctx context.Context, nc *nats.Conn) error {
	return stream.PutRevocation(ctx, nc, "token.1", func([]byte, time.Time) []byte { return []byte("v") })
}
