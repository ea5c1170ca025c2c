package wire

import (
	"bytes"
	"encoding/json"

	"github.com/bodhisattva/indranet/schema"
)

// MaxCorrelation bounds the id or correlation_id of a request, in bytes, since
// the answer repeats it.
const MaxCorrelation = 256

// Names of the requests that the protocol defines. Ping stands for the type
// "ping", which has no request name.
const (
	Ping         = "ping"
	Auth         = "auth"
	RefreshToken = "refresh_token"
	Subscribe    = "subscribe"
	Unsubscribe  = "unsubscribe"
	History      = "history"
	Publish      = "publish"
	ListChannels = "list_channels"
	GetStatus    = "get_status"
)

// Request is one decoded inbound message.
type Request struct {
	// Name is what is asked for, one of the constants or whatever the client
	// wrote. The inbound spellings of older clients have been mapped to it.
	Name string
	// Data is the object data, nil where the client sent none.
	Data json.RawMessage
	// Correlation is the client's id of the request, else its correlation_id.
	Correlation string
}

// Decode reads one inbound message. On error the *Error is DECODE_ERROR,
// INVALID_REQUEST or UNKNOWN_REQUEST and the Request holds as much of Name and
// Correlation as could be understood, so that the refusal can be matched to its
// request. Neither result keeps a reference to payload.
//
// Keys count as they are spelled: "Type" is an unknown key, which is ignored. What
// readers could read differently is a DECODE_ERROR, wherever in the message it
// stands, of which nothing is understood: a key twice in an object, half of a
// surrogate pair, a nesting of more than 64 levels; and more than MaxValues values, which
// nobody needs who asks for something. So whoever reads Data or what
// is made of it, by whatever library, reads the same.
func Decode(payload []byte) (Request, *Error) {
	if trimmed := bytes.TrimLeft(payload, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '{' {
		return Request{}, Errorf(DecodeError, "the message is not a JSON object")
	}
	if bad := problem(payload); bad != "" {
		return Request{}, Errorf(DecodeError, "the message %s", bad)
	}
	var envelope struct{ kind, event, id, correlation, data json.RawMessage }
	s := scanner{in: payload}
	s.members(func(key, value []byte) bool {
		switch string(key) {
		case "type":
			envelope.kind = value
		case "event":
			envelope.event = value
		case "id":
			envelope.id = value
		case "correlation_id":
			envelope.correlation = value
		case "data":
			envelope.data = value
		}
		return true
	})
	var r Request
	var refusal *Error
	text := func(key string, raw json.RawMessage) (s string) {
		if len(raw) == 0 || string(raw) == "null" {
			return ""
		}
		if json.Unmarshal(raw, &s) != nil && refusal == nil {
			refusal = Errorf(InvalidRequest, "%s must be text", key)
		}
		return s
	}
	id, correlation := text("id", envelope.id), text("correlation_id", envelope.correlation)
	if id == "" {
		id = correlation
	}
	if len(id) > MaxCorrelation {
		return r, Errorf(InvalidRequest, "id is longer than %d bytes", MaxCorrelation)
	}
	r.Correlation = id
	kind, event := text("type", envelope.kind), text("event", envelope.event)
	if raw := envelope.data; len(raw) > 0 && string(raw) != "null" {
		if raw[0] != '{' && refusal == nil {
			refusal = Errorf(InvalidRequest, "data must be an object")
		}
		r.Data = bytes.Clone(raw)
	}
	switch kind {
	case "ping":
		r.Name = Ping
	case "request":
		r.Name = event
		if event == "" && refusal == nil {
			refusal = Errorf(InvalidRequest, "event is missing: it names the request")
		}
	case "subscribe", "unsubscribe":
		r.Name = kind
	case "event":
		r.Name = event
		if event != Subscribe && event != Unsubscribe {
			// An event from a client is a publish of it.
			r.Name = Publish
		}
	case "":
		if refusal == nil {
			refusal = Errorf(InvalidRequest, "type is missing")
		}
	default:
		if refusal == nil {
			refusal = Errorf(InvalidRequest, "type must be request, subscribe, unsubscribe, event or ping")
		}
	}
	if r.Name != "" && !isName(r.Name) {
		r.Name = ""
		if refusal == nil {
			refusal = Errorf(UnknownRequest, "event: a name is up to %d letters, digits, dots, hyphens and underscores", schema.MaxEventID)
		}
	}
	return r, refusal
}

// isName reports whether a request can have the name. What passes is safe in a
// subject, a header, a metric label and a log line.
func isName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' && c != '.' {
			return false
		}
	}
	return len(name) <= schema.MaxEventID
}

