package nats_test

import (
	"testing"

	"github.com/bodhisattva/indranet/publisher"
	"github.com/bodhisattva/indranet/publisher/directget"
	"github.com/bodhisattva/indranet/schema"
)

// TestServerForgetsWhereAnswersWent asks across accounts many times: the server keeps a
// route for the answer of each request, and has to drop it when the answer is complete.
func TestServerForgetsWhereAnswersWent(t *testing.T) {
	d := single(t)
	p, err := publisher.New(d.connect(t, role(schema.Dhruva)))
	must(t, err)
	defer p.Close()
	for range 1000 {
		_, err := p.Publish(t.Context(), event{service: schema.Dhruva, channel: channel(t, "registry")}, publisher.WithUnordered())
		must(t, err)
	}
	nc := d.connect(t, edge)
	account, err := d.servers[0].LookupAccount("INDRANET")
	must(t, err)
	// Kept as long as somebody listens, since more may come.
	sub, err := nc.SubscribeSync(nc.NewInbox())
	must(t, err)
	must(t, nc.PublishRequest("$JS.API.DIRECT.GET."+schema.Dhruva.Stream(), sub.Subject, []byte(`{"seq":1,"batch":10}`)))
	_, err = sub.NextMsg(patience)
	must(t, err)
	if n := account.NumPendingAllResponses(); n == 0 {
		t.Error("there is no route for an answer")
	}
	must(t, sub.Unsubscribe())
	get := directget.New(nc)
	for range 1000 {
		_, err := get.Get(t.Context(), schema.Dhruva.Stream(), directget.Request{Seq: 1, Batch: 10}, func(*directget.Message) error { return nil })
		must(t, err)
		_, err = get.Leader(t.Context(), schema.Dhruva.Stream(), directget.LeaderRequest{Seq: 1})
		must(t, err)
	}
	until(t, "the routes to be dropped", func() bool { return account.NumPendingAllResponses() == 0 })
}
