// Command replay measures how fast an edge replays a channel to one WebSocket
// client, against a bare batch Direct Get of the same events with the same page
// size. Server, edge and client share one process and its cores; the two are
// measured in turns and compared pair by pair.
//
//	go run ./bench/replay -events 100000 -rounds 7
package main

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/gobwas/ws"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/bodhisattva/indranet/edge"
	"github.com/bodhisattva/indranet/edge/stream"
	"github.com/bodhisattva/indranet/publisher"
	"github.com/bodhisattva/indranet/publisher/directget"
	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/mahavishnu"
)

func main() {
	events := flag.Int("events", 1000, "events to replay")
	size := flag.Int("size", 256, "bytes of each payload, about")
	rounds := flag.Int("rounds", 7, "pairs of measurements")
	flag.Parse()
	if err := run(*events, *size, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, "replay:", err)
		os.Exit(1)
	}
}

func run(events, size, rounds int) error {
	dir, err := os.MkdirTemp("", "indranet-replay-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: dir, NoSigs: true})
	if err != nil {
		return err
	}
	srv.Start()
	defer func() {
		srv.Shutdown()
		srv.WaitForShutdown()
	}()
	if !srv.ReadyForConnections(10 * time.Second) {
		return fmt.Errorf("the server did not start")
	}
	nc, err := nats.Connect(srv.ClientURL())
	if err != nil {
		return err
	}
	defer nc.Close()
	ctx := context.Background()
	if err := fill(ctx, nc, events, size); err != nil {
		return err
	}
	var bare, through, ratios []float64
	for range rounds + 1 { // The first pair warms up and is not counted.
		b, err := bareRead(ctx, nc, events)
		if err != nil {
			return err
		}
		e, err := edgeRead(ctx, srv.ClientURL(), events)
		if err != nil {
			return err
		}
		bare, through = append(bare, b), append(through, e)
		ratios = append(ratios, e/b)
	}
	fmt.Printf("%s %s/%s, %d processors, %d events of about %d bytes, %d pairs\n",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), events, size, rounds)
	fmt.Printf("bare batch direct get  %10.0f events/s (median)\n", median(bare[1:]))
	fmt.Printf("replay through an edge %10.0f events/s (median)\n", median(through[1:]))
	fmt.Printf("ratio, pair by pair    min %.2f  median %.2f  max %.2f\n", slices.Min(ratios[1:]), median(ratios[1:]), slices.Max(ratios[1:]))
	return nil
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

func fill(ctx context.Context, nc *nats.Conn, events, size int) error {
	if _, err := publisher.EnsureStreams(ctx, nc, publisher.StreamConfig{MaxBytes: 1 << 30}, schema.Services()...); err != nil {
		return err
	}
	pub, err := publisher.New(nc)
	if err != nil {
		return err
	}
	defer pub.Close()
	result := string(bytes.Repeat([]byte("x"), max(size-60, 1)))
	for range events {
		if _, err := pub.PublishAsync(ctx, mahavishnu.WorkflowStageCompleted{WorkflowID: "w", StageName: "s", Result: result}); err != nil {
			return err
		}
	}
	return pub.Flush(ctx)
}

// bareRead is what nats.go and the server alone can do.
func bareRead(ctx context.Context, nc *nats.Conn, events int) (float64, error) {
	channel, err := schema.NewChannel("workflow", "w")
	if err != nil {
		return 0, err
	}
	subject := schema.Subject(schema.Stored, schema.Mahavishnu, channel)
	get := directget.New(nc)
	begin := time.Now()
	n := 0
	for seq := uint64(1); n < events; {
		_, err := get.Get(ctx, schema.Mahavishnu.Stream(), directget.Request{Seq: seq, NextBySubj: subject, Batch: 1000, MaxBytes: 256 << 10},
			func(m *directget.Message) error {
				n++
				seq = m.Seq + 1
				return nil
			})
		if err != nil {
			return 0, err
		}
	}
	return float64(n) / time.Since(begin).Seconds(), nil
}

// edgeRead is a cold edge and a client that subscribes from the start.
func edgeRead(ctx context.Context, url string, events int) (float64, error) {
	e, err := edge.New(edge.Config{NATS: stream.Config{URL: url}, HTTP: "127.0.0.1:0", Services: edge.Public(edge.Service{})}, slog.New(slog.DiscardHandler))
	if err != nil {
		return 0, err
	}
	if err := e.Start(ctx); err != nil {
		return 0, err
	}
	defer func() { _ = e.Stop(ctx) }() // Nothing is measured any more.
	nc, rd, _, err := ws.Dial(ctx, "ws://"+e.HTTPAddr().String()+"/ws/mahavishnu")
	if err != nil {
		return 0, err
	}
	defer nc.Close()
	if rd == nil {
		rd = bufio.NewReader(nc)
	}
	in := bufio.NewReaderSize(rd, 64<<10)
	begin := time.Now()
	request := []byte(`{"type":"request","event":"subscribe","data":{"channel":"workflow:w","since":"start"}}`)
	if err := ws.WriteFrame(nc, ws.MaskFrameInPlace(ws.NewTextFrame(request))); err != nil {
		return 0, err
	}
	n := 0
	caughtUp := []byte(`"caught_up"`)
	for {
		h, err := ws.ReadHeader(in)
		if err != nil {
			return 0, err
		}
		head, err := in.Peek(min(int(h.Length), 128))
		if err != nil {
			return 0, err
		}
		if bytes.Contains(head, []byte(`"seq":`)) && bytes.HasPrefix(head, []byte(`{"type":"event"`)) {
			n++
		}
		done := bytes.Contains(head, caughtUp)
		if _, err := in.Discard(int(h.Length)); err != nil {
			return 0, err
		}
		if done {
			break
		}
	}
	if n != events {
		return 0, fmt.Errorf("%d events came, not %d", n, events)
	}
	return float64(n) / time.Since(begin).Seconds(), nil
}
