package request

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/bodhisattva/indranet/edge/audit"
	"github.com/bodhisattva/indranet/edge/auth"
	"github.com/bodhisattva/indranet/edge/conn"
	"github.com/bodhisattva/indranet/edge/wire"
)

// Door says who may come in and what they may do. The zero Door takes no tokens and
// allows nothing.
type Door struct {
	// RequireAuth says that nothing but an accepted token opens a connection.
	RequireAuth bool
	// Anonymous is what a connection may do that has shown no token, where none is
	// required.
	Anonymous auth.Permissions
	// Restricted are the channels that only admins may use.
	Restricted auth.Restricted
	// Verify checks a token; the error is an *auth.Refusal. Nil where no tokens are
	// taken. It may wait for the keys of an identity provider.
	Verify func(ctx context.Context, token string) (auth.Identity, error)
	// Leeway is how long a token is accepted after it expired.
	Leeway time.Duration
	// Revoked reports whether an identity's token was revoked; nil for never.
	Revoked func(auth.Identity) bool
	// Stale reports whether it has been unknown for too long which tokens are revoked:
	// then nobody gets anything new. Nil for never.
	Stale func() bool
	// Crowded reports whether so many connections have shown no token yet that they get
	// less time for it; nil for never.
	Crowded func() bool
	// Enter asks for a place for a user's connection, which leave gives back; nil for
	// any number.
	Enter func(user string) (leave func(), ok bool)
	// Failed is told of a refused token whose bearer may have guessed, and says how long
	// the answer must wait; nil for never. Blocked reports whether the peer has failed so
	// often that no token of it is looked at; nil for never.
	Failed  func(Peer) time.Duration
	Blocked func(Peer) bool
	// Audit records refusals; it must be set.
	Audit *audit.Log
}

// Peer is who asks for a connection, as far as its handshake told.
type Peer struct {
	// Address is the client's, behind trusted proxies; it is for logs and limits.
	Address string
	// Identity is whom the handshake's token named; Authenticated is false where it
	// brought none.
	Identity      auth.Identity
	Authenticated bool
	// Refused says why its token was not accepted, nil where it was: the connection is
	// told and closed.
	Refused *wire.Error
	// Full says that there is no place for the connection, and why; empty where there
	// is.
	Full string
	// Waited is called once, when the connection is let in, or else has ended; nil for
	// nothing.
	Waited func()
	// Left is called once, when the connection has ended; nil for nothing.
	Left func()
}

// Times that protocol.md names.
const (
	// authTimeout is how long a connection may stay without a token where one is
	// required.
	authTimeout = 5 * time.Second
	// crowdedTimeout is the same while the door is crowded.
	crowdedTimeout = time.Second
	// warnBefore is how long before its end a token is warned about, or half its life.
	warnBefore = time.Minute
	// maxAuthFrame bounds the message that brings a token, in bytes.
	maxAuthFrame = 16 << 10
)

// Authenticate checks the token of a handshake. It waits as long as a refusal must.
func (s *Server) Authenticate(ctx context.Context, peer *Peer, token string) {
	peer.Identity, peer.Refused = s.verify(ctx, *peer, "", token)
	peer.Authenticated = peer.Refused == nil
}

