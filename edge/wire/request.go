package wire

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"

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

// Decode reads one inbound message. On error the *Error is DECODE_ERROR or
// INVALID_REQUEST and the Request holds as much of Name and Correlation as could
// be understood, so that the refusal can be matched to its request. Neither
// result keeps a reference to payload.
func Decode(payload []byte) (Request, *Error) {
	var envelope struct {
		Type        json.RawMessage `json:"type"`
		Event       json.RawMessage `json:"event"`
		ID          json.RawMessage `json:"id"`
		Correlation json.RawMessage `json:"correlation_id"`
		Data        json.RawMessage `json:"data"`
	}
	if !utf8.Valid(payload) {
		return Request{}, Errorf(DecodeError, "the message is not valid UTF-8")
	}
	if trimmed := bytes.TrimLeft(payload, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '{' {
		return Request{}, Errorf(DecodeError, "the message is not a JSON object")
	}
	if json.Unmarshal(payload, &envelope) != nil {
		return Request{}, Errorf(DecodeError, "the message is not a JSON object")
	}
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
	id, correlation := text("id", envelope.ID), text("correlation_id", envelope.Correlation)
	if id == "" {
		id = correlation
	}
	if len(id) > MaxCorrelation {
		return r, Errorf(InvalidRequest, "id is longer than %d bytes", MaxCorrelation)
	}
	r.Correlation = id
	kind, event := text("type", envelope.Type), text("event", envelope.Event)
	if raw := envelope.Data; len(raw) > 0 && string(raw) != "null" {
		if raw[0] != '{' && refusal == nil {
			refusal = Errorf(InvalidRequest, "data must be an object")
		}
		r.Data = raw // json.Unmarshal made the copy.
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
	if refusal != nil && len(r.Name) > schema.MaxEventID {
		r.Name = ""
	}
	if refusal == nil && len(r.Name) > schema.MaxEventID {
		r.Name = ""
		refusal = Errorf(UnknownRequest, "event is longer than %d bytes", schema.MaxEventID)
	}
	return r, refusal
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
	var fields struct {
		Channel  json.RawMessage   `json:"channel"`
		Room     json.RawMessage   `json:"room"`
		Since    json.RawMessage   `json:"since"`
		Channels []json.RawMessage `json:"channels"`
	}
	if len(data) > 0 && json.Unmarshal(data, &fields) != nil {
		return nil, false, Errorf(InvalidRequest, "channels must be a list")
	}
	if len(fields.Channel) == 0 {
		fields.Channel = fields.Room
	}
	if fields.Channels == nil {
		if len(fields.Channel) == 0 {
			return nil, false, Errorf(InvalidRequest, "channel is missing")
		}
		one := parseSelection(fields.Channel, fields.Since)
		return []Selection{one}, false, one.Err
	}
	if len(fields.Channel) > 0 {
		return nil, true, Errorf(InvalidRequest, "channel and channels exclude each other")
	}
	if n := len(fields.Channels); n == 0 || n > MaxSelections {
		return nil, true, Errorf(InvalidRequest, "channels must hold 1 to %d entries", MaxSelections)
	}
	for _, raw := range fields.Channels {
		var entry struct {
			Channel json.RawMessage `json:"channel"`
			Since   json.RawMessage `json:"since"`
		}
		if json.Unmarshal(raw, &entry) != nil || len(entry.Channel) == 0 {
			list = append(list, Selection{Err: Errorf(InvalidRequest, "an entry of channels is an object with channel")})
			continue
		}
		list = append(list, parseSelection(entry.Channel, entry.Since))
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
	var fields struct {
		Channel json.RawMessage `json:"channel"`
		Since   json.RawMessage `json:"since"`
		Limit   json.RawMessage `json:"limit"`
		Before  json.RawMessage `json:"before"`
	}
	if len(data) > 0 && json.Unmarshal(data, &fields) != nil {
		return h, Errorf(InvalidRequest, "data is not an object")
	}
	if h.Channel, h.Name, refusal = ParseChannel(fields.Channel); refusal != nil {
		return h, refusal
	}
	h.Limit = DefaultHistory
	if len(fields.Limit) > 0 {
		n, ok := whole(fields.Limit)
		if !ok || n < 1 || n > MaxHistory {
			return h, Errorf(InvalidRequest, "limit must be a whole number from 1 to %d", MaxHistory)
		}
		h.Limit = int(n)
	}
	if len(fields.Before) > 0 {
		var ok bool
		if h.Before, ok = whole(fields.Before); !ok || h.Before < 1 {
			return h, Errorf(InvalidRequest, "before must be a whole number from 1 to %d", uint64(MaxSeq))
		}
	}
	if h.Since, refusal = ParseSince(fields.Since); refusal != nil {
		return h, refusal
	}
	if len(fields.Since) == 0 || string(fields.Since) == "null" {
		h.Since = Since{Kind: SinceLast, Last: h.Limit}
	}
	return h, nil
}
