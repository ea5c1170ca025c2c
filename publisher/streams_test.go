package publisher_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/bodhisattva/indranet/publisher"
	"github.com/bodhisattva/indranet/publisher/natstest"
	"github.com/bodhisattva/indranet/schema"
)

func TestEnsureStreamsCreatesOnceAndKeepsTheEpoch(t *testing.T) {
	srv := natstest.Start(t)
	nc := srv.Connect(t)
	cfg := publisher.StreamConfig{MaxBytes: 1 << 20}
	diff, err := publisher.Diff(t.Context(), nc, cfg, schema.Services()...)
	if err != nil || !diff.Drift() || len(diff) != 7 || diff[0].Action != publisher.Missing {
		t.Fatalf("%v, %v", diff, err)
	}
	first, err := publisher.EnsureStreams(t.Context(), nc, cfg, schema.Services()...)
	if err != nil || first.Drift() {
		t.Fatalf("%v, %v", first, err)
	}
	again, err := publisher.EnsureStreams(t.Context(), nc, cfg, schema.Services()...)
	if err != nil {
		t.Fatal(err)
	}
	for i := range first {
		if first[i].Action != publisher.Created || again[i].Action != publisher.Unchanged || first[i].Epoch == "" || first[i].Epoch != again[i].Epoch {
			t.Errorf("first %+v, again %+v", first[i], again[i])
		}
	}
}

func TestDriftIsNamedAndRepaired(t *testing.T) {
	srv := natstest.Start(t, natstest.Streams(schema.Dhruva))
	nc := srv.Connect(t)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(t.Context(), schema.Dhruva.Stream())
	if err != nil {
		t.Fatal(err)
	}
	cfg := s.CachedInfo().Config
	epoch := cfg.Metadata[publisher.EpochKey]
	cfg.MaxMsgsPerSubject, cfg.AllowDirect = 5, false
	cfg.Metadata["team"] = "data"
	if _, err := js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	diff, err := publisher.Diff(t.Context(), nc, publisher.StreamConfig{}, schema.Dhruva)
	if err != nil || !diff.Drift() || !strings.Contains(diff.String(), "max_msgs_per_subject: 5 →") || !strings.Contains(diff.String(), "allow_direct: false → true") {
		t.Fatalf("%v, %v", diff, err)
	}
	report, err := publisher.EnsureStreams(t.Context(), nc, publisher.StreamConfig{}, schema.Dhruva)
	if err != nil || report.Drift() || report[0].Action != publisher.Updated || report[0].Epoch != epoch {
		t.Fatalf("%v, %v", report, err)
	}
	if s, err = js.Stream(t.Context(), schema.Dhruva.Stream()); err != nil {
		t.Fatal(err)
	}
	now := s.CachedInfo().Config
	if !now.AllowDirect || now.MaxMsgsPerSubject != -1 || now.Metadata["team"] != "data" || now.MaxBytes != natstest.MaxBytes {
		t.Errorf("the stream is %+v", now)
	}
}

func TestEnsureStreamsFromManyProcessesAtOnce(t *testing.T) {
	srv := natstest.Start(t)
	var mu sync.Mutex
	epochs := map[string]bool{}
	var wg sync.WaitGroup
	for range 8 {
		nc := srv.Connect(t)
		wg.Go(func() {
			report, err := publisher.EnsureStreams(t.Context(), nc, publisher.StreamConfig{MaxBytes: 1 << 20}, schema.Dhruva)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			epochs[report[0].Epoch] = true
		})
	}
	wg.Wait()
	if len(epochs) != 1 {
		t.Errorf("%d epochs: %v", len(epochs), epochs)
	}
}

func TestStreamErrorsSayWhatToChange(t *testing.T) {
	srv := natstest.Start(t)
	nc := srv.Connect(t)
	for _, c := range []struct {
		cfg  publisher.StreamConfig
		says string
	}{
		{publisher.StreamConfig{Replicas: 6}, "Replicas"},
		{publisher.StreamConfig{MaxAge: time.Minute}, "MaxAge"},
		{publisher.StreamConfig{MaxBytes: -1}, "MaxBytes"},
		{publisher.StreamConfig{MaxBytes: 1 << 60}, "MaxBytes"},
		{publisher.StreamConfig{MaxBytes: 1 << 20, Replicas: 3}, "Replicas"},
	} {
		if _, err := publisher.EnsureStreams(t.Context(), nc, c.cfg, schema.Dhruva); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v, want it to name %s", c.cfg, err, c.says)
		}
	}
	if _, err := publisher.EnsureStreams(t.Context(), nc, publisher.StreamConfig{}, "nobody"); !errors.Is(err, schema.ErrUnknownService) {
		t.Errorf("an unknown service: %v", err)
	}
}
