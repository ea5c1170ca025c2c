package publisher_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/bodhisattva/indranet/publisher"
	"github.com/bodhisattva/indranet/publisher/publishertest"
	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/catalogue"
	"github.com/bodhisattva/indranet/schema/crackerjack"
	"github.com/bodhisattva/indranet/schema/dhruva"
	"github.com/bodhisattva/indranet/schema/fastblocks"
	"github.com/bodhisattva/indranet/schema/mahavishnu"
)

// exampleServer is what `indranet dev` is to the examples: a NATS server with the
// streams. A service of yours connects to the URL of its deployment instead.
func exampleServer() (nc *nats.Conn, stop func()) {
	dir, err := os.MkdirTemp("", "indranet-example-")
	if err != nil {
		log.Panic(err)
	}
	srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: dir, NoLog: true, NoSigs: true})
	if err != nil {
		log.Panic(err)
	}
	srv.Start()
	if !srv.ReadyForConnections(30 * time.Second) {
		log.Panic("the server did not start")
	}
	if nc, err = nats.Connect(srv.ClientURL()); err != nil {
		log.Panic(err)
	}
	if _, err := publisher.EnsureStreams(context.Background(), nc, publisher.StreamConfig{MaxBytes: 1 << 20}, schema.Services()...); err != nil {
		log.Panic(err)
	}
	return nc, func() {
		nc.Close()
		srv.Shutdown()
		srv.WaitForShutdown()
		_ = os.RemoveAll(dir) // It is temporary anyway.
	}
}

// Publishing an event: its type decides where it goes, and the receipt says where it
// now stands.
func Example() {
	nc, stop := exampleServer()
	defer stop()
	pub, err := publisher.New(nc)
	if err != nil {
		log.Panic(err)
	}
	defer pub.Close()
	receipt, err := pub.Publish(context.Background(), mahavishnu.WorkflowStarted{
		WorkflowID: "42", Adapter: "llamaindex", Prompt: "summarise the report",
	})
	if err != nil {
		log.Panic(err)
	}
	fmt.Println(receipt.Service, receipt.Channel, receipt.Subject, receipt.Seq)
	// Output: mahavishnu workflow:42 ev.mahavishnu.workflow.42 1
}

// Every bad field is named at once, and nothing is sent.
func ExamplePublisher_Publish_invalid() {
	nc, stop := exampleServer()
	defer stop()
	pub, err := publisher.New(nc)
	if err != nil {
		log.Panic(err)
	}
	defer pub.Close()
	_, err = pub.Publish(context.Background(), dhruva.AdapterActivated{AdapterID: "*"})
	var invalid *schema.InvalidError
	if errors.As(err, &invalid) {
		for _, f := range invalid.Fields {
			fmt.Println(f.Field, f.Problem)
		}
	}
	// Output:
	// adapter_id may not be "*"
	// repo may not be empty
	// version may not be empty
}

// An id of your own makes publishing harmless to repeat: after a crash, say, when
// nobody knows whether it happened.
func ExampleWithID() {
	nc, stop := exampleServer()
	defer stop()
	pub, err := publisher.New(nc)
	if err != nil {
		log.Panic(err)
	}
	defer pub.Close()
	event := crackerjack.TestStarted{RunID: "7", TestSuite: "unit", Total: 120}
	for range 2 {
		receipt, err := pub.Publish(context.Background(), event, publisher.WithID("run-7-started"))
		if err != nil {
			log.Panic(err)
		}
		fmt.Println(receipt.Seq, receipt.Duplicate)
	}
	// Output:
	// 1 false
	// 1 true
}

// Optimistic concurrency: the event is stored only if nobody was faster.
func ExampleWithExpectedSeq() {
	nc, stop := exampleServer()
	defer stop()
	pub, err := publisher.New(nc)
	if err != nil {
		log.Panic(err)
	}
	defer pub.Close()
	ctx := context.Background()
	stage := mahavishnu.WorkflowStageCompleted{WorkflowID: "42", StageName: "fetch", Result: "ok"}
	first, err := pub.Publish(ctx, stage, publisher.WithExpectedSeq(0)) // The channel is new.
	if err != nil {
		log.Panic(err)
	}
	_, err = pub.Publish(ctx, stage, publisher.WithExpectedSeq(0))
	var conflict *publisher.ConflictError
	if errors.As(err, &conflict) {
		fmt.Println("expected", conflict.Expected, "actual", conflict.Actual, conflict.Actual == first.Seq)
	}
	// Output: expected 0 actual 1 true
}

