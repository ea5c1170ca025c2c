package natstest_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/bodhisattva/indranet/publisher/directget"
	"github.com/bodhisattva/indranet/publisher/natstest"
	"github.com/bodhisattva/indranet/schema"
)

func TestRestartKeepsDataAndAddress(t *testing.T) {
	srv := natstest.Start(t, natstest.Streams(schema.Dhruva))
	nc := srv.Connect(t)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "ev.dhruva.registry", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	before, err := directget.New(nc).Info(t.Context(), "IND_DHRUVA")
	if err != nil {
		t.Fatal(err)
	}
	url := srv.URL()
	srv.Restart(t)
	if srv.URL() != url {
		t.Errorf("URL after restart = %s, want %s", srv.URL(), url)
	}
	after, err := directget.New(srv.Connect(t)).Info(t.Context(), "IND_DHRUVA")
	if err != nil {
		t.Fatal(err)
	}
	if after.LastSeq != 1 || after.Metadata["indranet_epoch"] != before.Metadata["indranet_epoch"] {
		t.Errorf("state after restart = %+v, before %+v", after, before)
	}
}

func TestConnectInProcess(t *testing.T) {
	srv := natstest.Start(t)
	if _, err := srv.ConnectInProcess(t).RTT(); err != nil {
		t.Fatal(err)
	}
}

func TestClusterElectsAnotherLeader(t *testing.T) {
	c := natstest.StartCluster(t, 3, natstest.Streams(schema.Dhruva))
	first := c.Leader(t, schema.Dhruva)
	c.StepDown(t, schema.Dhruva)
	if now := c.Leader(t, schema.Dhruva); now == first {
		t.Errorf("%s still leads", now.Name())
	}
	c.WaitCurrent(t, schema.Dhruva)
	start := time.Now()
	c.Leader(t, schema.Dhruva).Shutdown()
	c.Leader(t, schema.Dhruva)
	t.Logf("a new leader after %s", time.Since(start))
}
