package schema

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of a channel's name.
const (
	// MaxChannelID bounds the id of a channel, in bytes.
	MaxChannelID = 200
	// MaxChannelKind bounds the kind of a channel, in bytes.
	MaxChannelKind = 32
	// AllID is the id of the view that selects every channel of a kind, as in
	// "workflow:*". No event can be published to it.
	AllID = "*"
)

// Channel names what is ordered and replayed together: a kind and, for most
// kinds, an id. "workflow:42" has kind "workflow" and id "42"; "registry" has no
// id. A channel is always read within a service. Channels are comparable; the
// zero value is not a channel.
type Channel struct {
	kind, id string
}

// NewChannel returns the channel of kind and id; an empty id makes a channel
// without one. The error matches ErrChannel.
func NewChannel(kind, id string) (Channel, error) {
	if problem := kindProblem(kind); problem != "" {
		return Channel{}, fmt.Errorf("%w: the kind %s", ErrChannel, problem)
	}
	if id != "" {
		if problem := idProblem(id); problem != "" {
			return Channel{}, fmt.Errorf("%w: the id of %q %s", ErrChannel, kind, problem)
		}
	}
	return Channel{kind: kind, id: id}, nil
}

// NewHomeChannel returns the channel of kind and id that an event is published
// to. Unlike NewChannel it refuses an empty id and AllID, so that a forgotten field
// never publishes to another channel. The error matches ErrChannel.
func NewHomeChannel(kind, id string) (Channel, error) {
	switch id {
	case "":
		return Channel{}, fmt.Errorf("%w: the id of %q is empty", ErrChannel, kind)
	case AllID:
		return Channel{}, fmt.Errorf(`%w: the id of %q may not be "*"`, ErrChannel, kind)
	}
	return NewChannel(kind, id)
}

// ParseChannel reads "kind" or "kind:id". The first colon divides, so an id may
// hold colons. The error matches ErrChannel and never repeats hostile bytes.
func ParseChannel(s string) (Channel, error) {
	kind, id, has := strings.Cut(s, ":")
	if has && id == "" {
		return Channel{}, fmt.Errorf("%w: nothing follows the colon", ErrChannel)
	}
	return NewChannel(kind, id)
}

// Kind is the part before the first colon.
func (c Channel) Kind() string { return c.kind }

// ID is the part after the first colon, empty for a channel without an id.
func (c Channel) ID() string { return c.id }

// IsZero reports whether c is the zero value, which names no channel.
func (c Channel) IsZero() bool { return c.kind == "" }

// String is the channel's name as clients write it. ParseChannel reads it back.
func (c Channel) String() string {
	if c.id == "" {
		return c.kind
	}
	return c.kind + ":" + c.id
}

func kindProblem(kind string) string {
	switch {
	case kind == "":
		return "is empty"
	case len(kind) > MaxChannelKind:
		return fmt.Sprintf("is longer than %d bytes", MaxChannelKind)
	}
	for i := range len(kind) {
		c := kind[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return "may hold only a-z, 0-9, _ and -"
		}
	}
	return ""
}

func idProblem(id string) string {
	switch {
	case len(id) > MaxChannelID:
		return fmt.Sprintf("is longer than %d bytes", MaxChannelID)
	case !utf8.ValidString(id):
		return "is not valid UTF-8"
	case strings.ContainsFunc(id, unicode.IsControl):
		return "holds a control character"
	}
	return ""
}
