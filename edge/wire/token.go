package wire

import (
	"encoding/json"
	"time"
)

// TokenExpiringEvent is the name of the event that warns of the end of a token.
const TokenExpiringEvent = "token.expiring"

// ParseToken reads data of auth and refresh_token. The error never repeats what the
// client sent.
func ParseToken(data json.RawMessage) (token string, refusal *Error) {
	raw := Field(data, "token")
	if len(raw) == 0 || json.Unmarshal(raw, &token) != nil || token == "" {
		return "", Errorf(InvalidRequest, "token must be text")
	}
	return token, nil
}

// identity is the data of the response to auth and refresh_token.
type identity struct {
	Status  string `json:"status"`
	User    string `json:"user_id"`
	Expires string `json:"expires_at"`
}

// Authenticated answers auth. expires is when the token does.
func Authenticated(now time.Time, correlation, user string, expires time.Time) []byte {
	return Response(now, Auth, correlation, identity{"authenticated", user, expires.UTC().Format(TimeFormat)})
}

// Refreshed answers refresh_token.
func Refreshed(now time.Time, correlation, user string, expires time.Time) []byte {
	return Response(now, RefreshToken, correlation, identity{"refreshed", user, expires.UTC().Format(TimeFormat)})
}

// TokenExpiring warns that the connection will be closed unless its token is
// refreshed before expires.
func TokenExpiring(now, expires time.Time) []byte {
	return message{Type: "event", Event: TokenExpiringEvent, Data: struct {
		Expires string `json:"expires_at"`
		Left    int64  `json:"expires_in_ms"`
	}{expires.UTC().Format(TimeFormat), max(expires.Sub(now).Milliseconds(), 0)}}.frame(now)
}

// Slower refuses a message that came too fast. The client may send the next one
// after retry.
func Slower(now time.Time, name, correlation string, retry time.Duration) []byte {
	ms := (retry + time.Millisecond - 1).Milliseconds()
	return message{Type: "error", Event: name, Correlation: correlation,
		ErrorCode: RateLimitExceeded, ErrorText: "too many messages: wait before the next one",
		Data: struct {
			RetryAfter int64 `json:"retry_after_ms"`
		}{ms}}.frame(now)
}

// Ended says that the subscription to a room was ended by the edge, and why.
func Ended(now time.Time, room string, why *Error) []byte {
	return message{Type: "error", Room: room, ErrorCode: why.Code, ErrorText: why.Message}.frame(now)
}