// verify checks a token, records what is wrong with it and waits as long as that must
// be waited for. connection is empty while there is none.
func (s *Server) verify(ctx context.Context, peer Peer, connection, token string) (auth.Identity, *wire.Error) {
	if s.door.Verify == nil {
		return auth.Identity{}, noTokens()
	}
	if s.door.Blocked != nil && s.door.Blocked(peer) {
		s.record(audit.ConnectionRefused, "blocked", peer, connection)
		return auth.Identity{}, blocked
	}
	identity, err := s.door.Verify(ctx, token)
	if err == nil && s.revoked(identity) {
		err = &auth.Refusal{Reason: auth.Revoked, Err: errRevoked}
	}
	if err == nil {
		return identity, nil
	}
	reason := auth.Malformed
	var refusal *auth.Refusal
	if errors.As(err, &refusal) {
		reason = refusal.Reason
	}
	s.record(audit.AuthRefused, string(reason), peer, connection)
	switch reason {
	case auth.KeysUnavailable: // Which is not the client's fault.
		return auth.Identity{}, wire.Errorf(wire.Unavailable, "tokens cannot be checked now; try again")
	case auth.Expired: // Its signature was right: whoever has it did not guess.
		return auth.Identity{}, wire.Errorf(wire.TokenExpired, "the token has expired")
	case auth.Revoked: // The same.
	case auth.KeyUnknown: // Nothing was guessed: the key may be newer than what is known.
	default:
		if s.door.Failed != nil {
			pause(ctx, s.door.Failed(peer))
		}
	}
	return auth.Identity{}, wire.Errorf(wire.AuthFailed, "the token is not accepted")
}

// blocked refuses every token of a peer that has failed too often, also on connections
// that are there already, and ends these.
var blocked = wire.Errorf(wire.AuthFailed, "too many failed attempts from this address: try again later")

func noTokens() *wire.Error {
	return wire.Errorf(wire.AuthFailed, "this edge takes no tokens: go on without")
}

// keepOut ends a connection whose token was not accepted, and has been told. The caller
// holds s.mu.
func (s *Session) keepOut(refusal *wire.Error) {
	s.leaving = true
	switch {
	case refusal == blocked:
		s.conn.Expel(conn.CloseRateLimited, "too many failed attempts")
	case refusal.Code == wire.Unavailable:
		s.conn.Expel(conn.CloseTryLater, "tokens cannot be checked now")
	default:
		s.conn.Expel(conn.CloseUnauthorized, "unauthorized")
	}
}

var errRevoked = errors.New("request: the token was revoked")

// pause waits for the time or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (s *Server) revoked(identity auth.Identity) bool {
	return s.door.Revoked != nil && s.door.Revoked(identity)
}

// record notes a security event of a peer.
func (s *Server) record(event audit.Event, reason string, peer Peer, connection string, attrs ...slog.Attr) {
	attrs = append(attrs, slog.String("address", peer.Address))
	if connection != "" {
		attrs = append(attrs, slog.String("connection", connection))
	}
	if peer.Authenticated {
		attrs = append(attrs, slog.String("user", peer.Identity.User))
	}
	s.door.Audit.Record(event, string(s.about.Service), reason, attrs...)
}

// Recheck has the connections closed whose tokens have been revoked. It is called after
// every change of what is revoked, and returns at once: one walk over all connections does
// for all changes before it.
func (s *Server) Recheck() {
	select {
	case s.changed <- struct{}{}:
	default: // A walk is due anyway.
	}
}

// recheck walks over all connections after a change, until ctx ends.
func (s *Server) recheck(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.changed:
		}
		s.sessionsMu.Lock()
		list := slices.Collect(maps.Keys(s.sessions))
		s.sessionsMu.Unlock()
		for _, session := range list {
			session.recheck()
		}
	}
}

func (s *Session) recheck() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.peer.Authenticated && s.server.revoked(s.peer.Identity) {
		s.leave(audit.TokenRevoked, "revoked", wire.Errorf(wire.AuthFailed, "the token was revoked"), conn.CloseRevoked, "revoked")
	}
}

// letIn lets a connection in. The caller holds s.mu, or is the only one who knows the
// session.
func (s *Session) letIn(identity auth.Identity, authenticated bool, now time.Time) bool {
	if authenticated && s.server.door.Enter != nil {
		left, ok := s.server.door.Enter(identity.User)
		if !ok {
			s.peer.Identity, s.peer.Authenticated = identity, true
			s.leave(audit.ConnectionRefused, "user", nil, conn.CloseTryLater, "too many connections of this user")
			return false
		}
		s.left = left
	}
	s.become(identity, authenticated, now)
	return true
}

