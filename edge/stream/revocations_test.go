package stream_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/bodhisattva/indranet/edge/auth"
	"github.com/bodhisattva/indranet/edge/stream"
	"github.com/bodhisattva/indranet/publisher"
	"github.com/bodhisattva/indranet/publisher/natstest"
)

// patience bounds what takes a busy machine its time.
const patience = 30 * time.Second

// revoked is what a follower was told.
type revoked struct {
	*stream.Follower
	mu   sync.Mutex
	told map[string]string
}

func follow(t *testing.T, bus *stream.Bus) *revoked {
	t.Helper()
	r := &revoked{told: map[string]string{}}
	r.Follower = bus.FollowRevocations(t.Context(), func(key string, value []byte, deleted bool) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if deleted {
			delete(r.told, key)
		} else {
			r.told[key] = string(value)
		}
	})
	return r
}

// want waits until exactly these were told.
func (r *revoked) want(t *testing.T, want map[string]string) {
	t.Helper()
	until(t, fmt.Sprintf("%v to be told", want), func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return maps.Equal(r.told, want)
	})
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("%s: not within %s", what, patience)
		}
	}
}

func ensure(t *testing.T, nc *nats.Conn, want publisher.Action) publisher.StreamReport {
	t.Helper()
	report, err := stream.EnsureRevocations(t.Context(), nc, 0)
	if err != nil || report.Action != want {
		t.Fatalf("ensure: %+v, %v; want %s", report, err, want)
	}
	return report
}

func putRevocation(ctx context.Context, nc *nats.Conn, key, value string) error {
	return stream.PutRevocation(ctx, nc, key, func([]byte, time.Time) []byte { return []byte(value) })
}

func deleteRevocation(ctx context.Context, nc *nats.Conn, key string) error {
	_, err := stream.DeleteRevocation(ctx, nc, key)
	return err
}

func revoke(t *testing.T, nc *nats.Conn, key, value string) {
	t.Helper()
	must(t, putRevocation(t.Context(), nc, key, value))
}

func TestRevocationsAreFollowed(t *testing.T) {
	srv := natstest.Start(t)
	nc := srv.Connect(t)
	bus, err := stream.Connect(stream.Config{URL: srv.URL()}, discard)
	must(t, err)
	for what, err := range map[string]error{
		"put": putRevocation(t.Context(), nc, "a", ""), "delete": deleteRevocation(t.Context(), nc, "a"),
	} {
		if !errors.Is(err, stream.ErrNoRevocations) {
			t.Errorf("%s without a bucket: %v", what, err)
		}
	}
	r := follow(t, bus)
	until(t, "the missing bucket to be noticed", func() bool { return errors.Is(r.Err(), stream.ErrNoRevocations) })
	select {
	case <-r.Loaded():
		t.Error("loaded without a bucket")
	default:
	}
	ensure(t, nc, publisher.Created)
	<-r.Loaded()
	for i := range 1200 { // More than two pages.
		if _, err := nc.Request(fmt.Sprintf("$KV.IND_REVOCATIONS.many.%d", i%700), []byte("x"), patience); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]string{"a.b": "2"}
	for i := range 700 {
		want[fmt.Sprint("many.", i)] = "x"
	}
	revoke(t, nc, "a.b", "1")
	revoke(t, nc, "a.b", "2")
	revoke(t, nc, "c", "3")
	must(t, deleteRevocation(t.Context(), nc, "c"))
	r.want(t, want)
	follow(t, bus).want(t, want) // Loads the same.

	srv.Shutdown()
	until(t, "the outage", func() bool { return r.Err() != nil && !r.Fresh(time.Now(), 400*time.Millisecond) })
	r.want(t, want)
	srv.Restart(t)
	until(t, "freshness", func() bool { return r.Fresh(time.Now(), time.Second) })
	revoke(t, nc, "d", "4")
	want["d"] = "4"
	r.want(t, want)

	// Another bucket, which is longer than the one before by the time it is seen.
	js, err := jetstream.New(nc)
	must(t, err)
	must(t, js.DeleteKeyValue(t.Context(), stream.RevocationsBucket))
	ensure(t, nc, publisher.Created)
	revoke(t, nc, "e", "5")
	r.want(t, map[string]string{"e": "5"})
	must(t, js.DeleteKeyValue(t.Context(), stream.RevocationsBucket))
	until(t, "the deletion to be noticed", func() bool { return errors.Is(r.Err(), stream.ErrNoRevocations) })
	r.want(t, map[string]string{"e": "5"}) // Until there is one that says otherwise.
	ensure(t, nc, publisher.Created)
	r.want(t, map[string]string{})

	bus.Close()
	<-r.Stopped()
	if r.Fresh(time.Now().Add(time.Minute), time.Second) {
		t.Error("fresh after the end")
	}
}

func TestBucketWorksWithOrdinaryClients(t *testing.T) {
	srv := natstest.Start(t)
	bus, nc := connect(t, srv), srv.Connect(t)
	ensure(t, nc, publisher.Created)
	r := follow(t, bus)
	js, err := jetstream.New(nc)
	must(t, err)
	kv, err := js.KeyValue(t.Context(), stream.RevocationsBucket)
	must(t, err)
	status, err := kv.Status(t.Context())
	if stream.RevocationLife < auth.RevocationLife {
		t.Error("tokens outlive their revocations")
	}
	if err != nil || status.TTL() != stream.RevocationLife || status.History() != 1 || status.BackingStore() != "JetStream" {
		t.Errorf("status %+v, %v", status, err)
	}
	watch, err := kv.WatchAll(t.Context(), jetstream.UpdatesOnly())
	must(t, err)
	defer func() { _ = watch.Stop() }()
	revoke(t, nc, "user.1", "v")
	if e := <-watch.Updates(); e.Key() != "user.1" || string(e.Value()) != "v" || e.Operation() != jetstream.KeyValuePut {
		t.Errorf("watched %+v", e)
	}
	if _, err := kv.PutString(t.Context(), "user.2", "w"); err != nil {
		t.Fatal(err)
	}
	r.want(t, map[string]string{"user.1": "v", "user.2": "w"})
	must(t, kv.Purge(t.Context(), "user.1"))
	r.want(t, map[string]string{"user.2": "w"})
	must(t, kv.Delete(t.Context(), "user.2"))
	r.want(t, map[string]string{})
	// The same bucket as the client's own way to make one.
	must(t, js.DeleteKeyValue(t.Context(), stream.RevocationsBucket))
	_, err = js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: stream.RevocationsBucket, TTL: stream.RevocationLife})
	must(t, err)
	ensure(t, nc, publisher.Unchanged)
}

