package wire

import "fmt"

// Code is an error code of the protocol. Clients switch on it.
type Code string

// The codes. An error answers a request and leaves the connection open.
const (
	AuthRequired         Code = "AUTH_REQUIRED"
	AuthFailed           Code = "AUTH_FAILED"
	TokenExpired         Code = "TOKEN_EXPIRED"
	Forbidden            Code = "FORBIDDEN"
	RateLimitExceeded    Code = "RATE_LIMIT_EXCEEDED"
	DecodeError          Code = "DECODE_ERROR"
	InvalidRequest       Code = "INVALID_REQUEST"
	UnknownRequest       Code = "UNKNOWN_REQUEST"
	UnknownEvent         Code = "UNKNOWN_EVENT"
	InvalidChannel       Code = "INVALID_CHANNEL"
	InvalidEvent         Code = "INVALID_EVENT"
	TooManySubscriptions Code = "TOO_MANY_SUBSCRIPTIONS"
	RoomFull             Code = "ROOM_FULL"
	NotFound             Code = "NOT_FOUND"
	Conflict             Code = "CONFLICT"
	NoResponder          Code = "NO_RESPONDER"
	Timeout              Code = "TIMEOUT"
	Unavailable          Code = "UNAVAILABLE"
	InternalError        Code = "INTERNAL_ERROR"
)

// Error is a refusal that a client sees: its text is chosen for people and shows
// no internals.
type Error struct {
	Code    Code
	Message string
}

// Error is the code and the message.
func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

// Errorf returns an *Error with a formatted message.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Reason says why a subscription did not resume where the client asked.
type Reason string

// The reasons. A refusal is never false: it says that the log does not hold
// everything after the position any more.
const (
	EpochChanged    Reason = "epoch_changed"
	PositionExpired Reason = "position_expired"
	PositionAhead   Reason = "position_ahead"
	ScanLimit       Reason = "scan_limit"
)
