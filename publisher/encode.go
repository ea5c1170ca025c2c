package publisher

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/bodhisattva/indranet/schema"
)

// Headers that go with an event, beside those of package schema. Nats-Expected-Last-
// Msg-Id is not among them and must never be: on three replicas a mismatch freezes
// the stream for good.
const (
	headerID          = "Nats-Msg-Id"
	headerExpected    = "Nats-Expected-Last-Subject-Sequence"
	headerTraceParent = "traceparent"
	headerTraceState  = "tracestate"
	headerBatchID     = "Nats-Batch-Id"
	headerBatchSeq    = "Nats-Batch-Sequence"
	headerBatchCommit = "Nats-Batch-Commit"
)

// contentType is shared by all headers, which never change it.
var contentType = []string{schema.ContentType}

// message is one event as it travels. Its header map is used again and again, since
// building one costs more than everything else here together.
type message struct {
	nats.Msg
	// receipt has everything but Epoch, Seq and Duplicate.
	receipt Receipt
	event   string
	service schema.Service
	// values are what the header's slices point to.
	id, name, expected, parent, state, batchID, batchSeq, commit [1]string
}

// init makes the header, whose values point into m: m must not be copied after it.
func (m *message) init() {
	m.Header = nats.Header{
		headerID:                 m.id[:],
		schema.HeaderEvent:       m.name[:],
		schema.HeaderContentType: contentType,
	}
}

// reset makes m ready for another event.
func (m *message) reset() {
	m.Subject, m.Reply, m.Data = "", "", nil
	m.receipt = Receipt{}
	for _, key := range []string{headerExpected, headerTraceParent, headerTraceState,
		headerBatchID, headerBatchSeq, headerBatchCommit} {
		if len(m.Header) == fixedHeaders {
			break
		}
		delete(m.Header, key)
	}
}

// fixedHeaders is how many headers every event has.
const fixedHeaders = 3

// size is what m counts in MaxPendingBytes: its payload and about what its headers are.
func (m *message) size() int { return len(m.Data) + len(m.Subject) + len(m.id[0]) + 128 }

// fill checks event and makes m the message of it.
func (m *message) fill(event schema.Event, s *PublishSettings) error {
	if event == nil {
		return invalid("there is none")
	}
	if err := s.check(); err != nil {
		return err
	}
	if err := event.Validate(); err != nil {
		return fmt.Errorf("publisher: %w", err)
	}
	channel, err := event.EventChannel()
	if err != nil {
		return fmt.Errorf("publisher: %w: %w", ErrInvalid, err)
	}
	m.event, m.service = event.EventName(), event.EventService()
	class := schema.Stored
	if event.EventTransient() {
		class = schema.Transient
	}
	switch {
	case m.service.Port() == 0:
		return invalid("%s names no service", m.event)
	case channel.IsZero() || channel.ID() == schema.AllID:
		return invalid("%s names no channel", m.event)
	case class == schema.Transient && s.ExpectedSeq != nil:
		return invalid("%s is never stored: WithExpectedSeq has no meaning", m.event)
	}
	if m.Data, err = payload(event, s.OccurredAt); err != nil {
		return err
	}
	id := s.ID
	if id == "" {
		// The standard library's random source does not fail.
		id = uuid.Must(uuid.NewV7()).String()
	}
	m.Subject = schema.Subject(class, m.service, channel)
	m.receipt = Receipt{ID: id, Service: m.service, Channel: channel.String(), Subject: m.Subject}
	m.id[0], m.name[0] = id, m.event
	if s.ExpectedSeq != nil {
		m.expect(*s.ExpectedSeq)
	}
	if s.TraceParent != "" {
		m.parent[0] = s.TraceParent
		m.Header[headerTraceParent] = m.parent[:]
	}
	if s.TraceState != "" {
		m.state[0] = s.TraceState
		m.Header[headerTraceState] = m.state[:]
	}
	return nil
}

// expect makes the message conditional.
func (m *message) expect(seq uint64) {
	m.expected[0] = strconv.FormatUint(seq, 10)
	m.Header[headerExpected] = m.expected[:]
}

// encoded is an event that knows its payload already, such as *catalogue.Parsed.
type encoded interface{ Payload() []byte }

// payload is the JSON of event, with occurred_at where at says so.
func payload(event schema.Event, at time.Time) ([]byte, error) {
	var (
		data []byte
		err  error
	)
	if e, ok := event.(encoded); ok {
		data = e.Payload()
	} else if data, err = json.Marshal(event); err != nil {
		return nil, fmt.Errorf("publisher: %w: %s is not JSON: %w", ErrInvalid, event.EventName(), err)
	}
	if len(data) < 2 || data[0] != '{' {
		return nil, invalid("%s is not a JSON object", event.EventName())
	}
	if !at.IsZero() {
		if data, err = occurred(data, at); err != nil {
			return nil, err
		}
	}
	if len(data) > schema.MaxPayload {
		return nil, fmt.Errorf("publisher: %w: %s has %d bytes, at most %d are allowed",
			ErrTooLarge, event.EventName(), len(data), schema.MaxPayload)
	}
	return data, nil
}

const occurredAt = "occurred_at"

// occurred returns a copy of the object data with occurred_at as its last member.
func occurred(data []byte, at time.Time) ([]byte, error) {
	if bytes.Contains(data, []byte(occurredAt)) {
		// Likely, but it may also be a value, or deeper.
		var members map[string]json.RawMessage
		if err := json.Unmarshal(data, &members); err != nil {
			return nil, fmt.Errorf("publisher: %w: not JSON: %w", ErrInvalid, err)
		}
		if _, has := members[occurredAt]; has {
			return nil, invalid("%s stands in the payload and in WithOccurredAt", occurredAt)
		}
	}
	out := make([]byte, 0, len(data)+len(occurredAt)+len(time.RFC3339Nano)+len(`,"":""`))
	out = append(out, data[:len(data)-1]...)
	if len(bytes.TrimSpace(data[1:len(data)-1])) > 0 {
		out = append(out, ',')
	}
	out = append(out, `"`+occurredAt+`":"`...)
	out = at.UTC().AppendFormat(out, time.RFC3339Nano)
	return append(out, `"}`...), nil
}

// Prepared is an event as it would be sent.
type Prepared struct {
	// Receipt lacks what only the server knows: Epoch, Seq and Duplicate.
	Receipt Receipt
	// Event is the event's name.
	Event string
	// Payload is its JSON.
	Payload []byte
	// Transient is true for what is never stored.
	Transient bool
	// Settings are what the options said.
	Settings PublishSettings
}

// Prepare checks and encodes an event like Publish, with the same errors, and sends
// nothing: for dry runs and for tests.
func Prepare(event schema.Event, opts ...PublishOption) (Prepared, error) {
	settings := Settings(opts...)
	var m message
	m.init()
	if err := m.fill(event, &settings); err != nil {
		return Prepared{}, err
	}
	return Prepared{
		Receipt: m.receipt, Event: m.event, Payload: m.Data,
		Transient: event.EventTransient(), Settings: settings,
	}, nil
}