// become makes an identity that of the connection. The caller holds s.mu.
func (s *Session) become(identity auth.Identity, authenticated bool, now time.Time) {
	s.peer.Identity, s.peer.Authenticated = identity, authenticated
	s.admitted = true
	s.conn.Limit(0)
	s.waited()
	s.until, s.warnAt = time.Time{}, time.Time{}
	if identity.Expires.IsZero() {
		return
	}
	s.until = identity.Expires.Add(s.server.door.Leeway)
	s.warnAt = identity.Expires.Add(-min(warnBefore, identity.Expires.Sub(now)/2))
}

// waited tells, once, that the connection does not wait to be let in any more. The caller
// holds s.mu.
func (s *Session) waited() {
	if s.peer.Waited != nil {
		s.peer.Waited()
		s.peer.Waited = nil
	}
}

// leave ends the connection: nothing but the answers so far, or the one error in place of
// them, is sent any more, then the close frame. The caller holds s.mu.
func (s *Session) leave(event audit.Event, reason string, why *wire.Error, code conn.Code, text string) {
	if s.leaving || s.closed {
		return
	}
	s.leaving = true
	s.server.record(event, reason, s.peer, s.conn.ID())
	if why != nil {
		// What waits was asked for with a right that is over.
		s.answers = nil
		s.countAnswers(-s.answerBytes)
		s.answer(wire.ErrorResponse(time.Now(), "", "", why))
	}
	s.conn.Expel(code, text)
}

// turnAway ends a connection that may not be here yet. The caller holds s.mu.
func (s *Session) turnAway(reason string) {
	s.leave(audit.AuthMissing, reason, wire.Errorf(wire.AuthRequired, "the first message must be auth with a token"),
		conn.CloseUnauthorized, "unauthorized")
}

// shows reports whether a message may come before a token was accepted: only the first,
// and only auth. The caller holds s.mu.
func (s *Session) shows(r wire.Request, refusal *wire.Error, size int) bool {
	first := !s.showed
	s.showed = true
	return first && refusal == nil && r.Name == wire.Auth && size <= maxAuthFrame
}

// expired reports whether the connection's token has expired, and ends it then. The
// caller holds s.mu.
func (s *Session) expired(now time.Time) bool {
	if s.until.IsZero() || now.Before(s.until) {
		return false
	}
	s.leave(audit.TokenExpired, "expired", wire.Errorf(wire.TokenExpired, "the token has expired"), conn.CloseTokenExpired, "token expired")
	return true
}

// watchTimes keeps the times of a connection's identity. The caller holds s.mu.
func (s *Session) watchTimes(now time.Time) {
	switch {
	case s.leaving:
	case !s.admitted:
		allowed := authTimeout
		if !s.showed && s.server.door.Crowded != nil && s.server.door.Crowded() { // A check takes its time.
			allowed = crowdedTimeout
		}
		if now.Sub(s.opened) >= allowed {
			s.turnAway("not_in_time")
		}
	case s.expired(now):
	case !s.warnAt.IsZero() && !now.Before(s.warnAt):
		s.warnAt = time.Time{}
		s.answer(wire.TokenExpiring(now, s.peer.Identity.Expires))
	}
	if !s.leaving && !s.retire.IsZero() && !now.Before(s.retire) {
		s.leaving = true
		s.server.Stats.Retired.Add(1)
		s.conn.Close(conn.CloseGoingAway, "retry_after_ms="+strconv.Itoa(s.server.retryAfter()))
	}
}

func (s *Session) peerNow() Peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.peer
}

