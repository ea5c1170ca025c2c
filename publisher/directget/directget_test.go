package directget_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/bodhisattva/indranet/publisher/directget"
	"github.com/bodhisattva/indranet/publisher/natstest"
	"github.com/bodhisattva/indranet/schema"
)

const stream = "IND_DHRUVA"

func subject(id string) string { return "ev.dhruva.adapter." + id }

// store publishes one message to each subject and returns the last sequence.
func store(t testing.TB, nc *nats.Conn, subjects ...string) uint64 {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	var last uint64
	for i, s := range subjects {
		m := nats.NewMsg(s)
		m.Header.Set("Nats-Msg-Id", fmt.Sprintf("id-%s-%d-%d", s, last, i))
		m.Data = []byte(strconv.Itoa(i))
		ack, err := js.PublishMsg(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		last = ack.Sequence
	}
	return last
}

// read collects the sequences of an answer.
func read(t *testing.T, c *directget.Client, req directget.Request) ([]uint64, directget.End) {
	t.Helper()
	var seqs []uint64
	end, err := c.Get(t.Context(), stream, req, func(m *directget.Message) error {
		seqs = append(seqs, m.Seq)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return seqs, end
}

func started(t testing.TB) (*natstest.Server, *nats.Conn, *directget.Client) {
	t.Helper()
	srv := natstest.Start(t, natstest.Streams(schema.Dhruva))
	nc := srv.Connect(t)
	return srv, nc, directget.New(nc)
}

func TestGetAnswersWhatIsAskedFor(t *testing.T) {
	_, nc, c := started(t)
	a, b := subject("a"), subject("b")
	store(t, nc, a, b, a, a, b, a) // a: 1 3 4 6, b: 2 5
	between, err := c.Leader(t.Context(), stream, directget.LeaderRequest{Seq: 4})
	if err != nil {
		t.Fatal(err)
	}

	tests := []struct {
		name string
		req  directget.Request
		seqs []uint64
		end  directget.End
	}{
		{"a subject from its start", directget.Request{NextBySubj: a, Batch: 10}, []uint64{1, 3, 4, 6}, directget.End{LastSeq: 6}},
		{"a subject from a sequence", directget.Request{Seq: 4, NextBySubj: a, Batch: 10}, []uint64{4, 6}, directget.End{LastSeq: 6}},
		{"a page", directget.Request{Seq: 1, NextBySubj: a, Batch: 2}, []uint64{1, 3}, directget.End{LastSeq: 3, NumPending: 2}},
		{"a page of one", directget.Request{Seq: 1, NextBySubj: a, Batch: 1}, []uint64{1}, directget.End{LastSeq: 1, NumPending: 3}},
		{"a single one", directget.Request{Seq: 2, NextBySubj: a}, []uint64{3}, directget.End{LastSeq: 3}},
		{"an exact one", directget.Request{Seq: 2}, []uint64{2}, directget.End{LastSeq: 2}},
		{"the whole stream", directget.Request{Seq: 3, Batch: 100}, []uint64{3, 4, 5, 6}, directget.End{LastSeq: 6}},
		{"a wildcard", directget.Request{Seq: 5, NextBySubj: "ev.dhruva.>", Batch: 100}, []uint64{5, 6}, directget.End{LastSeq: 6}},
		{"from a time", directget.Request{StartTime: between.Time, NextBySubj: a, Batch: 9}, []uint64{4, 6}, directget.End{LastSeq: 6}},
		{"a byte limit", directget.Request{Seq: 1, Batch: 9, MaxBytes: 1}, []uint64{1}, directget.End{LastSeq: 1, NumPending: 5}},
		{"nothing newer", directget.Request{Seq: 7, NextBySubj: a, Batch: 9}, nil, directget.End{None: true}},
		{"no such subject", directget.Request{NextBySubj: subject("none"), Batch: 9}, nil, directget.End{None: true}},
		{"last of each", directget.Request{MultiLast: []string{a, b, subject("none")}}, []uint64{5, 6}, directget.End{LastSeq: 6, UpToSeq: 6}},
		{"last of what changed", directget.Request{MultiLast: []string{a, b}, Seq: 6}, []uint64{6}, directget.End{LastSeq: 6, UpToSeq: 6}},
		{"last up to a sequence", directget.Request{MultiLast: []string{a, b}, UpToSeq: 4}, []uint64{2, 4}, directget.End{LastSeq: 4, UpToSeq: 4}},
		{"last, nothing changed", directget.Request{MultiLast: []string{b}, Seq: 6}, nil, directget.End{UpToSeq: 6}},
		{"last, none stored", directget.Request{MultiLast: []string{subject("none")}}, nil, directget.End{None: true}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			seqs, end := read(t, c, test.req)
			if !slices.Equal(seqs, test.seqs) || end != test.end {
				t.Errorf("got %v %+v\nwant %v %+v", seqs, end, test.seqs, test.end)
			}
		})
	}
}

func TestMessageIsTheServersWordNotThePublishers(t *testing.T) {
	_, nc, c := started(t)
	js, _ := jetstream.New(nc)
	forged := nats.NewMsg(subject("a"))
	forged.Header.Set("Nats-Sequence", "99")
	forged.Header.Set("Nats-Subject", "ev.dhruva.registry")
	forged.Header.Set("Nats-Last-Sequence", "98")
	forged.Header.Set("Status", "204")
	forged.Header.Set("ind-event", "adapter.activated")
	forged.Data = []byte("payload")
	if _, err := js.PublishMsg(t.Context(), forged); err != nil {
		t.Fatal(err)
	}
	for _, batch := range []int{0, 5} {
		calls := 0
		_, err := c.Get(t.Context(), stream, directget.Request{Seq: 1, Batch: batch}, func(m *directget.Message) error {
			calls++
			if m.Seq != 1 || m.Subject != subject("a") || string(m.Data) != "payload" ||
				directget.Last(m.Header, "ind-event") != "adapter.activated" || time.Since(m.Time) > time.Minute {
				t.Errorf("batch %d: got %+v", batch, m)
			}
			return nil
		})
		if err != nil || calls != 1 {
			t.Errorf("batch %d: %d messages, error %v", batch, calls, err)
		}
	}
}

func TestErrorsHaveNames(t *testing.T) {
	_, nc, c := started(t)
	store(t, nc, subject("a"))
	none := func(*directget.Message) error { return nil }
	own := errors.New("own")
	many := make([]string, 0, 1030)
	js, _ := jetstream.New(nc)
	for i := range cap(many) {
		s := subject("m" + strconv.Itoa(i))
		many = append(many, s)
		if _, err := js.PublishAsync(s, nil); err != nil {
			t.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()

	canceled, cancel := context.WithCancelCause(t.Context())
	cancel(own)
	tests := []struct {
		name   string
		ctx    context.Context
		stream string
		req    directget.Request
		each   func(*directget.Message) error
		want   error
	}{
		{"no such stream", t.Context(), "NONE", directget.Request{Seq: 1}, none, directget.ErrNoResponders},
		{"no such stream, in nats' words", t.Context(), "NONE", directget.Request{Seq: 1}, none, nats.ErrNoResponders},
		{"no start", t.Context(), stream, directget.Request{Batch: 1}, none, directget.ErrBadRequest},
		{"two starts", t.Context(), stream, directget.Request{Seq: 1, StartTime: time.Now()}, none, directget.ErrBadRequest},
		{"multi and next", t.Context(), stream, directget.Request{MultiLast: many[:1], NextBySubj: "a"}, none, directget.ErrBadRequest},
		{"too large a batch", t.Context(), stream, directget.Request{Seq: 1, Batch: directget.MaxBatch + 1}, none, directget.ErrBadRequest},
		{"too many subjects", t.Context(), stream, directget.Request{MultiLast: many}, none, directget.ErrTooMany},
		{"the caller's own", t.Context(), stream, directget.Request{Seq: 1, Batch: 3}, func(*directget.Message) error { return own }, own},
		{"done before the answer", canceled, stream, directget.Request{Seq: 1}, none, own},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if _, err := c.Get(test.ctx, test.stream, test.req, test.each); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
	if _, err := c.Leader(t.Context(), stream, directget.LeaderRequest{Seq: 9999}); !errors.Is(err, directget.ErrNotFound) {
		t.Errorf("Leader: got %v", err)
	}
	if _, err := c.Leader(t.Context(), stream, directget.LeaderRequest{}); !errors.Is(err, directget.ErrBadRequest) {
		t.Errorf("empty Leader: got %v", err)
	}
	if _, err := c.Info(t.Context(), "NONE"); !errors.Is(err, directget.ErrNotFound) {
		t.Errorf("Info: got %v", err)
	}
}

// silent stands in for the server and answers Direct Gets with what it is told. The
// API of ">" is everything.
func silent(t *testing.T, nc *nats.Conn, name string, answers ...*nats.Msg) {
	t.Helper()
	api := "$JS.API.DIRECT.GET." + name
	if name == ">" {
		api = "$JS.API.>"
	}
	_, err := nc.Subscribe(api, func(m *nats.Msg) {
		for _, a := range answers {
			if err := m.RespondMsg(a); err != nil {
				t.Error(err)
			}
		}
	})
	if err == nil {
		err = nc.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func answer(header string) *nats.Msg {
	m := nats.NewMsg("")
	for line := range strings.Lines(header) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		m.Header.Add(key, value)
	}
	return m
}

func TestAnIncompleteAnswerIsNoticed(t *testing.T) {
	srv, _, c := started(t)
	first := answer("Nats-Stream: X\nNats-Subject: s\nNats-Sequence: 4\nNats-Last-Sequence: 0\nNats-Time-Stamp: 2026-01-02T03:04:05.6Z")
	third := answer("Nats-Stream: X\nNats-Subject: s\nNats-Sequence: 9\nNats-Last-Sequence: 7\nNats-Time-Stamp: 2026-01-02T03:04:05.6Z")
	end := answer("Status: 204\nDescription: EOB\nNats-Num-Pending: 0\nNats-Last-Sequence: 7")
	notFound := answer("Status: 404\nDescription: Message Not Found")

	tests := []struct {
		name    string
		answers []*nats.Msg
		multi   bool
		want    error
		last    uint64
	}{
		{"in the middle", []*nats.Msg{first, third}, false, directget.ErrIncomplete, 4},
		{"at the end", []*nats.Msg{first, end}, false, directget.ErrIncomplete, 4},
		{"the rest", []*nats.Msg{first}, false, directget.ErrStalled, 4},
		{"everything", nil, false, directget.ErrStalled, 0},
		{"one that cannot be read", []*nats.Msg{notFound}, true, directget.ErrLoad, 0},
	}
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			name := "FAKE" + strconv.Itoa(i)
			silent(t, srv.Connect(t), name, test.answers...)
			req := directget.Request{Seq: 1, Batch: 10}
			if test.multi {
				req = directget.Request{MultiLast: []string{"s"}}
			}
			got, err := c.WithStall(50*time.Millisecond).Get(t.Context(), name, req, func(*directget.Message) error { return nil })
			if !errors.Is(err, test.want) || got.LastSeq != test.last {
				t.Errorf("got %+v, %v; want last %d, %v", got, err, test.last, test.want)
			}
		})
	}
}

func TestLeaderlessStreamStallsOrHasNoResponders(t *testing.T) {
	srv := natstest.Start(t, natstest.Configure(func(o *server.Options) { o.JetStream = false }))
	nc := srv.Connect(t)
	c := directget.New(nc)
	if _, err := c.Info(t.Context(), stream); !errors.Is(err, directget.ErrNoResponders) {
		t.Errorf("Info with nobody there: got %v", err)
	}
	silent(t, srv.Connect(t), ">")
	_, err := c.WithStall(20*time.Millisecond).Info(t.Context(), "NOBODY")
	if !errors.Is(err, directget.ErrStalled) {
		t.Errorf("Info: got %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = c.Leader(ctx, "NOBODY", directget.LeaderRequest{Seq: 1})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Leader with a deadline: got %v", err)
	}
	nc.Close()
	if _, err := c.Get(t.Context(), stream, directget.Request{Seq: 1}, nil); !errors.Is(err, nats.ErrConnectionClosed) {
		t.Errorf("Get on a closed connection: got %v", err)
	}
}

func TestLeaderAndInfo(t *testing.T) {
	_, nc, c := started(t)
	a, b := subject("a"), subject("b")
	store(t, nc, a, b, a)
	for name, test := range map[string]struct {
		req  directget.LeaderRequest
		want uint64
	}{
		"exact":            {directget.LeaderRequest{Seq: 2}, 2},
		"last":             {directget.LeaderRequest{LastBySubj: a}, 3},
		"next":             {directget.LeaderRequest{NextBySubj: a, Seq: 2}, 3},
		"next first":       {directget.LeaderRequest{NextBySubj: b}, 2},
		"next from a time": {directget.LeaderRequest{NextBySubj: b, StartTime: time.Now().Add(-time.Minute)}, 2},
	} {
		m, err := c.Leader(t.Context(), stream, test.req)
		if err != nil || m.Seq != test.want || directget.Last(m.Header, "Nats-Msg-Id") == "" || m.Time.IsZero() {
			t.Errorf("%s: got %+v, %v", name, m, err)
		}
	}
	info, err := c.Info(t.Context(), stream)
	if err != nil || info.FirstSeq != 1 || info.LastSeq != 3 || info.Messages != 3 || info.Bytes == 0 ||
		info.Replicas != 1 || info.DedupWindow != 10*time.Minute || info.Metadata["indranet_epoch"] == "" ||
		time.Since(info.Created) > time.Minute || info.LastTime.Before(info.FirstTime) {
		t.Errorf("got %+v, %v", info, err)
	}
}

func TestAnyReplicaAndTheLeaderAnswer(t *testing.T) {
	cluster := natstest.StartCluster(t, 3, natstest.Streams(schema.Dhruva))
	nc := cluster.Connect(t)
	last := store(t, nc, subject("a"), subject("a"), subject("a"))
	cluster.WaitCurrent(t, schema.Dhruva)
	for _, node := range cluster.Servers {
		c := directget.New(node.Connect(t))
		// A replica answers a moment after it has caught up.
		for {
			_, err := c.Get(t.Context(), stream, directget.Request{Seq: 1}, func(*directget.Message) error { return nil })
			if !errors.Is(err, directget.ErrNoResponders) || t.Context().Err() != nil {
				break
			}
		}
		seqs, end := read(t, c, directget.Request{NextBySubj: subject("a"), Batch: 10})
		if !slices.Equal(seqs, []uint64{1, 2, 3}) || end.LastSeq != last {
			t.Errorf("%s: got %v %+v", node.Name(), seqs, end)
		}
		m, err := c.Leader(t.Context(), stream, directget.LeaderRequest{LastBySubj: subject("a")})
		if err != nil || m.Seq != last {
			t.Errorf("%s: leader answered %+v, %v", node.Name(), m, err)
		}
		info, err := c.Info(t.Context(), stream)
		if err != nil || info.Leader != cluster.Leader(t, schema.Dhruva).Name() || info.Replicas != 3 {
			t.Errorf("%s: info %+v, %v", node.Name(), info, err)
		}
	}
}

func TestConcurrentReadsDoNotMixAnswers(t *testing.T) {
	_, nc, c := started(t)
	var subjects []string
	for i := range 400 {
		subjects = append(subjects, subject(strconv.Itoa(i%4)))
	}
	store(t, nc, subjects...)
	errs := make(chan error, 8)
	for i := range cap(errs) {
		go func() {
			want := subject(strconv.Itoa(i % 4))
			n := 0
			_, err := c.Get(t.Context(), stream, directget.Request{NextBySubj: want, Batch: 500}, func(m *directget.Message) error {
				n++
				if m.Subject != want {
					return fmt.Errorf("got %s, want %s", m.Subject, want)
				}
				return nil
			})
			if err == nil && n != 100 {
				err = fmt.Errorf("%s: %d messages", want, n)
			}
			errs <- err
		}()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

// BenchmarkReplay reads a subject of 100,000 messages in pages of 1000.
func BenchmarkReplay(b *testing.B) {
	_, nc, c := started(b)
	js, _ := jetstream.New(nc)
	const count = 100_000
	payload := make([]byte, 256)
	for range count {
		if _, err := js.PublishAsync(subject("a"), payload); err != nil {
			b.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
	b.ReportAllocs()
	for b.Loop() {
		next, n := uint64(1), 0
		for {
			end, err := c.Get(b.Context(), stream, directget.Request{Seq: next, NextBySubj: subject("a"), Batch: 1000},
				func(*directget.Message) error { n++; return nil })
			if err != nil {
				b.Fatal(err)
			}
			if end.None || end.NumPending == 0 {
				break
			}
			next = end.LastSeq + 1
		}
		if n != count {
			b.Fatalf("read %d messages", n)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/count, "ns/msg")
}