// Many events without waiting for each: Flush waits for all of them.
func ExamplePublisher_PublishAsync() {
	nc, stop := exampleServer()
	defer stop()
	failed := 0
	pub, err := publisher.New(nc, publisher.WithErrorHandler(func(publisher.Receipt, error) { failed++ }))
	if err != nil {
		log.Panic(err)
	}
	defer pub.Close()
	ctx := context.Background()
	var last *publisher.Ack
	for i := range 100 {
		last, err = pub.PublishAsync(ctx, fastblocks.PageRendered{PageID: fmt.Sprint("page-", i), DurationMS: 12})
		if err != nil {
			log.Panic(err)
		}
	}
	if err := pub.Flush(ctx); err != nil {
		log.Panic(err)
	}
	receipt, err := last.Wait(ctx)
	fmt.Println(receipt.Channel, err, failed)
	// Output: page:page-99 <nil> 0
}

// A batch is stored whole or not at all, its events next to each other.
func ExamplePublisher_PublishBatch() {
	nc, stop := exampleServer()
	defer stop()
	pub, err := publisher.New(nc)
	if err != nil {
		log.Panic(err)
	}
	defer pub.Close()
	receipts, err := pub.PublishBatch(context.Background(), []schema.Event{
		dhruva.AdapterDeactivated{AdapterID: "old", Repo: "r", Reason: "replaced"},
		dhruva.AdapterActivated{AdapterID: "new", Repo: "r", Version: "2.0.0"},
		dhruva.AdapterSwapped{OldAdapter: "old", NewAdapter: "new", Repo: "r"},
	})
	if err != nil {
		log.Panic(err)
	}
	for _, r := range receipts {
		fmt.Println(r.Seq, r.Channel)
	}
	// Output:
	// 1 adapter:old
	// 2 adapter:new
	// 3 distribution:r
}

// What the streams should be, and what differs.
func ExampleEnsureStreams() {
	nc, stop := exampleServer()
	defer stop()
	report, err := publisher.EnsureStreams(context.Background(), nc, publisher.StreamConfig{MaxBytes: 2 << 20}, schema.Akosha)
	if err != nil {
		log.Panic(err)
	}
	fmt.Print(report)
	// Output:
	// IND_AKOSHA         updated
	//   max_bytes: 1048576 → 2097152
}

// An event that is only known as JSON goes through the catalogue, which checks it and
// turns older spellings into the first one.
func Example_json() {
	nc, stop := exampleServer()
	defer stop()
	pub, err := publisher.New(nc)
	if err != nil {
		log.Panic(err)
	}
	defer pub.Close()
	event, err := catalogue.Default().Parse(schema.Fastblocks, "page.rendered", []byte(`{"page_id":"home","duration":8,"by":"cli"}`))
	if err != nil {
		log.Panic(err)
	}
	receipt, err := pub.Publish(context.Background(), event)
	if err != nil {
		log.Panic(err)
	}
	fmt.Println(receipt.Channel)
	fmt.Println(string(event.(*catalogue.Parsed).Payload()))
	// Output:
	// page:home
	// {"page_id":"home","duration_ms":8,"by":"cli"}
}

// In the tests of a service a recorder stands in for the publisher.
func Example_recorder() {
	var recorder publishertest.Recorder
	_, err := recorder.Publish(context.Background(), dhruva.AdapterActivated{AdapterID: "a", Repo: "r", Version: "1"})
	if err != nil {
		log.Panic(err)
	}
	for _, event := range publishertest.Of[dhruva.AdapterActivated](&recorder) {
		fmt.Println(event.AdapterID, event.Version)
	}
	// Output: a 1
}

// Without a connection nothing is stored, and the error says so.
func ExamplePublisher_Publish_unavailable() {
	nc, err := nats.Connect("nats://127.0.0.1:1", nats.RetryOnFailedConnect(true),
		nats.SetCustomDialer(&net.Dialer{Timeout: time.Second}))
	if err != nil {
		log.Panic(err)
	}
	defer nc.Close()
	pub, err := publisher.New(nc, publisher.WithTimeout(100*time.Millisecond))
	if err != nil {
		log.Panic(err)
	}
	defer pub.Close()
	_, err = pub.Publish(context.Background(), dhruva.AdapterActivated{AdapterID: "a", Repo: "r", Version: "1"})
	fmt.Println(errors.Is(err, publisher.ErrUnavailable), errors.Is(err, publisher.ErrUnknownOutcome))
	// Output: true false
}
