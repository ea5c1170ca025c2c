package publisher

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/mahavishnu"
)

func TestAnswersMeanWhatTheServerMeans(t *testing.T) {
	failure := func(code, errCode int, text string) string {
		return fmt.Sprintf(`{"error":{"code":%d,"err_code":%d,"description":%q},"stream":"IND_X","seq":0}`, code, errCode, text)
	}
	for _, test := range []struct {
		data string
		want answer
	}{
		{`{"stream":"IND_X","seq":22}`, answer{verdict: stored, seq: 22}},
		{`{"stream":"IND_X","seq":22,"duplicate": true}`, answer{verdict: stored, seq: 22, duplicate: true}},
		{`{"stream":"IND_X","domain":"hub","seq":7}`, answer{verdict: stored, seq: 7}},
		{`{"stream":"IND_X","seq":5,"batch":"b","count":3}`, answer{verdict: stored, seq: 5, batch: "b", count: 3}},
		{`{"stream":"IND_Y","seq":22}`, answer{verdict: unclear}},
		{`{"stream":"IND_XY","seq":22}`, answer{verdict: unclear}},
		{`{"stream":"IND_X","seq":0}`, answer{verdict: unclear}},
		{`{"stream":"IND_X","seq":022}`, answer{verdict: unclear}},
		{`{"stream":"IND_X","seq":`, answer{verdict: unclear}},
		{``, answer{verdict: unclear}},
		{`no JSON`, answer{verdict: unclear}},
		{failure(400, 10071, "wrong last sequence: 41"), answer{verdict: mismatch, actual: 41}},
		{failure(400, 10164, "wrong last sequence"), answer{verdict: refused}},
		{failure(409, 10158, "duplicate message id is in process"), answer{verdict: refused}},
		{failure(429, 10167, "too many requests"), answer{verdict: refused}},
		{failure(400, 10176, "atomic publish batch is incomplete"), answer{verdict: refused}},
		{failure(400, 10201, "atomic publish batch contains duplicate message id"), answer{verdict: repeated}},
		{failure(503, 10077, "no space left"), answer{verdict: unclear}},
		{failure(400, 10054, "message size exceeds maximum allowed"), answer{verdict: fatal, kind: ErrTooLarge}},
		{failure(400, 10109, "invalid operation on sealed stream"), answer{verdict: fatal, kind: ErrUnavailable}},
	} {
		got := readAnswer(&nats.Msg{Data: []byte(test.data)}, "IND_X")
		if got.verdict != test.want.verdict || got.seq != test.want.seq || got.duplicate != test.want.duplicate ||
			got.batch != test.want.batch || got.count != test.want.count ||
			got.verdict == mismatch && got.actual != test.want.actual ||
			got.verdict == fatal && !errors.Is(got.kind, test.want.kind) ||
			(got.verdict == stored) != (got.cause == nil) {
			t.Errorf("%s: got %+v", test.data, got)
		}
	}
	nobody := &nats.Msg{Header: nats.Header{"Status": {"503"}}}
	if got := readAnswer(nobody, "IND_X"); got.verdict != refused || !errors.Is(got.cause, nats.ErrNoResponders) {
		t.Errorf("no responders: %+v", got)
	}
}

