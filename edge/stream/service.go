package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/bodhisattva/indranet/edge/feed"
	"github.com/bodhisattva/indranet/publisher"
	"github.com/bodhisattva/indranet/publisher/directget"
	"github.com/bodhisattva/indranet/schema"
)

// Service is one service's log and live path. All methods are safe for concurrent
// use.
type Service struct {
	// Static after construction.
	bus     *Bus
	service schema.Service
	stream  string
	// suspect is called when live messages may have been lost.
	suspect func()
}

var (
	_ feed.Log  = (*Service)(nil)
	_ feed.Live = (*Service)(nil)
)

// Service returns the log and the live path of a service. Call OnSuspect once.
func (b *Bus) Service(service schema.Service) *Service {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.services[service]
	if s == nil {
		s = &Service{bus: b, service: service, stream: service.Stream()}
		b.services[service] = s
	}
	return s
}

// OnSuspect sets what is called when live messages may have been lost; it must
// not block.
func (s *Service) OnSuspect(call func()) {
	s.bus.mu.Lock()
	defer s.bus.mu.Unlock()
	s.suspect = call
}

// State asks the stream's leader.
func (s *Service) State(ctx context.Context) (feed.State, error) {
	info, err := s.bus.urgent.Info(ctx, s.stream)
	if err != nil {
		return feed.State{}, err
	}
	epoch := info.Metadata[publisher.EpochKey]
	if epoch == "" {
		return feed.State{}, fmt.Errorf("stream: %s has no epoch: run indranet streams apply", s.stream)
	}
	return feed.State{Epoch: epoch, First: max(info.FirstSeq, 1), Last: info.LastSeq}, nil
}

// leaderCount bounds a read from the leader, which gives one message an answer.
const leaderCount = 64

// Read reads forward.
func (s *Service) Read(ctx context.Context, q feed.Query, each func(feed.Message)) (bool, error) {
	filter := schema.ServiceSubject(schema.Stored, s.service)
	if !q.Channel.IsZero() {
		filter = schema.Subject(schema.Stored, s.service, q.Channel)
	}
	if q.Leader {
		return s.readLeader(ctx, q, filter, each)
	}
	req := directget.Request{Seq: q.From, StartTime: q.Time, NextBySubj: filter, Batch: q.Count, MaxBytes: q.Bytes}
	if !q.Time.IsZero() {
		req.Seq = 0
	}
	n := 0
	get := s.bus.get
	if q.Urgent {
		get = s.bus.urgent
	}
	end, err := get.Get(ctx, s.stream, req, func(m *directget.Message) error {
		if m.Time.Before(q.Time) {
			return errTooOld
		}
		n++
		each(s.message(m, q.Channel))
		return nil
	})
	switch {
	case errors.Is(err, errTooOld):
		return false, nil
	case errors.Is(err, directget.ErrIncomplete) && n > 0:
		return true, nil // What came is right; the caller goes on behind it.
	}
	return end.NumPending > 0, err
}

// errTooOld ends a read by time that the server began at its first message, as it
// does for a time after its last.
var errTooOld = errors.New("stream: older than asked for")

func (s *Service) readLeader(ctx context.Context, q feed.Query, filter string, each func(feed.Message)) (bool, error) {
	req := directget.LeaderRequest{NextBySubj: filter, Seq: q.From, StartTime: q.Time}
	if !q.Time.IsZero() {
		req.Seq = 0
	}
	for range min(q.Count, leaderCount) {
		m, err := s.bus.urgent.Leader(ctx, s.stream, req)
		if errors.Is(err, directget.ErrNotFound) || err == nil && m.Time.Before(q.Time) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		each(s.message(m, q.Channel))
		req.Seq, req.StartTime = m.Seq+1, time.Time{}
	}
	return true, nil
}

// Tails looks up last positions. The answer carries whole messages, of which the
// server sends only so many bytes: what is missing is asked for again. Any replica may
// give each part, so what has been checked is the least of what they say. A replica
// says nothing where it holds none of the channels: then another subject is asked for
// as well, which it does hold. Where a bound is asked for, a replica repeats it
// without having looked whether it holds as much.
func (s *Service) Tails(ctx context.Context, channels []schema.Channel, since, upTo uint64) (map[schema.Channel]uint64, uint64, error) {
	names := make(map[string]schema.Channel, len(channels))
	req := directget.Request{UpToSeq: upTo}
	if since > 0 {
		req.Seq = since + 1
	}
	for _, channel := range channels {
		subject := schema.Subject(schema.Stored, s.service, channel)
		req.MultiLast, names[subject] = append(req.MultiLast, subject), channel
	}
	last := make(map[schema.Channel]uint64)
	checked, witness := ^uint64(0), ""
	for {
		end, err := s.bus.urgent.Get(ctx, s.stream, req, func(m *directget.Message) error {
			if channel, ok := names[m.Subject]; ok {
				last[channel] = m.Seq
			}
			return nil
		})
		switch {
		case err != nil:
			return nil, 0, err
		case end.None && upTo > 0:
			return last, 0, nil
		case end.None && (witness != "" || len(last) > 0):
			return nil, 0, errLagging
		case end.None:
			if witness, err = s.witness(ctx); err != nil || witness == "" {
				return last, 0, err
			}
			req.MultiLast = append(req.MultiLast, witness)
			continue
		}
		if upTo > 0 {
			checked = 0
		} else {
			checked = min(checked, end.UpToSeq)
		}
		if end.NumPending == 0 {
			return last, checked, nil
		}
		req.MultiLast = slices.DeleteFunc(req.MultiLast, func(subject string) bool {
			_, answered := last[names[subject]]
			return answered
		})
	}
}