// auth handles auth and refresh_token.
func (s *Session) auth(ctx context.Context, r wire.Request) {
	peer := s.peerNow()
	refresh := r.Name == wire.RefreshToken
	token, refusal := wire.ParseToken(r.Data)
	var identity auth.Identity
	switch {
	case refusal != nil:
	case s.server.door.Verify == nil:
		refusal = noTokens()
	case refresh && !peer.Authenticated:
		refusal = wire.Errorf(wire.AuthRequired, "there is no token to refresh: send auth")
	case !refresh && peer.Authenticated:
		refusal = wire.Errorf(wire.InvalidRequest, "you are authenticated: send refresh_token")
	default:
		identity, refusal = s.server.verify(ctx, peer, s.conn.ID(), token)
	}
	if refusal == nil && refresh && identity.User != peer.Identity.User {
		s.server.record(audit.AuthRefused, "other_user", peer, s.conn.ID())
		refusal = wire.Errorf(wire.AuthFailed, "the token is another user's")
	}
	now := time.Now()
	s.mu.Lock()
	dropped := s.settle(r, refusal, identity, refresh, now)
	s.mu.Unlock()
	for _, sub := range dropped {
		s.drop(sub)
	}
}

// settle answers auth and refresh_token, and returns the subscriptions that have ended.
// The caller holds s.mu.
func (s *Session) settle(r wire.Request, refusal *wire.Error, identity auth.Identity, refresh bool, now time.Time) (dropped []*subscription) {
	if refusal == nil && s.server.revoked(identity) { // Since it was verified.
		refusal = wire.Errorf(wire.AuthFailed, "the token is not accepted")
	}
	switch {
	case s.closed || s.leaving:
		return nil
	case refusal != nil && (!s.admitted || refusal == blocked):
		s.refuse(r, refusal)
		s.keepOut(refusal)
		return nil
	case refusal != nil:
		s.refuse(r, refusal)
		return nil
	case refresh:
		s.become(identity, true, now)
		s.answer(wire.Refreshed(now, r.Correlation, identity.User, identity.Expires))
		s.server.Stats.Requests.Add(1)
		return s.weaken(now)
	}
	waited := !s.admitted
	if !s.letIn(identity, true, now) {
		return nil
	}
	s.answer(wire.Authenticated(now, r.Correlation, identity.User, identity.Expires))
	s.server.Stats.Requests.Add(1)
	if waited {
		s.answer(s.welcome(now))
		s.unpause()
	}
	return s.weaken(now)
}

// weaken ends the subscriptions that the connection's identity does not cover. The
// caller holds s.mu and drops what is returned.
func (s *Session) weaken(now time.Time) (dropped []*subscription) {
	for channel, sub := range s.subs {
		if s.may(auth.Read, sub.feed.Target()) {
			continue
		}
		delete(s.subs, channel)
		s.end(sub)
		dropped = append(dropped, sub)
		s.server.record(audit.TokenWeakened, "subscription", s.peer, s.conn.ID(), slog.String("channel", channel.String()))
		s.answer(wire.Ended(now, sub.feed.Room(), wire.Errorf(wire.Forbidden, "%s is not allowed to you any more: the subscription has ended", channel)))
	}
	return dropped
}

// tooFast refuses a message that came too fast, as long as the client has hope. It
// returns false where the message may be handled.
func (s *Session) tooFast(payload []byte) bool {
	now := time.Now()
	ok, retry, hopeless := s.rate.Take(now)
	if ok {
		return false
	}
	var r wire.Request
	if len(payload) <= maxAuthFrame { // Else it costs more than it is worth.
		r, _ = wire.Decode(payload)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.leaving {
		return true
	}
	s.server.Stats.Requests.Add(1)
	s.server.Stats.Refused.add(wire.RateLimitExceeded)
	s.answer(wire.Slower(now, r.Name, r.Correlation, retry))
	if hopeless {
		s.leave(audit.RateLimited, "closed", nil, conn.CloseRateLimited, "rate limited")
	} else {
		s.server.record(audit.RateLimited, "message", s.peer, s.conn.ID())
	}
	return true
}
