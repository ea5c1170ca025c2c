package conn

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// Code is a WebSocket close code. Its String is a metric label.
type Code uint16

// The close codes of the protocol.
const (
	// CloseNormal says that the purpose of the connection is fulfilled.
	CloseNormal Code = 1000
	// CloseGoingAway says that the edge is draining; the reason is
	// "retry_after_ms=N", and the client reconnects after N ms. From a browser it
	// says that the page was left.
	CloseGoingAway Code = 1001
	// CloseProtocol answers bytes that break RFC 6455. The client does not
	// reconnect: it would do the same again.
	CloseProtocol Code = 1002
	// CloseNoStatus is the code of a peer that closed without one. It is never sent.
	CloseNoStatus Code = 1005
	// CloseAbnormal is the code of a connection that ended without a close frame of
	// the peer: lost, or given up after a ping timeout. It is never sent.
	CloseAbnormal Code = 1006
	// CloseInvalidUTF8 answers a message that is not valid UTF-8. The client does
	// not reconnect.
	CloseInvalidUTF8 Code = 1007
	// ClosePolicy answers a violation of the protocol above WebSocket. The client
	// does not reconnect.
	ClosePolicy Code = 1008
	// CloseTooBig answers a message over the limit. The client does not reconnect.
	CloseTooBig Code = 1009
	// CloseInternal is an internal error. The client reconnects with backoff.
	CloseInternal Code = 1011
	// CloseTryLater says that the edge is at capacity (max_connections), or that the
	// connection held the most of the messages that are being received, and those are too
	// many (Inbound). The client reconnects with backoff, elsewhere.
	CloseTryLater Code = 1013
	// CloseUnauthorized says that there was no token, a bad one, or none in time.
	// The client gets a token first.
	CloseUnauthorized Code = 4001
	// CloseTokenExpired says that the token expired; a warning event token.expiring
	// came before. The client refreshes it and reconnects.
	CloseTokenExpired Code = 4002
	// CloseRevoked says that the token was revoked. The client does not reconnect.
	CloseRevoked Code = 4003
	// CloseSlow is the code of a client that took nothing for slow_timeout. It
	// reconnects with its position. The client sees a lost connection: a close frame
	// would have to wait behind what it does not take.
	CloseSlow Code = 4008
	// CloseRateLimited says that the client kept exceeding the rate limit. It
	// reconnects with backoff.
	CloseRateLimited Code = 4029
)

// codes is the one table of close codes and their labels.
var codes = [...]struct {
	code  Code
	label string
}{
	{CloseNormal, "normal"},
	{CloseGoingAway, "going_away"},
	{CloseProtocol, "protocol_error"},
	{CloseNoStatus, "no_status"},
	{CloseAbnormal, "abnormal"},
	{CloseInvalidUTF8, "invalid_utf8"},
	{ClosePolicy, "policy_violation"},
	{CloseTooBig, "too_big"},
	{CloseInternal, "internal_error"},
	{CloseTryLater, "try_later"},
	{CloseUnauthorized, "unauthorized"},
	{CloseTokenExpired, "token_expired"},
	{CloseRevoked, "revoked"},
	{CloseSlow, "slow"},
	{CloseRateLimited, "rate_limited"},
}

// Codes returns every code that has a label of its own, ascending.
func Codes() []Code {
	list := make([]Code, len(codes))
	for i, row := range codes {
		list[i] = row.code
	}
	return list
}

// index is the code's row in the table, len(codes) for any other code.
func (c Code) index() int {
	for i := range codes {
		if codes[i].code == c {
			return i
		}
	}
	return len(codes)
}

// String is the code's label: snake_case, and "other" for every code that is not
// in the table, so that peers cannot make labels up.
func (c Code) String() string {
	if i := c.index(); i < len(codes) {
		return codes[i].label
	}
	return "other"
}

// Sendable reports whether an endpoint may put the code into a close frame: the
// registered ones of RFC 6455 and IANA, and 3000 to 4999.
func (c Code) Sendable() bool {
	switch {
	case c >= 3000 && c <= 4999:
		return true
	case c >= 1000 && c <= 1014:
		return c < 1004 || c > 1006
	}
	return false
}

// Errors of a Reason, for errors.Is.
var (
	// ErrPingTimeout says that the peer gave no sign of life after a ping.
	ErrPingTimeout = errors.New("conn: ping timeout")
	// ErrSlow says that the peer took nothing at all for Config.SlowTimeout.
	ErrSlow = errors.New("conn: peer takes nothing")
	// ErrCloseTimeout says that the peer did not answer the close frame, or could
	// not be sent one, within Config.CloseTimeout.
	ErrCloseTimeout = errors.New("conn: close timeout")
	// ErrMessageTimeout says that a message was not complete within Config.MessageTimeout.
	ErrMessageTimeout = errors.New("conn: message timeout")
	// ErrExpelled says that the peer did not take, or not answer, the close frame within
	// half a second, and was given no more time.
	ErrExpelled = errors.New("conn: expelled")
	// ErrFrames says that a handler's Fill gave something that is not a sequence of
	// complete frames.
	ErrFrames = errors.New("conn: incomplete frames to send")
)

// Errors of Engine.Serve, for errors.Is.
var (
	// ErrFull says that there are Config.MaxConnections connections.
	ErrFull = errors.New("conn: at capacity")
	// ErrShutdown says that the engine was shut down.
	ErrShutdown = errors.New("conn: engine was shut down")
)

// Reason says why a connection ended. It is a plain value.
type Reason struct {
	// Code is the code of the close frame that began the end, CloseAbnormal or
	// CloseSlow where there was none.
	Code Code
	// Text is the reason in that close frame: at most 123 bytes of UTF-8, empty for
	// none. A peer's text is foreign input: quote it in logs.
	Text string
	// ByPeer is true if the peer sent the first close frame or its end of the
	// connection went away.
	ByPeer bool
	// Err is what ended the connection other than the closing handshake; nil if
	// that was completed.
	Err error
}

// String is the reason for a log line.
func (r Reason) String() string {
	s := r.Code.String() + " (" + strconv.Itoa(int(r.Code)) + ")"
	if r.ByPeer {
		s += " by peer"
	}
	if r.Text != "" {
		s += fmt.Sprintf(": %q", r.Text)
	}
	if r.Err != nil {
		s += ": " + r.Err.Error()
	}
	return s
}

// maxCloseText is what a control frame leaves for the reason, in bytes.
const maxCloseText = ws.MaxControlFramePayloadSize - 2

// appendClose appends an encoded close frame. CloseNoStatus makes one without a
// code, which is how such a close of the peer is echoed.
func appendClose(dst []byte, code Code, text string) []byte {
	if code == CloseNoStatus {
		return AppendHeader(dst, ws.OpClose, 0)
	}
	dst = AppendHeader(dst, ws.OpClose, 2+len(text))
	dst = binary.BigEndian.AppendUint16(dst, uint16(code))
	return append(dst, text...)
}

// cutText makes any text a valid close reason.
func cutText(text string) string {
	text = strings.ToValidUTF8(text, "\ufffd")
	if len(text) <= maxCloseText {
		return text
	}
	end := maxCloseText
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}