func TestDriftOfTheBucketIsNamedAndCorrected(t *testing.T) {
	srv := natstest.Start(t)
	nc := srv.Connect(t)
	if report, err := stream.DiffRevocations(t.Context(), nc, 0); err != nil || report.Action != publisher.Missing {
		t.Errorf("diff: %+v, %v", report, err)
	}
	js, err := jetstream.New(nc)
	must(t, err)
	_, err = js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{
		Bucket: stream.RevocationsBucket, TTL: time.Hour, History: 5, MaxBytes: 1 << 20, Metadata: map[string]string{"owner": "us"},
	})
	must(t, err)
	report, err := stream.DiffRevocations(t.Context(), nc, 0)
	if err != nil || report.Action != publisher.Drifted || len(report.Changes) != 2 {
		t.Errorf("diff: %+v, %v", report, err)
	}
	if report := ensure(t, nc, publisher.Updated); len(report.Changes) != 2 || report.Changes[0].Field != "max_age" {
		t.Errorf("changes %+v", report.Changes)
	}
	ensure(t, nc, publisher.Unchanged)
	s, err := js.Stream(t.Context(), stream.RevocationsStream)
	if err != nil || s.CachedInfo().Config.MaxBytes != 1<<20 || s.CachedInfo().Config.Metadata["owner"] != "us" {
		t.Errorf("what is the operator's was changed: %v", err)
	}
	// What cannot be changed is said, and changed by nobody.
	must(t, js.DeleteKeyValue(t.Context(), stream.RevocationsBucket))
	_, err = js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{
		Bucket: stream.RevocationsBucket, TTL: time.Hour, Storage: jetstream.MemoryStorage,
	})
	must(t, err)
	ensure(t, nc, publisher.Updated)
	report = ensure(t, nc, publisher.Drifted)
	if len(report.Changes) != 1 || report.Changes[0].Field != "storage" || !report.Changes[0].Refused || !(publisher.Report{report}).Drift() {
		t.Errorf("changes %+v", report.Changes)
	}
	if _, err := stream.EnsureRevocations(t.Context(), nc, 6); err == nil {
		t.Error("six replicas were accepted")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if _, err := stream.EnsureRevocations(ctx, nc, 3); err == nil {
		t.Error("three replicas without a cluster were accepted")
	}
}

// TestRevocationsSurviveALostLeader kills the leader of the bucket while it is followed.
func TestRevocationsSurviveALostLeader(t *testing.T) {
	c := natstest.StartCluster(t, 3)
	nc := c.Connect(t)
	report, err := stream.EnsureRevocations(t.Context(), nc, 3)
	if err != nil || report.Action != publisher.Created {
		t.Fatalf("%+v, %v", report, err)
	}
	bus, err := stream.Connect(stream.Config{URL: c.URL()}, discard)
	must(t, err)
	t.Cleanup(bus.Close)
	r, want := follow(t, bus), map[string]string{}
	<-r.Loaded()
	put := func(key string) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
		defer cancel()
		until(t, "a put", func() bool { return putRevocation(ctx, nc, key, key) == nil })
		want[key] = key
	}
	for round := range 3 {
		for i := range 5 {
			put(fmt.Sprintf("r%d.%d", round, i))
		}
		for _, s := range c.Servers {
			if s.NATS().JetStreamIsStreamLeader("$G", stream.RevocationsStream) {
				s.Restart(t)
				break
			}
		}
		put(fmt.Sprintf("r%d.after", round))
		r.want(t, want)
	}
	until(t, "freshness", func() bool { return r.Err() == nil && r.Fresh(time.Now(), time.Second) })
}

// Two who change a revocation at once do not undo each other, and what was deleted is
// nothing.
func TestARevocationIsChangedByWhatIsThere(t *testing.T) {
	nc := natstest.Start(t).Connect(t)
	ensure(t, nc, publisher.Created)
	add := func(mark string) {
		must(t, stream.PutRevocation(t.Context(), nc, "k", func(old []byte, _ time.Time) []byte { return append(old, mark...) }))
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() { add("x") })
	}
	all.Wait()
	held := func() string {
		found := map[string]string{}
		must(t, stream.Revocations(t.Context(), nc, func(key string, value []byte) { found[key] = string(value) }))
		return fmt.Sprint(found)
	}
	if got := held(); got != "map[k:xxxxxxxx]" {
		t.Errorf("eight added: %s", got)
	}
	for _, want := range []bool{true, false} {
		if was, err := stream.DeleteRevocation(t.Context(), nc, "k"); was != want || err != nil {
			t.Errorf("deleted: %v, %v; want %v", was, err, want)
		}
	}
	if got := held(); got != "map[]" {
		t.Errorf("deleted: %s", got)
	}
	if add("y"); held() != "map[k:y]" {
		t.Errorf("again: %s", held())
	}
}