// witness is the subject of the oldest message that a replica holds; empty where it
// holds none.
func (s *Service) witness(ctx context.Context) (subject string, err error) {
	req := directget.Request{Seq: 1, NextBySubj: schema.ServiceSubject(schema.Stored, s.service)}
	_, err = s.bus.urgent.Get(ctx, s.stream, req, func(m *directget.Message) error {
		subject = m.Subject
		return nil
	})
	return subject, err
}

// errLagging says that a part of an answer came from a replica that does not hold
// what another one showed.
var errLagging = errors.New("stream: the replica that answered lags")

// message turns what the log holds into an event. channel is known where a single
// one was asked for.
func (s *Service) message(m *directget.Message, channel schema.Channel) feed.Message {
	if channel.IsZero() {
		channel = channelOf(m.Subject)
	}
	return feed.Message{
		Channel: channel, Seq: m.Seq, Time: m.Time, Data: m.Data,
		Event: directget.Last(m.Header, schema.HeaderEvent), ID: eventID(m.Header),
	}
}

// channelOf is the channel of a subject; the zero Channel where somebody wrote a
// subject that no channel has.
func channelOf(subject string) schema.Channel {
	_, _, channel, err := schema.ParseSubject(subject)
	if err != nil {
		return schema.Channel{}
	}
	return channel
}

func eventID(h nats.Header) string {
	if id := directget.Last(h, nats.MsgIdHdr); schema.ValidEventID(id) {
		return id
	}
	return ""
}

// Watch subscribes.
func (s *Service) Watch(channel schema.Channel, transient bool, deliver func(feed.Message)) (feed.Watch, error) {
	class := schema.Live
	if transient {
		class = schema.Transient
	}
	subject := schema.ServiceSubject(class, s.service)
	if !channel.IsZero() {
		subject = schema.Subject(class, s.service, channel)
	}
	return s.bus.watch(subject, func(m *nats.Msg) {
		event := feed.Message{
			Channel: channel, Data: m.Data,
			Event: directget.Last(m.Header, schema.HeaderEvent), ID: eventID(m.Header),
		}
		if channel.IsZero() {
			event.Channel = channelOf(m.Subject)
		}
		if transient {
			event.Time = time.Now()
		}
		if transient && !fresh(m.Header) || !transient && !s.position(&event, m) {
			s.bus.Stats.Forged.Add(1)
			return
		}
		deliver(event)
	})
}

// fresh reports whether a transient message comes from a publisher. JetStream sends its
// answers to whatever subject it is told: they name a stream, or no event.
func fresh(h nats.Header) bool {
	return directget.Last(h, "Nats-Stream") == "" && directget.Last(h, schema.HeaderEvent) != ""
}

// position reads what the server says of a republished message. What was stored on
// another subject is no copy but an answer, see fresh.
func (s *Service) position(event *feed.Message, m *nats.Msg) bool {
	h := m.Header
	stored, known := strings.CutPrefix(directget.Last(h, "Nats-Subject"), string(schema.Stored))
	copied, live := strings.CutPrefix(m.Subject, string(schema.Live))
	if !known || !live || stored != copied {
		return false
	}
	seq, err := strconv.ParseUint(directget.Last(h, "Nats-Sequence"), 10, 64)
	if err != nil || seq == 0 || directget.Last(h, "Nats-Stream") != s.stream {
		return false
	}
	prev, err := strconv.ParseUint(directget.Last(h, "Nats-Last-Sequence"), 10, 64)
	if err != nil {
		return false
	}
	at, err := time.Parse(time.RFC3339Nano, directget.Last(h, "Nats-Time-Stamp"))
	if err != nil {
		return false
	}
	event.Seq, event.Prev, event.Time = seq, prev, at
	return true
}

// Flush returns when the server has all subscriptions.
func (s *Service) Flush(ctx context.Context) error { return s.bus.flush(ctx) }