// FuzzQuickAck wants the quick way to agree with encoding/json or to leave it to it.
func FuzzQuickAck(f *testing.F) {
	f.Add([]byte(`{"stream":"IND_X","seq":22}`))
	f.Add([]byte(`{"stream":"IND_X","seq":18446744073709551615,"duplicate": true}`))
	f.Add([]byte(`{"stream":"IND_X","seq":22}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		seq, duplicate, ok := quickAck(data, "IND_X")
		if !ok {
			return
		}
		var ack pubAck
		if err := json.Unmarshal(data, &ack); err != nil {
			t.Fatalf("%q is not JSON: %v", data, err)
		}
		if ack.Stream != "IND_X" || ack.Seq != seq || ack.Duplicate != duplicate || ack.Error != nil {
			t.Errorf("%q: quick %d %t, JSON %+v", data, seq, duplicate, ack)
		}
	})
}

func TestOccurredAtIsTheLastMember(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for data, want := range map[string]string{
		`{}`:                        `{"occurred_at":"2026-01-02T03:04:05Z"}`,
		`{ }`:                       `{ "occurred_at":"2026-01-02T03:04:05Z"}`,
		`{"a":1}`:                   `{"a":1,"occurred_at":"2026-01-02T03:04:05Z"}`,
		`{"a":"occurred_at"}`:       `{"a":"occurred_at","occurred_at":"2026-01-02T03:04:05Z"}`,
		`{"a":{"occurred_at":"x"}}`: `{"a":{"occurred_at":"x"},"occurred_at":"2026-01-02T03:04:05Z"}`,
		`{"occurred_at":"x"}`:       "",
	} {
		got, err := occurred([]byte(data), at)
		if string(got) != want || (err != nil) != (want == "") {
			t.Errorf("%s: got %s, %v", data, got, err)
		}
	}
}

func TestMergedReloadSaysWhatAllSaid(t *testing.T) {
	for _, test := range []struct{ a, b, want string }{
		{
			`{"file_path":"a","affected_components":["x","y"]}`, `{"file_path":"b","affected_components":["y","z"]}`,
			`{"affected_components":["x","y","z"],"file_path":"b"}`,
		},
		{
			`{"file_path":"a","affected_components":[],"by":"vim"}`, `{"file_path":"a","affected_components":[],"n":1}`,
			`{"affected_components":[],"by":"vim","file_path":"a","n":1}`,
		},
	} {
		got, err := mergeReload([]byte(test.a), []byte(test.b))
		if err != nil || string(got) != test.want {
			t.Errorf("got %s, %v, want %s", got, err, test.want)
		}
	}
	if _, err := mergeReload([]byte(`{}`), []byte(`{"affected_components":1}`)); !errors.Is(err, ErrInvalid) {
		t.Errorf("got %v", err)
	}
}

func TestBackoffGrowsAndStaysBounded(t *testing.T) {
	for try := range 100 {
		most := backoffMost
		if try < 6 {
			most = min(most, backoffFirst<<try)
		}
		if d := backoff(try); d < most/2 || d > most {
			t.Errorf("try %d: %s is not within %s and %s", try, d, most/2, most)
		}
	}
}

func TestElapsedTakesTheLongerClock(t *testing.T) {
	now := time.Now()
	// A clock without a monotonic reading, as a machine that slept shows it.
	slept := now.Add(-time.Hour).Round(0)
	if d := elapsed(slept, now); d < time.Hour {
		t.Errorf("elapsed %s", d)
	}
	if d := elapsed(now, now.Add(time.Second)); d != time.Second {
		t.Errorf("elapsed %s", d)
	}
}

func TestErrorsNameTheEventAndNoPayload(t *testing.T) {
	var m message
	m.init()
	settings := Settings(WithID("id-1"))
	if err := m.fill(mahavishnu.WorkflowFailed{WorkflowID: "42", Error: "secret"}, &settings); err != nil {
		t.Fatal(err)
	}
	err := m.fail(ErrUnknownOutcome, errNoAnswer)
	err.Attempts = 3
	text := err.Error()
	for _, want := range []string{"unknown", "workflow.failed", "workflow:42", "mahavishnu", "3 attempts", "no answer in time"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in %q", want, text)
		}
	}
	if strings.Contains(text, "secret") || !errors.Is(err, errNoAnswer) || errors.Is(m.fail(ErrClosed, nil), ErrUnavailable) {
		t.Errorf("got %q", text)
	}
}

func TestPrepareAgreesWithTheSchema(t *testing.T) {
	p, err := Prepare(mahavishnu.WorkflowFailed{WorkflowID: "a.b", Error: "e"}, WithID("i"), WithExpectedSeq(3))
	if err != nil || p.Receipt.Subject != "ev.mahavishnu.workflow.a%2Eb" || p.Receipt.Channel != "workflow:a.b" ||
		p.Event != "workflow.failed" || p.Transient || *p.Settings.ExpectedSeq != 3 ||
		string(p.Payload) != `{"workflow_id":"a.b","error":"e"}` {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := Prepare(bad{}); !errors.Is(err, ErrInvalid) || !errors.Is(err, schema.ErrChannel) {
		t.Errorf("bad channel: %v", err)
	}
	if _, err := Prepare(bad{channel: "workflow:*"}); !errors.Is(err, ErrInvalid) {
		t.Errorf("the view of a kind: %v", err)
	}
	if _, err := Prepare(bad{channel: "x", service: "nobody"}); !errors.Is(err, ErrInvalid) {
		t.Errorf("no service: %v", err)
	}
	if _, err := Prepare(bad{channel: "x", service: schema.Dhruva}); !errors.Is(err, ErrInvalid) {
		t.Errorf("not an object: %v", err)
	}
}

// bad is an event that others could hand in.
type bad struct {
	channel string
	service schema.Service
}

func (bad) EventName() string              { return "bad" }
func (b bad) EventService() schema.Service { return b.service }
func (b bad) EventChannel() (schema.Channel, error) {
	return schema.ParseChannel(b.channel)
}
func (bad) EventTransient() bool         { return false }
func (bad) Validate() error              { return nil }
func (bad) MarshalJSON() ([]byte, error) { return []byte(`[]`), nil }

// TestTableKeepsLanesInOrder drives the table alone: whoever leaves, from whichever
// place, the rest of the channel stays in its order.
func TestTableKeepsLanesInOrder(t *testing.T) {
	for leaver := range 4 {
		var table table
		var pool pool
		table.init()
		var events []*pending
		for i := range 4 {
			e := pool.get()
			e.Subject = "s"
			if first := table.add(e); first != (i == 0) {
				t.Fatalf("event %d is first: %t", i, first)
			}
			events = append(events, e)
		}
		next := table.exit(events[leaver])
		if leaver == 0 && next != events[1] || leaver > 0 && next != nil {
			t.Errorf("%d left: next is %v", leaver, next)
		}
		rest := slices.Delete(slices.Clone(events), leaver, leaver+1)
		tail := pool.get()
		tail.Subject = "s"
		table.add(tail)
		for i, e := range append(rest, tail) {
			if head := table.lanes["s"].head; head != e {
				t.Errorf("%d left: place %d is wrong", leaver, i)
			}
			table.exit(e)
		}
		if len(table.lanes) != 0 {
			t.Errorf("%d left: a lane stays", leaver)
		}
	}
}
