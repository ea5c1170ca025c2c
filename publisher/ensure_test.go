package publisher_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/bodhisattva/indranet/publisher"
	"github.com/bodhisattva/indranet/publisher/natstest"
	"github.com/bodhisattva/indranet/schema"
)

// config is the configuration of mahavishnu's stream.
func config(t testing.TB, nc *nats.Conn) jetstream.StreamConfig {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().Config
}

func ensure(t testing.TB, nc *nats.Conn, cfg publisher.StreamConfig, services ...schema.Service) publisher.Report {
	t.Helper()
	report, err := publisher.EnsureStreams(t.Context(), nc, cfg, services...)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestEnsureStreamsCreatesThemAsDesigned(t *testing.T) {
	nc := natstest.Start(t).Connect(t)
	report := ensure(t, nc, publisher.StreamConfig{MaxBytes: 1 << 20}, schema.Mahavishnu, schema.SessionBuddy)
	if len(report) != 2 || report[0].Action != publisher.Created || report[1].Stream != "IND_SESSION_BUDDY" || report.Drift() {
		t.Errorf("report %+v", report)
	}
	c := config(t, nc)
	if c.Metadata[publisher.EpochKey] != report[0].Epoch || len(report[0].Epoch) != 16 || report[0].Epoch == report[1].Epoch {
		t.Errorf("epochs %q %q", c.Metadata[publisher.EpochKey], report[1].Epoch)
	}
	if c.Subjects[0] != "ev.mahavishnu.>" || *c.RePublish != (jetstream.RePublish{Source: "ev.mahavishnu.>", Destination: "live.mahavishnu.>"}) ||
		c.Storage != jetstream.FileStorage || c.Retention != jetstream.LimitsPolicy || c.Discard != jetstream.DiscardOld ||
		c.Duplicates != 10*time.Minute || c.MaxAge != 30*24*time.Hour || c.MaxBytes != 1<<20 || c.Replicas != 1 ||
		c.MaxMsgs != -1 || c.MaxMsgsPerSubject != -1 || !c.AllowDirect || !c.AllowAtomicPublish || !c.DenyDelete || !c.DenyPurge ||
		c.AllowRollup || c.AllowMsgTTL || c.AllowMsgSchedules || c.AllowMsgCounter {
		t.Errorf("config %+v", c)
	}
	again := ensure(t, nc, publisher.StreamConfig{}, schema.Mahavishnu)
	if again[0].Action != publisher.Unchanged || again[0].Epoch != report[0].Epoch || config(t, nc).MaxBytes != 1<<20 {
		t.Errorf("again %+v", again)
	}
}

func TestEnsureStreamsCorrectsAndKeepsWhatIsTheOperators(t *testing.T) {
	nc := natstest.Start(t).Connect(t)
	plainStream(t, nc)
	diff, err := publisher.Diff(t.Context(), nc, publisher.StreamConfig{MaxBytes: 1 << 20}, schema.Mahavishnu, schema.Dhruva)
	if err != nil || diff[0].Action != publisher.Drifted || diff[1].Action != publisher.Missing || !diff.Drift() {
		t.Errorf("diff %+v, %v", diff, err)
	}
	if c := config(t, nc); c.DenyPurge || c.Metadata[publisher.EpochKey] != "" {
		t.Error("Diff has changed something")
	}
	report := ensure(t, nc, publisher.StreamConfig{MaxBytes: 1 << 20}, schema.Mahavishnu)
	c := config(t, nc)
	if report[0].Action != publisher.Updated || report.Drift() || c.MaxAge != time.Hour || c.Metadata["owner"] != "somebody" ||
		c.Metadata[publisher.EpochKey] != report[0].Epoch || report[0].Epoch == "" {
		t.Errorf("report %+v, config %+v", report, c)
	}
	text := report.String()
	for _, line := range []string{
		"IND_MAHAVISHNU     updated\n",
		"  republish: none → ev.mahavishnu.> to live.mahavishnu.>\n",
		"  max_bytes: -1 → 1048576\n",
		"  duplicate_window: 2m0s → 10m0s\n",
		"  deny_purge: false → true\n",
		"  indranet_epoch: none → " + report[0].Epoch + "\n",
	} {
		if !strings.Contains(text, line) {
			t.Errorf("%q is not in\n%s", line, text)
		}
	}
	if strings.Contains(text, "max_age") {
		t.Errorf("max_age is the operator's:\n%s", text)
	}
}

func TestWhatCannotBeChangedIsReported(t *testing.T) {
	nc := natstest.Start(t).Connect(t)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: stream, Subjects: []string{"ev.mahavishnu.>"}, Storage: jetstream.MemoryStorage, AllowMsgTTL: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	report := ensure(t, nc, publisher.StreamConfig{MaxBytes: 1 << 20}, schema.Mahavishnu)
	text := report.String()
	if !report.Drift() || report[0].Action != publisher.Updated ||
		!strings.Contains(text, "storage: Memory → File (cannot be changed)") ||
		!strings.Contains(text, "allow_msg_ttl: true → false (cannot be changed)") {
		t.Errorf("report\n%s", text)
	}
	if c := config(t, nc); c.Storage != jetstream.MemoryStorage || !c.DenyDelete {
		t.Errorf("config %+v", c)
	}
	again := ensure(t, nc, publisher.StreamConfig{}, schema.Mahavishnu)
	if again[0].Action != publisher.Drifted || !again.Drift() || len(again[0].Changes) != 2 {
		t.Errorf("again %+v", again)
	}
}

func TestEnsureStreamsSaysWhatToChange(t *testing.T) {
	nc := natstest.Start(t, natstest.Configure(func(o *server.Options) { o.JetStreamMaxStore = 100 << 20 })).Connect(t)
	for _, test := range []struct {
		name string
		cfg  publisher.StreamConfig
		says string
	}{
		{"no disk", publisher.StreamConfig{}, "lower MaxBytes (--max-bytes) or raise the server's max_file_store"},
		{"no cluster", publisher.StreamConfig{Replicas: 3, MaxBytes: 1 << 20}, "3 replicas need a cluster of as many servers with 1048576 free bytes each; lower Replicas (--replicas) or MaxBytes (--max-bytes)"},
	} {
		_, err := publisher.EnsureStreams(t.Context(), nc, test.cfg, schema.Mahavishnu)
		if err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	// The second stream does not fit any more: the report has the first.
	report, err := publisher.EnsureStreams(t.Context(), nc, publisher.StreamConfig{MaxBytes: 60 << 20}, schema.Mahavishnu, schema.Dhruva)
	if err == nil || len(report) != 1 || !strings.Contains(err.Error(), "IND_DHRUVA") {
		t.Errorf("%+v, %v", report, err)
	}
}

func TestStreamsOfAClusterHaveReplicas(t *testing.T) {
	c := natstest.StartCluster(t, 3)
	nc := c.Connect(t)
	if report := ensure(t, nc, publisher.StreamConfig{Replicas: 1, MaxBytes: 1 << 20}, schema.Mahavishnu); report[0].Action != publisher.Created {
		t.Errorf("%+v", report)
	}
	report := ensure(t, nc, publisher.StreamConfig{Replicas: 3}, schema.Mahavishnu)
	if report[0].Action != publisher.Updated || config(t, nc).Replicas != 3 {
		t.Errorf("%+v", report)
	}
}
