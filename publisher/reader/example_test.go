package reader_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/bodhisattva/indranet/publisher"
	"github.com/bodhisattva/indranet/publisher/reader"
	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/mahavishnu"
)

// exampleServer runs a server with the stream of mahavishnu, as a deployment has it.
func exampleServer() (*nats.Conn, func(), error) {
	dir, err := os.MkdirTemp("", "indranet-example-")
	if err != nil {
		return nil, nil, err
	}
	srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: dir, NoLog: true, NoSigs: true})
	if err != nil {
		return nil, nil, err
	}
	srv.Start()
	srv.ReadyForConnections(10 * time.Second)
	nc, err := nats.Connect(srv.ClientURL())
	if err == nil {
		_, err = publisher.EnsureStreams(context.Background(), nc, publisher.StreamConfig{MaxBytes: 1 << 20}, schema.Mahavishnu)
	}
	return nc, func() {
		nc.Close()
		srv.Shutdown()
		srv.WaitForShutdown()
		_ = os.RemoveAll(dir)
	}, err
}

// Following a channel: what is stored, and then what comes. The position of the last
// event that was dealt with is all that has to be kept to go on later.
func Example() {
	nc, stop, err := exampleServer()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stop()
	ctx := context.Background()
	pub, err := publisher.New(nc)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pub.Close()
	for _, stage := range []string{"fetch", "clean", "write"} {
		event := mahavishnu.WorkflowStageCompleted{WorkflowID: "42", StageName: stage, Result: "ok"}
		if _, err := pub.Publish(ctx, event); err != nil {
			fmt.Println(err)
			return
		}
	}

	channel, err := schema.ParseChannel("workflow:42")
	if err != nil {
		fmt.Println(err)
		return
	}
	var done reader.Position
	for event, err := range reader.New(nc).Follow(ctx, schema.Mahavishnu, channel, done) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(event.Position.Seq, event.Name, string(event.Payload))
		if done = event.Position; done.Seq == 3 {
			break
		}
	}
	// Output:
	// 1 workflow.stage_completed {"workflow_id":"42","stage_name":"fetch","result":"ok"}
	// 2 workflow.stage_completed {"workflow_id":"42","stage_name":"clean","result":"ok"}
	// 3 workflow.stage_completed {"workflow_id":"42","stage_name":"write","result":"ok"}
}