// Selection is one channel of a subscribe request. Err is set where the entry
// breaks a rule; Name is what the client wrote, cut to the limit of a channel.
type Selection struct {
	Name    string
	Channel schema.Channel
	Since   Since
	Err     *Error
}

// MaxSelections bounds the channels of one subscribe request.
const MaxSelections = 100

// maxChannelName is the longest text that can be a channel.
const maxChannelName = schema.MaxChannelKind + 1 + schema.MaxChannelID

// ParseSubscribe reads data of subscribe and unsubscribe. many tells the form
// {"channels":[…]}, whose bad entries carry their own error. The error refuses
// the whole request.
func ParseSubscribe(data json.RawMessage) (list []Selection, many bool, err *Error) {
	f, ok := fields(data, "channel", "room", "since", "channels")
	if !ok {
		return nil, false, Errorf(InvalidRequest, "data is not an object")
	}
	channel, room, since, channels := f[0], f[1], f[2], f[3]
	if len(channel) == 0 {
		channel = room
	}
	if len(channels) == 0 || string(channels) == "null" {
		if len(channel) == 0 {
			return nil, false, Errorf(InvalidRequest, "channel is missing")
		}
		one := parseSelection(channel, since)
		return []Selection{one}, false, one.Err
	}
	entries, ok := elements(channels, MaxSelections+1)
	switch {
	case !ok:
		return nil, false, Errorf(InvalidRequest, "channels must be a list")
	case len(channel) > 0:
		return nil, true, Errorf(InvalidRequest, "channel and channels exclude each other")
	case len(entries) == 0 || len(entries) > MaxSelections:
		return nil, true, Errorf(InvalidRequest, "channels must hold 1 to %d entries", MaxSelections)
	}
	for _, raw := range entries {
		f, ok := fields(raw, "channel", "since")
		if !ok || len(f[0]) == 0 {
			list = append(list, Selection{Err: Errorf(InvalidRequest, "an entry of channels is an object with channel")})
			continue
		}
		list = append(list, parseSelection(f[0], f[1]))
	}
	return list, true, nil
}

func parseSelection(channel, since json.RawMessage) Selection {
	var s Selection
	if s.Channel, s.Name, s.Err = ParseChannel(channel); s.Err != nil {
		return s
	}
	s.Since, s.Err = ParseSince(since)
	return s
}

// ParseChannel reads a channel from JSON. name is what the client wrote, cut to
// the longest text that can be a channel.
func ParseChannel(raw json.RawMessage) (c schema.Channel, name string, refusal *Error) {
	if len(raw) == 0 {
		return c, "", Errorf(InvalidRequest, "channel is missing")
	}
	if json.Unmarshal(raw, &name) != nil {
		return c, "", Errorf(InvalidRequest, "channel must be text")
	}
	c, err := schema.ParseChannel(name)
	if err != nil {
		if len(name) > maxChannelName {
			name = ""
		}
		return c, name, Errorf(InvalidChannel, "%s", err)
	}
	return c, name, nil
}

// MaxHistory bounds the events of one history response.
const MaxHistory = 1000

// DefaultHistory is the number of events of a history request that says neither
// since nor limit.
const DefaultHistory = 100

// HistoryRequest is the data of a history request.
type HistoryRequest struct {
	Channel schema.Channel
	Name    string
	Since   Since
	// Limit is 1 to MaxHistory.
	Limit int
	// Before is the exclusive upper bound, 0 for none.
	Before uint64
}

// ParseHistory reads the data of a history request.
func ParseHistory(data json.RawMessage) (h HistoryRequest, refusal *Error) {
	f, ok := fields(data, "channel", "since", "limit", "before")
	if !ok {
		return h, Errorf(InvalidRequest, "data is not an object")
	}
	channel, since, limit, before := f[0], f[1], f[2], f[3]
	if h.Channel, h.Name, refusal = ParseChannel(channel); refusal != nil {
		return h, refusal
	}
	h.Limit = DefaultHistory
	if len(limit) > 0 {
		n, ok := whole(limit)
		if !ok || n < 1 || n > MaxHistory {
			return h, Errorf(InvalidRequest, "limit must be a whole number from 1 to %d", MaxHistory)
		}
		h.Limit = int(n)
	}
	if len(before) > 0 {
		if h.Before, ok = whole(before); !ok || h.Before < 1 {
			return h, Errorf(InvalidRequest, "before must be a whole number from 1 to %d", uint64(MaxSeq))
		}
	}
	if h.Since, refusal = ParseSince(since); refusal != nil {
		return h, refusal
	}
	if len(since) == 0 || string(since) == "null" {
		h.Since = Since{Kind: SinceLast, Last: h.Limit}
	}
	return h, nil
}
