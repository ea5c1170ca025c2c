package request

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bodhisattva/indranet/edge/auth"
	"github.com/bodhisattva/indranet/edge/feed"
	"github.com/bodhisattva/indranet/edge/wire"
	"github.com/bodhisattva/indranet/schema"
)

// handle answers one request. It runs on the session's own goroutine. It returns what that
// has cost beside what was read, see Limits.ReplayRate.
func (s *Session) handle(ctx context.Context, r wire.Request) (cost int) {
	var answer []byte
	var refusal *wire.Error
	switch r.Name {
	case wire.Subscribe:
		return channelCost * s.subscribe(ctx, r)
	case wire.Unsubscribe:
		answer, refusal = s.unsubscribe(r)
	case wire.History:
		answer, refusal = s.history(ctx, r)
		cost = channelCost
	case wire.ListChannels:
		answer = wire.Response(time.Now(), r.Name, r.Correlation, s.listChannels())
		cost = len(answer)
		if len(answer) > fewAnswers && s.server.budget.Over() {
			refusal = wire.Errorf(wire.Unavailable, "too much waits to be sent now; try again later")
		}
	case wire.GetStatus:
		answer = wire.Response(time.Now(), r.Name, r.Correlation, s.status(ctx))
	case wire.Publish:
		refusal = wire.Errorf(wire.Forbidden, "publishing from clients is not allowed here")
	case wire.Auth, wire.RefreshToken:
		s.auth(ctx, r)
		return 0
	default:
		refusal = wire.Errorf(wire.UnknownRequest, "there is no request of that name; there are %s", requestNames)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed || s.leaving: // It may have lost its right to the answer.
	case refusal != nil:
		s.refuse(r, refusal)
	default:
		s.server.Stats.Requests.Add(1)
		s.answer(answer)
	}
	return cost
}

var requestNames = strings.Join([]string{
	wire.Subscribe, wire.Unsubscribe, wire.History, wire.ListChannels, wire.GetStatus,
}, ", ")

// attachment is one channel of a subscribe request on its way.
type attachment struct {
	answer wire.Subscribed
	sub    *subscription
	tried  bool // The log was asked about it, whatever it said.
}

// subscribe attaches one or several channels. The answer comes when all of them
// are attached, and in the same step their events may flow. It returns for how many that
// was tried.
func (s *Session) subscribe(ctx context.Context, r wire.Request) (tried int) {
	list, many, refusal := wire.ParseSubscribe(r.Data)
	if refusal != nil {
		s.mu.Lock()
		s.refuse(r, refusal)
		s.mu.Unlock()
		return 0
	}
	allowed := s.admit(list)
	results := make([]attachment, len(list))
	var wg sync.WaitGroup
	for i, selection := range list {
		if !allowed[i] {
			selection.Err = wire.Errorf(wire.TooManySubscriptions, "a connection holds at most %d subscriptions", s.server.limits.MaxSubscriptions)
		}
		wg.Go(func() { results[i] = s.attach(ctx, selection) })
	}
	wg.Wait()
	now := time.Now()
	s.mu.Lock()
	var dropped []*subscription
	answers := make([]wire.Subscribed, len(results))
	for i, a := range results {
		answers[i] = a.answer
		if a.sub == nil {
			continue
		}
		// What the client may read has not changed since it was looked at: a token that
		// changes it is handled by this goroutine. But it may have to go.
		if s.closed || s.leaving {
			a.sub.closed = true
			dropped = append(dropped, a.sub)
			continue
		}
		if old := s.subs[a.sub.channel]; old != nil {
			s.end(old)
			dropped = append(dropped, old)
		}
		s.subs[a.sub.channel], a.sub.attached = a.sub, true
	}
	if !s.closed && !s.leaving {
		switch {
		case many:
			s.server.Stats.Requests.Add(1)
			for _, one := range answers {
				if one.ErrorCode != "" {
					s.server.Stats.Refused.add(one.ErrorCode)
				}
			}
			s.answer(wire.SubscribeManyResponse(now, r.Correlation, answers))
		case answers[0].ErrorCode != "":
			s.refuse(r, &wire.Error{Code: answers[0].ErrorCode, Message: answers[0].ErrorText})
		default:
			s.server.Stats.Requests.Add(1)
			s.answer(wire.SubscribeResponse(now, r.Correlation, answers[0]))
		}
	}
	s.mu.Unlock()
	for _, sub := range dropped {
		s.drop(sub)
	}
	for _, a := range results {
		if a.sub != nil {
			s.mark(a.sub)
		}
		if a.tried {
			tried++
		}
	}
	return tried
}

// admit says which entries fit within the limit of subscriptions: those that are
// held already, and as many others as there is room for.
func (s *Session) admit(list []wire.Selection) []bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	allowed := make([]bool, len(list))
	fresh := map[schema.Channel]bool{}
	for i, selection := range list {
		switch c := selection.Channel; {
		case selection.Err != nil, s.subs[c] != nil, fresh[c]:
			allowed[i] = true
		case len(s.subs)+len(fresh) < s.server.limits.MaxSubscriptions:
			allowed[i], fresh[c] = true, true
		}
	}
	return allowed
}

