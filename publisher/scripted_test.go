package publisher_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/bodhisattva/indranet/publisher"
	"github.com/bodhisattva/indranet/publisher/natstest"
)

// script stands in for JetStream where a real one cannot be brought to answer so: a
// leader that was replaced, a disk that fails, a log that was trimmed in between.
type script struct {
	// publish answers the n-th attempt, counted from 0; "" does not answer.
	publish func(n int) string
	// read answers a request for one message; nil finds none.
	read func(seq uint64, last, next string) (foundSeq uint64, id string)
	// firstSeq and firstTime are the stream's.
	firstSeq  uint64
	firstTime time.Time
}

func (s script) start(t *testing.T) *publisher.Publisher {
	t.Helper()
	srv := natstest.Start(t, natstest.Configure(func(o *server.Options) { o.JetStream = false }))
	nc := srv.Connect(t)
	answer := func(subject string, f func(m *nats.Msg) string) {
		_, err := nc.Subscribe(subject, func(m *nats.Msg) {
			if text := f(m); text != "" {
				_ = m.Respond([]byte(text))
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	answer("$JS.API.STREAM.INFO."+stream, func(*nats.Msg) string {
		first := s.firstTime
		if first.IsZero() {
			first = time.Now().Add(-time.Hour)
		}
		return fmt.Sprintf(`{"config":{"duplicate_window":600000000000,"metadata":{"indranet_epoch":"e"}},`+
			`"state":{"first_seq":%d,"last_seq":10,"first_ts":%q}}`, max(s.firstSeq, 1), first.Format(time.RFC3339Nano))
	})
	answer("$JS.API.STREAM.MSG.GET."+stream, func(m *nats.Msg) string {
		var req struct {
			Seq  uint64 `json:"seq"`
			Last string `json:"last_by_subj"`
			Next string `json:"next_by_subj"`
		}
		if err := json.Unmarshal(m.Data, &req); err != nil {
			t.Error(err)
		}
		if s.read != nil {
			if seq, id := s.read(req.Seq, req.Last, req.Next); seq > 0 {
				hdr, _ := json.Marshal([]byte("NATS/1.0\r\nNats-Msg-Id: " + id + "\r\nInd-Event: workflow.started\r\n\r\n"))
				return fmt.Sprintf(`{"message":{"subject":"ev.mahavishnu.workflow.a","seq":%d,"hdrs":%s,"time":"2026-01-01T00:00:00Z"}}`, seq, hdr)
			}
		}
		return `{"error":{"code":404,"err_code":10037,"description":"no message found"}}`
	})
	var count atomic.Int64
	answer("ev.>", func(*nats.Msg) string { return s.publish(int(count.Add(1)) - 1) })
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return newPublisher(t, srv.Connect(t), quick, publisher.WithTimeout(time.Second))
}

// each answers the n-th publish with the n-th text, and then always with the last.
func each(texts ...string) func(int) string {
	return func(n int) string { return texts[min(n, len(texts)-1)] }
}

func refusal(code, errCode int, text string) string {
	return fmt.Sprintf(`{"error":{"code":%d,"err_code":%d,"description":%q},"stream":"IND_MAHAVISHNU","seq":0}`, code, errCode, text)
}

const (
	ok       = `{"stream":"IND_MAHAVISHNU","seq":11}`
	repeated = `{"stream":"IND_MAHAVISHNU","seq":7,"duplicate": true}`
)

var wrongLast = refusal(400, 10071, "wrong last sequence: 5")

func TestEveryAnswerHasItsConsequence(t *testing.T) {
	id := publisher.WithID("mine")
	nothing := func(uint64, string, string) (uint64, string) { return 0, "" }
	other := func(uint64, string, string) (uint64, string) { return 8, "another" }
	for _, test := range []struct {
		name   string
		script script
		opts   []publisher.PublishOption
		seq    uint64
		want   error
		actual uint64
	}{
		{"no answer, then one", script{publish: each("", ok)}, nil, 11, nil, 0},
		{"garbage, then an answer", script{publish: each("?", `{"stream":"OTHER","seq":3}`, ok)}, nil, 11, nil, 0},
		{"too many requests", script{publish: each(refusal(429, 10167, "too many requests"), ok)}, nil, 11, nil, 0},
		{"in process", script{publish: each(refusal(409, 10158, "duplicate message id is in process"), repeated)}, nil, 7, nil, 0},
		{"a full disk, always", script{publish: each(refusal(503, 10077, "no space left"))}, nil, 0, publisher.ErrUnknownOutcome, 0},
		{"no resources, always", script{publish: each(refusal(503, 10023, "insufficient resources"))}, nil, 0, publisher.ErrUnavailable, 0},
		{"sealed", script{publish: each(refusal(400, 10109, "invalid operation on sealed stream"))}, nil, 0, publisher.ErrUnavailable, 0},
		{"sealed after no answer", script{publish: each("", refusal(400, 10109, "sealed"))}, nil, 0, publisher.ErrUnknownOutcome, 0},
		{"too large for the stream", script{publish: each(refusal(400, 10054, "message size exceeds maximum allowed"))}, nil, 0, publisher.ErrTooLarge, 0},
		{
			"a duplicate that was trimmed since", script{publish: each(repeated), read: nothing},
			[]publisher.PublishOption{id}, 7, nil, 0,
		},
		{
			"a duplicate that is another event", script{publish: each(repeated), read: other},
			[]publisher.PublishOption{id}, 0, publisher.ErrIDTaken, 0,
		},
		{
			"a leader that was replaced says no", script{
				publish: each(wrongLast, ok),
				read: func(_ uint64, last, _ string) (uint64, string) {
					if last != "" {
						return 9, "the expected one"
					}
					return 0, ""
				},
			},
			[]publisher.PublishOption{id, publisher.WithExpectedSeq(9)}, 11, nil, 0,
		},
		{
			"more was expected than there is", script{
				publish: each(wrongLast),
				read: func(_ uint64, last, _ string) (uint64, string) {
					if last != "" {
						return 5, "an older one"
					}
					return 0, ""
				},
			},
			[]publisher.PublishOption{id, publisher.WithExpectedSeq(9)}, 0, publisher.ErrConflict, 5,
		},
		{
			"something was expected where nothing is", script{publish: each(refusal(400, 10071, "wrong last sequence: 0")), read: nothing},
			[]publisher.PublishOption{id, publisher.WithExpectedSeq(9)}, 0, publisher.ErrConflict, 0,
		},
		{
			"somebody else was first", script{publish: each(wrongLast), read: other},
			[]publisher.PublishOption{id, publisher.WithExpectedSeq(4)}, 0, publisher.ErrConflict, 8,
		},
		{
			"the log was trimmed since", script{publish: each("", wrongLast), read: other, firstSeq: 100, firstTime: time.Now()},
			[]publisher.PublishOption{publisher.WithExpectedSeq(4)}, 0, publisher.ErrUnknownOutcome, 0,
		},
		{
			"the log was trimmed long ago", script{publish: each("", wrongLast), read: other, firstSeq: 100},
			[]publisher.PublishOption{publisher.WithExpectedSeq(4)}, 0, publisher.ErrConflict, 8,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, err := test.script.start(t).Publish(t.Context(), workflow("a"), test.opts...)
			if r.Seq != test.seq || !errors.Is(err, test.want) {
				t.Fatalf("%+v, %v; want %d, %v", r, err, test.seq, test.want)
			}
			if r.ID == "" || r.Channel != "workflow:a" {
				t.Errorf("the receipt does not name the event: %+v", r)
			}
			var conflict *publisher.ConflictError
			if errors.As(err, &conflict) && (conflict.Actual != test.actual || !strings.Contains(err.Error(), "workflow:a")) {
				t.Errorf("%v; want actual %d", err, test.actual)
			}
			if test.want != nil {
				for _, kind := range []error{publisher.ErrUnavailable, publisher.ErrUnknownOutcome, publisher.ErrConflict, publisher.ErrTooLarge} {
					if errors.Is(err, kind) && !errors.Is(test.want, kind) {
						t.Errorf("%v is %v too", err, kind)
					}
				}
			}
		})
	}
}
