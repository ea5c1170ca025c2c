package stream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
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
	info, err := s.bus.get.Info(ctx, s.stream)
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
	end, err := s.bus.get.Get(ctx, s.stream, req, func(m *directget.Message) error {
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
	from := q.From
	for range min(q.Count, leaderCount) {
		m, err := s.bus.get.Leader(ctx, s.stream, directget.LeaderRequest{NextBySubj: filter, Seq: from})
		if errors.Is(err, directget.ErrNotFound) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		each(s.message(m, q.Channel))
		from = m.Seq + 1
	}
	return true, nil
}

// tailBytes bounds the subjects of one lookup of tails, in bytes: a request must fit
// into the server's largest message.
const tailBytes = 128 << 10

// Tails looks up last positions.
func (s *Service) Tails(ctx context.Context, channels []schema.Channel, since, upTo uint64) (map[schema.Channel]uint64, uint64, error) {
	last := make(map[schema.Channel]uint64)
	names := make(map[string]schema.Channel, len(channels))
	var checked, unused uint64
	for len(channels) > 0 {
		var subjects []string
		for bytes := 0; len(channels) > 0 && bytes < tailBytes; channels = channels[1:] {
			subject := schema.Subject(schema.Stored, s.service, channels[0])
			subjects, names[subject] = append(subjects, subject), channels[0]
			bytes += len(subject) + 3
		}
		upToHere, err := s.tails(ctx, subjects, since, upTo, func(subject string, seq uint64) { last[names[subject]] = seq })
		switch {
		case err != nil:
			return nil, 0, err
		case upToHere == 0:
			unused++
		case checked == 0 || upToHere < checked:
			checked = upToHere
		}
	}
	if unused > 0 {
		// Of some channels nobody says how far it looked.
		checked = 0
	}
	return last, checked, nil
}

// tails makes one lookup. The answer carries whole messages, of which the server
// sends only so many bytes: what is missing is asked for behind the last one that
// came, since answers are in order. Any replica may give each part, so what has been
// checked is the least of what they say.
func (s *Service) tails(ctx context.Context, subjects []string, since, upTo uint64, each func(string, uint64)) (checked uint64, err error) {
	req := directget.Request{MultiLast: subjects, UpToSeq: upTo}
	for after := since; ; {
		if after > 0 {
			req.Seq = after + 1
		}
		end, err := s.bus.get.Get(ctx, s.stream, req, func(m *directget.Message) error {
			after = m.Seq
			each(m.Subject, m.Seq)
			return nil
		})
		switch {
		case err != nil:
			return 0, err
		case end.None:
			// None of the subjects is stored; behind a first part that means that
			// another replica answers, which does not hold them yet.
			return 0, nil
		case checked == 0 || end.UpToSeq < checked:
			checked = end.UpToSeq
		}
		if end.NumPending == 0 {
			return checked, nil
		}
	}
}

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
		} else if !s.position(&event, m.Header) {
			s.bus.Stats.Forged.Add(1)
			return
		}
		deliver(event)
	})
}

// position reads what the server says of a republished message.
func (s *Service) position(event *feed.Message, h nats.Header) bool {
	seq, err := strconv.ParseUint(directget.Last(h, "Nats-Sequence"), 10, 64)
	if err != nil || seq == 0 || directget.Last(h, "Nats-Stream") != s.stream {
		return false
	}
	prev, err := strconv.ParseUint(directget.Last(h, "Nats-Last-Sequence"), 10, 64)
	if err != nil {
		return false
	}
	stored, err := time.Parse(time.RFC3339Nano, directget.Last(h, "Nats-Time-Stamp"))
	if err != nil {
		return false
	}
	event.Seq, event.Prev, event.Time = seq, prev, stored
	return true
}

// Flush returns when the server has all subscriptions.
func (s *Service) Flush(ctx context.Context) error { return s.bus.flush(ctx) }
