package auth

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/catalogue"
)

// Action is what somebody wants to do with a channel.
type Action uint8

// The actions. Neither implies the other.
const (
	// Read is to subscribe to a channel and to ask for its history.
	Read Action = iota + 1
	// Write is to publish to a channel.
	Write
)

// String is the action as permissions spell it.
func (a Action) String() string {
	switch a {
	case Read:
		return "read"
	case Write:
		return "write"
	}
	return "unknown"
}

// rights are what is granted: a set of bits.
type rights uint8

const (
	mayRead rights = 1 << iota
	mayWrite
	mayAdmin
)

// parseRights reads the last word of a permission, 0 for none that is known.
func parseRights(word string) rights {
	switch word {
	case "read":
		return mayRead
	case "write":
		return mayWrite
	case "admin":
		return mayAdmin
	}
	return 0
}

// place is a channel of a service, or every channel of a kind where id is
// schema.AllID.
type place struct {
	service  schema.Service
	kind, id string
}

// Permissions is what a token grants. It is immutable and safe for concurrent use.
// The zero value grants nothing.
type Permissions struct {
	admin    bool
	services map[schema.Service]rights
	kinds    map[string]rights
	places   map[place]rights
	unknown  []string
}

// ParsePermissions reads a token's list. The forms are
//
//	admin                              everything on every service
//	{service}:read|write|admin         every channel of the service
//	{kind}:read|write|admin            every channel of the kind, in any service
//	{service}:read|write|admin:{channel}   "workflow:42", "workflow:*" or "registry"
//
// where admin stands for both actions and is the only one that reaches admin-only
// channels. A word that is the name or an alias of a service is the service, also
// where a kind is spelled like it. Spelling is exact: nothing is trimmed or folded.
// Every other shape grants nothing; Unknown lists those.
func ParsePermissions(list []string) Permissions {
	var p Permissions
	for _, text := range list {
		if !p.grant(text) {
			p.unknown = append(p.unknown, text)
		}
	}
	return p
}

// grant adds one permission. It reports false for an unknown shape.
func (p *Permissions) grant(text string) bool {
	if text == "admin" {
		p.admin = true
		return true
	}
	subject, rest, _ := strings.Cut(text, ":")
	word, name, narrow := strings.Cut(rest, ":")
	right := parseRights(word)
	if right == 0 {
		return false
	}
	service, err := schema.ParseService(subject)
	switch {
	case err == nil && narrow:
		channel, err := schema.ParseChannel(name)
		if err != nil {
			return false
		}
		add(&p.places, place{service, channel.Kind(), channel.ID()}, right)
	case err == nil:
		add(&p.services, service, right)
	case narrow:
		return false
	default:
		if _, err := schema.NewChannel(subject, ""); err != nil {
			return false
		}
		add(&p.kinds, subject, right)
	}
	return true
}

func add[K comparable](m *map[K]rights, key K, right rights) {
	if *m == nil {
		*m = make(map[K]rights)
	}
	(*m)[key] |= right
}

// Unknown returns the permissions of the list that have no known shape and grant
// nothing, in the order of the list.
func (p Permissions) Unknown() []string { return slices.Clone(p.unknown) }

// Allows reports whether the action is allowed on what a client named. restricted
// holds the channels that only admins may use.
//
// A home channel needs the action on itself. A view needs it on every channel of every
// one of target.Kinds, since it selects from them; a grant on the view's own name
// counts only for the home channel that is spelled alike, and only where target.Kinds
// has its kind. One admin-only channel of any of the kinds, or the view's own name,
// makes the whole view admin-only.
func (p Permissions) Allows(a Action, target catalogue.Target, restricted Restricted) bool {
	var need rights
	switch {
	case a != Read && a != Write || target.Channel.IsZero():
		return false
	case restricted.covers(target):
		need = mayAdmin
	case a == Read:
		need = mayRead | mayAdmin
	default:
		need = mayWrite | mayAdmin
	}
	kind, id := target.Channel.Kind(), target.Channel.ID()
	if !target.View {
		return p.on(place{target.Service, kind, id}, need)
	}
	for _, source := range target.Kinds {
		at := place{target.Service, source, schema.AllID}
		if source == kind {
			at.id = id // Of its own kind a view shows no other channel.
		}
		if !p.on(at, need) {
			return false
		}
	}
	return len(target.Kinds) > 0
}

// on reports whether one of the needed rights is granted at a place.
func (p *Permissions) on(at place, need rights) bool {
	if p.admin || p.services[at.service]&need != 0 || p.kinds[at.kind]&need != 0 {
		return true
	}
	if len(p.places) == 0 {
		return false
	}
	if p.places[at]&need != 0 {
		return true
	}
	at.id = schema.AllID
	return p.places[at]&need != 0
}

// Restricted are the channels of one service that only admins may use. It is immutable
// and safe for concurrent use. The zero value restricts nothing.
type Restricted struct {
	channels map[schema.Channel]struct{}
	// kinds are those that any of the channels has.
	kinds map[string]restriction
}

// restriction is how much of a kind is admin-only.
type restriction uint8

const (
	someOfKind restriction = iota + 1
	allOfKind
)

// ParseRestricted reads patterns: "registry", "workflow:42", or "workflow:*" for every
// channel of the kind. A home channel in it makes the views that show its kind
// admin-only as well; a view in it only itself. The error names every bad pattern.
func ParseRestricted(patterns []string) (Restricted, error) {
	r := Restricted{
		channels: make(map[schema.Channel]struct{}, len(patterns)),
		kinds:    make(map[string]restriction),
	}
	var problems []error
	for i, pattern := range patterns {
		channel, err := schema.ParseChannel(pattern)
		if err != nil {
			problems = append(problems, fmt.Errorf("auth: admin-only channel %d: %w", i+1, err))
			continue
		}
		r.channels[channel] = struct{}{}
		how := someOfKind
		if channel.ID() == schema.AllID {
			how = allOfKind
		}
		r.kinds[channel.Kind()] = max(r.kinds[channel.Kind()], how)
	}
	if len(problems) > 0 {
		return Restricted{}, errors.Join(problems...)
	}
	return r, nil
}

// covers reports whether only admins may use the target.
func (r Restricted) covers(target catalogue.Target) bool {
	if len(r.kinds) == 0 {
		return false
	}
	if r.kinds[target.Channel.Kind()] == allOfKind {
		return true
	}
	if _, ok := r.channels[target.Channel]; ok {
		return true
	}
	return target.View && slices.ContainsFunc(target.Kinds, func(kind string) bool { return r.kinds[kind] != 0 })
}
