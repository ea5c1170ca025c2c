//go:build linux

package foe

import "context"

// kind is one kind of attack: a shot or a stream.
type kind struct {
	name, does string
	// rate is the actions a second that it runs at unless told otherwise: connections
	// of a shot, messages of a stream.
	rate float64
	// addresses is how many it comes from.
	addresses int
	shot      func(ctx context.Context, a *attack, n int) string
	stream    *flow
}

// kinds are all of them. Their order gives them their addresses.
var kinds = []kind{
	{name: "slowloris", does: "a handshake, one byte a second", rate: 16, addresses: 2, shot: slowloris},
	{name: "half_open", does: "connects and says nothing", rate: 45, addresses: 1, shot: halfOpen},
	{name: "half_open_many", does: "the same from many addresses", rate: 15, addresses: 500, shot: halfOpen},
	{name: "idle_http", does: "asks for the page, again and again, slowly, on one connection", rate: 2, addresses: 4, shot: idleHTTP},
	{name: "garbage", does: "noise, TLS, HTTP/2 and other protocols on the port", rate: 30, addresses: 20, shot: garbage},
	{name: "huge_headers", does: "a handshake with 64 KiB of headers", rate: 8, addresses: 20, shot: hugeHeaders},
	{name: "bad_handshake", does: "handshakes that break RFC 6455 or smuggle a second request", rate: 10, addresses: 20, shot: badHandshake},
	{name: "bad_token", does: "handshakes with expired, forged, alien and broken tokens", rate: 20, addresses: 1000, shot: badToken},
	{name: "first_message", does: "no token, but another first message, or none", rate: 20, addresses: 50, shot: firstMessage},
	{name: "brute_few", does: "guesses signatures from three addresses", rate: 30, addresses: 3, shot: guess},
	{name: "brute_many", does: "guesses signatures from many addresses", rate: 20, addresses: 2000, shot: guess},
	{name: "foreign_token", does: "a token for everything of another service", rate: 5, addresses: 20, shot: foreign},
	{name: "churn", does: "connects and leaves: at once, in the handshake, behind it", rate: 100, addresses: 40, shot: churn},
	{name: "churn_one", does: "the same from one address, faster than one may", rate: 130, addresses: 1, shot: churn},
	{name: "origin", does: "handshakes from pages of other origins", rate: 15, addresses: 20, shot: origin},
	{name: "paths", does: "asks the public listener for the operators' pages", rate: 20, addresses: 20, shot: paths},
	{name: "operators", does: "asks the operators' listeners from a network that is not allowed", rate: 15, addresses: 20, shot: operators},
	{name: "hoard", does: "connections of one user, held for ever", rate: 3, addresses: 20, shot: hoard},
	{name: "huge_frame", does: "frames that announce up to 2^63 bytes", rate: 8, addresses: 20, shot: hugeFrame},
	{name: "violation", does: "frames that break RFC 6455", rate: 25, addresses: 20, shot: violate},
	{name: "slow_frames", does: "announces a message of 1 MiB, sends a byte a second", rate: 20, addresses: 5, stream: &flow{conns: 20, before: announce, message: oneByte, mute: true}},
	{name: "message_flood", does: "messages at three times the allowed rate", rate: 900, addresses: 5, stream: &flow{conns: 3, message: flood}},
	{name: "ping_flood", does: "pings of 125 bytes", rate: 2000, addresses: 5, stream: &flow{conns: 2, message: ping}},
	{name: "empty_fragments", does: "fragments without a byte, that never end", rate: 2000, addresses: 5, stream: &flow{conns: 2, before: begun, message: empty}},
	{name: "deep_json", does: "deep nesting, keys twice, halves of characters, strange numbers", rate: 20, addresses: 5, stream: &flow{conns: 1, message: strangeJSON, judge: neverAnswered}},
	{name: "injection", does: "channel names that mean something to NATS, paths or terminals", rate: 30, addresses: 5, stream: &flow{conns: 1, message: injection, judge: neverAnswered}},
	{name: "forbidden", does: "channels, views and requests that the token does not cover", rate: 30, addresses: 5, stream: &flow{conns: 1, message: forbidden, judge: neverAnswered}},
	{name: "history", does: "history of public channels, at the allowed rate", rate: 90, addresses: 5, stream: &flow{conns: 1, message: history}},
	{name: "subscribe_churn", does: "subscribes to ever new channels and unsubscribes", rate: 90, addresses: 5, stream: &flow{conns: 1, message: subscribeChurn}},
	{name: "never_reads", does: "subscribes to busy channels from the start, asks for history, reads nothing", rate: 20, addresses: 5, stream: &flow{conns: 20, before: everything, message: wholeHistory, deaf: true}},
}

// Kind is what can be said of a kind of attack.
type Kind struct {
	Name, Does string
	Rate       float64
}

// Kinds lists all kinds of attack with the actions a second that they run at.
func Kinds() []Kind {
	var list []Kind
	for _, k := range kinds {
		list = append(list, Kind{k.name, k.does, k.rate})
	}
	return list
}
