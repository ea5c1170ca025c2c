package wire

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/google/uuid"
)

// message is the envelope of everything outbound but durable and transient events.
type message struct {
	Type        string `json:"type"`
	Event       string `json:"event,omitempty"`
	ID          string `json:"id,omitempty"`
	Correlation string `json:"correlation_id,omitempty"`
	Timestamp   string `json:"timestamp"`
	Room        string `json:"room,omitempty"`
	Status      string `json:"status,omitempty"`
	Channel     string `json:"channel,omitempty"`
	ErrorCode   Code   `json:"error_code,omitempty"`
	ErrorText   string `json:"error_message,omitempty"`
	Data        any    `json:"data,omitempty"`
}

func (m message) frame(now time.Time) []byte {
	if m.Type != "pong" {
		m.ID = uuid.Must(uuid.NewV7()).String()
	}
	m.Timestamp = now.UTC().Format(TimeFormat)
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false) // It would lengthen what a history was cut to.
	if err := encoder.Encode(m); err != nil {
		// Every Data is a type of ours that can be encoded; the transcripts go
		// through them.
		panic("wire: " + err.Error())
	}
	return TextFrame(bytes.TrimSuffix(text.Bytes(), []byte("\n")))
}

// Subscribed is the answer for one channel of a subscribe request, and the data
// of a reset.
type Subscribed struct {
	Status  string `json:"status,omitempty"`
	Channel string `json:"channel"`
	Epoch   string `json:"epoch,omitempty"`
	// Seq: everything up to it was delivered or precedes the subscription. Nil
	// for a purely transient channel, as are Recovered and FirstSeq.
	Seq       *uint64 `json:"seq,omitempty"`
	Recovered *bool   `json:"recovered,omitempty"`
	Reason    Reason  `json:"reason,omitempty"`
	// FirstSeq is the oldest position that the log still holds.
	FirstSeq  *uint64 `json:"first_seq,omitempty"`
	ErrorCode Code    `json:"error_code,omitempty"`
	ErrorText string  `json:"error_message,omitempty"`
}

// SubscribeResponse answers a subscribe of one channel. Older clients look for
// status and channel at the top level, so they stand there too.
func SubscribeResponse(now time.Time, correlation string, answer Subscribed) []byte {
	return message{Type: "response", Event: Subscribe, Correlation: correlation,
		Status: answer.Status, Channel: answer.Channel, Data: answer}.frame(now)
}

// SubscribeManyResponse answers a subscribe of several channels.
func SubscribeManyResponse(now time.Time, correlation string, answers []Subscribed) []byte {
	return Response(now, Subscribe, correlation, map[string]any{"results": answers})
}

// UnsubscribeResponse answers an unsubscribe.
func UnsubscribeResponse(now time.Time, correlation, channel string) []byte {
	return message{Type: "response", Event: Unsubscribe, Correlation: correlation,
		Status: "unsubscribed", Channel: channel,
		Data: map[string]string{"status": "unsubscribed", "channel": channel}}.frame(now)
}

// Response answers any other request. data must be encodable as a JSON object.
func Response(now time.Time, name, correlation string, data any) []byte {
	return message{Type: "response", Event: name, Correlation: correlation, Data: data}.frame(now)
}

// ErrorResponse answers a request that is refused. name may be empty where the
// request could not be understood.
func ErrorResponse(now time.Time, name, correlation string, refusal *Error) []byte {
	return message{Type: "error", Event: name, Correlation: correlation,
		ErrorCode: refusal.Code, ErrorText: refusal.Message}.frame(now)
}

// Seq is the data of acks and pongs that speak of a position.
type Seq struct {
	Seq uint64 `json:"seq"`
}

// CaughtUp says that everything of the room up to seq has been delivered. A nil
// seq is for purely transient rooms.
func CaughtUp(now time.Time, room string, seq *uint64) []byte {
	m := message{Type: "ack", Event: "caught_up", Room: room, Data: struct{}{}}
	if seq != nil {
		m.Data = Seq{*seq}
	}
	return m.frame(now)
}

// Position says that every caught-up subscription of the connection has
// everything up to seq.
func Position(now time.Time, seq uint64) []byte {
	return message{Type: "ack", Event: "position", Data: Seq{seq}}.frame(now)
}

// Reset says that a running subscription could not go on where it was: what
// follows starts at answer.Seq, and the client must rebuild its state.
func Reset(now time.Time, answer Subscribed) []byte {
	return message{Type: "ack", Event: "reset", Room: answer.Channel, Data: answer}.frame(now)
}

// Pong answers a ping. seq 0 leaves the position out.
func Pong(now time.Time, seq uint64) []byte {
	m := message{Type: "pong"}
	if seq > 0 {
		m.Data = Seq{seq}
	}
	return m.frame(now)
}

// WelcomeData is the data of the first event of a connection.
type WelcomeData struct {
	ConnectionID  string `json:"connection_id"`
	Server        string `json:"server"`
	Service       string `json:"service"`
	Message       string `json:"message"`
	Authenticated bool   `json:"authenticated"`
	Version       string `json:"version"`
	Edge          string `json:"edge"`
	Limits        Limits `json:"limits"`
}

// Limits tells a client what it may ask for.
type Limits struct {
	MaxMessageBytes   int `json:"max_message_bytes"`
	MessagesPerSecond int `json:"messages_per_second,omitempty"`
	MaxSubscriptions  int `json:"max_subscriptions"`
}

// Welcome is the first event of a connection.
func Welcome(now time.Time, data WelcomeData) []byte {
	return message{Type: "event", Event: "welcome", Data: data}.frame(now)
}

// HistoryEnd is what a history response says beside its events.
type HistoryEnd struct {
	Epoch    string `json:"epoch"`
	FirstSeq uint64 `json:"first_seq"`
	LastSeq  uint64 `json:"last_seq"`
	// More is true where the log holds further events in the direction asked
	// for, also because a bound was hit.
	More bool `json:"more"`
	// Reason says why the events do not follow the position that was asked for.
	Reason Reason `json:"reason,omitempty"`
}

// HistoryRoom is what a history response may hold beside its events, in bytes.
const HistoryRoom = 4096

// HistoryResponse answers a history request with events as they stand on the
// wire. The caller keeps their sum below MaxMessage - HistoryRoom.
func HistoryResponse(now time.Time, correlation string, events []Frame, end HistoryEnd) []byte {
	size := HistoryRoom
	for _, f := range events {
		size += f.Size() + 1
	}
	list := append(make([]byte, 0, size), '[')
	for i, f := range events {
		if i > 0 {
			list = append(list, ',')
		}
		list = f.JSON(list)
	}
	list = append(list, ']')
	return Response(now, History, correlation, struct {
		Events json.RawMessage `json:"events"`
		HistoryEnd
	}{list, end})
}
