package request

import (
	"log/slog"
	"strings"
	"time"

	"github.com/bodhisattva/indranet/edge/audit"
	"github.com/bodhisattva/indranet/edge/auth"
	"github.com/bodhisattva/indranet/edge/wire"
	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/catalogue"
)

// may reports whether the connection may do something with a target. The caller holds
// s.mu.
func (s *Session) may(action auth.Action, target catalogue.Target) bool {
	return s.peer.Identity.Permissions.Allows(action, target, s.server.door.Restricted)
}

// forbid records what a token does not allow, and refuses it.
func (s *Session) forbid(request string, target catalogue.Target) *wire.Error {
	s.server.record(audit.Forbidden, request, s.peerNow(), s.conn.ID(), slog.String("channel", target.Channel.String()))
	if !s.server.readers.Allows(auth.Read, target, s.server.door.Restricted) {
		return wire.Errorf(wire.Forbidden, "%s is for admins only", target.Channel)
	}
	return wire.Errorf(wire.Forbidden, "%s is not allowed to you: it needs read on %s", target.Channel, strings.Join(s.server.needs(target), ", "))
}

// needs are the channels that must be allowed to who shall read a target.
func (s *Server) needs(target catalogue.Target) []string {
	if !target.View {
		return []string{target.Channel.String()}
	}
	var list []string
	for _, kind := range target.Kinds {
		switch all := kind + ":" + schema.AllID; {
		case kind == target.Channel.Kind():
			list = append(list, target.Channel.String())
		case s.has(all):
			list = append(list, all)
		default:
			list = append(list, kind)
		}
	}
	return list
}

// has reports whether the service has a channel.
func (s *Server) has(name string) bool {
	channel, err := schema.ParseChannel(name)
	if err == nil {
		_, err = s.cat.Lookup(s.about.Service, channel)
	}
	return err == nil
}

// reads reports whether the connection may read anything of the service.
func (s *Session) reads() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.peer.Identity.Permissions.ReadsOf(s.server.about.Service, func(kind string) bool {
		return s.server.has(kind) || s.server.has(kind+":"+schema.AllID)
	})
}

// permit is what stands against a request for a target, nil for nothing.
func (s *Session) permit(action auth.Action, request string, target catalogue.Target) *wire.Error {
	s.mu.Lock()
	allowed, over, known := s.may(action, target), s.leaving || s.expired(time.Now()), s.peer.Authenticated
	s.mu.Unlock()
	switch {
	case over:
		return wire.Errorf(wire.TokenExpired, "the connection is ending")
	case !allowed:
		return s.forbid(request, target)
	case known && s.server.door.Stale != nil && s.server.door.Stale():
		return wire.Errorf(wire.Unavailable, "tokens cannot be checked now; nothing was done, try again")
	}
	return nil
}