// attach opens the feed of one entry and finds its position. The subscription it
// returns is on its shard's list, but not visible to Fill yet.
func (s *Session) attach(ctx context.Context, selection wire.Selection) attachment {
	refuse := func(refusal *wire.Error) attachment {
		return attachment{answer: wire.Subscribed{Channel: selection.Name, ErrorCode: refusal.Code, ErrorText: refusal.Message}}
	}
	if selection.Err != nil {
		return refuse(selection.Err)
	}
	target, err := s.server.cat.Lookup(s.server.about.Service, selection.Channel)
	if err != nil {
		return refuse(wire.Errorf(wire.InvalidChannel, "%s", err))
	}
	if refusal := s.permit(auth.Read, wire.Subscribe, target); refusal != nil {
		return refuse(refusal)
	}
	failed := func(err error) attachment {
		a := refuse(s.unavailable("subscribe", err))
		a.tried = true
		return a
	}
	open := s.server.Feeds.Open
	if s.server.budget.tight.Load() {
		open = s.server.Feeds.OpenServed
	}
	f, err := open(ctx, target)
	if err != nil {
		return failed(err)
	}
	start, err := f.Begin(ctx, selection.Since)
	if err != nil {
		f.Release()
		return failed(err)
	}
	sub := &subscription{
		session: s, feed: f, channel: selection.Channel,
		cursor: f.NewCursor(start), reading: true,
	}
	s.shard.add(sub)
	s.server.Stats.Subscriptions.Add(1)
	answer := wire.Subscribed{Status: "subscribed", Channel: f.Room(), Epoch: start.Epoch}
	if target.Durable {
		recovered := start.Reason == ""
		answer.Seq, answer.Recovered, answer.Reason = &start.Pos, &recovered, start.Reason
		if selection.Since.Kind != wire.SinceSeq || !recovered {
			answer.FirstSeq = &start.First
		}
	}
	return attachment{answer, sub, true}
}

// unavailable notes why the log could not be reached and says to the client only
// that.
func (s *Session) unavailable(what string, err error) *wire.Error {
	if errors.Is(err, feed.ErrFull) {
		return wire.Errorf(wire.Unavailable, "too many channels are being served now; nothing was done, try again later")
	}
	if !errors.Is(err, context.Canceled) {
		s.server.logger.Debug("a request found the log unavailable", "connection", s.conn.ID(), "request", what, "error", err)
	}
	return wire.Errorf(wire.Unavailable, "the log cannot be reached now; nothing was done, try again")
}

func (s *Session) unsubscribe(r wire.Request) ([]byte, *wire.Error) {
	list, many, refusal := wire.ParseSubscribe(r.Data)
	if refusal != nil {
		return nil, refusal
	}
	if many {
		return nil, wire.Errorf(wire.InvalidRequest, "unsubscribe takes one channel")
	}
	s.mu.Lock()
	sub := s.subs[list[0].Channel]
	if sub != nil {
		delete(s.subs, sub.channel)
		s.end(sub)
	}
	s.mu.Unlock()
	if sub != nil {
		s.drop(sub)
	}
	return wire.UnsubscribeResponse(time.Now(), r.Correlation, list[0].Channel.String()), nil
}

func (s *Session) history(ctx context.Context, r wire.Request) ([]byte, *wire.Error) {
	h, refusal := wire.ParseHistory(r.Data)
	if refusal != nil {
		return nil, refusal
	}
	target, err := s.server.cat.Lookup(s.server.about.Service, h.Channel)
	if err != nil {
		return nil, wire.Errorf(wire.InvalidChannel, "%s", err)
	}
	if !target.Durable {
		return nil, wire.Errorf(wire.InvalidRequest, "channel: %s has no history, its events are never stored", h.Channel)
	}
	if refusal := s.permit(auth.Read, wire.History, target); refusal != nil {
		return nil, refusal
	}
	room := s.server.budget.reserve(wire.MaxMessage-wire.HistoryRoom, feed.FirstPage)
	defer s.server.budget.release(room)
	if room < wire.MaxMessage-wire.HistoryRoom {
		s.server.Stats.Shortened.Add(1)
	}
	past, err := s.server.Feeds.History(ctx, target, h.Since, h.Limit, h.Before, room)
	if err != nil {
		return nil, s.unavailable("history", err)
	}
	if refusal := s.permit(auth.Read, wire.History, target); refusal != nil { // Reading may have taken its time.
		return nil, refusal
	}
	return wire.HistoryResponse(time.Now(), r.Correlation, past.Frames, past.HistoryEnd), nil
}

// listed is one subscription in the answer to list_channels.
type listed struct {
	Channel string  `json:"channel"`
	Seq     *uint64 `json:"seq,omitempty"`
	State   string  `json:"state"`
}

func (s *Session) listChannels() any {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]listed, 0, len(s.subs))
	for _, sub := range s.subs {
		list = append(list, listed{sub.feed.Room(), sub.seq(sub.cursor.Pos()), sub.state()})
	}
	slices.SortFunc(list, func(a, b listed) int { return strings.Compare(a.Channel, b.Channel) })
	return struct {
		Channels []listed `json:"channels"`
	}{list}
}

func (s *Session) status(ctx context.Context) any {
	status := struct {
		Service     schema.Service `json:"service"`
		Edge        string         `json:"edge"`
		Version     string         `json:"version"`
		Connections *int           `json:"connections,omitempty"`
		Uptime      int64          `json:"uptime_seconds"`
		NATS        string         `json:"nats"`
		FirstSeq    *uint64        `json:"first_seq,omitempty"`
		LastSeq     *uint64        `json:"last_seq,omitempty"`
		Epoch       string         `json:"epoch,omitempty"`
	}{
		Service: s.server.about.Service, Edge: s.server.about.Edge, Version: s.server.about.Version,
		Uptime: int64(time.Since(s.server.started).Seconds()), NATS: "away",
	}
	if s.server.connected() {
		status.NATS = "connected"
	}
	if !s.reads() { // Nor is it told how much there is to read.
		return status
	}
	n := s.server.Connections()
	status.Connections = &n
	if s.server.connected() {
		if st, err := s.server.Feeds.State(ctx); err == nil {
			status.FirstSeq, status.LastSeq, status.Epoch = &st.First, &st.Last, st.Epoch
		} else {
			status.NATS = "away"
		}
	}
	return status
}
