//go:build linux

package foe

import (
	"context"
	"slices"
	"time"
)

// kind is one kind of attack: a shot or a stream.
type kind struct {
	name, does string
	// rate is the actions a second that it runs at unless told otherwise: connections
	// of a shot, messages of a stream.
	rate float64
	// addresses is how many it comes from.
	addresses int
	// users is how many users' tokens it has, fewUsers where it is 0.
	users  int
	shot   func(ctx context.Context, a *attack, n int) string
	stream *flow
	// queues is what the edge may hold for each connection of a kind that reads nothing,
	// once its bound is reached, in bytes.
	queues int
	expect Expectation
}

// fewUsers is enough where what one user may have is not the point.
const fewUsers = 4

// Times in which an edge has to end what does not go on. They are those that it promises
// (5 s for a header and for a token, 30 s for a message, 120 s for who reads nothing) and
// what a busy machine may add.
const (
	endsSoon    = 20 * time.Second
	endsMessage = 45 * time.Second
	tellsOf     = time.Minute // A round that is long enough to see that.
	tellsOfSlow = 3 * time.Minute
)

// Ends that an edge may choose where it cuts instead of telling, and where it has no place.
var (
	cutOff  = []string{"closed", "reset", endRefused}
	noPlace = []string{"closed", "reset", endRefused, "HTTP 429", "HTTP 503", "close 1013", "close 4029"}
	// outside is how those end who bring no good token: also of one that is being checked
	// the edge may say that none came in time.
	outside = append(slices.Clone(noPlace), "AUTH_FAILED, close 4001", "AUTH_FAILED, close 4029", "AUTH_REQUIRED, close 4001")
)

// What a connection may have queued beyond the bound: a page of the log, the last answer
// and a few before it.
const (
	queuesPages = 160 << 10 // Pages and histories of 64 KiB.
	queuesLists = 64 << 10  // Lists of 100 channels.
)

// anyEnd is what ends a message that does not go on.
const anyEnd = "close * | closed | reset"

// kinds are all of them. Their order gives them their addresses.
var kinds = []kind{
	{name: "slowloris", does: "a handshake, one byte a second", rate: 8, addresses: 2, shot: slowloris,
		expect: must("closed").may(cutOff...).within(endsSoon)},
	{name: "half_open", does: "connects and says nothing", rate: 30, addresses: 1, shot: halfOpen,
		expect: must("closed", endRefused).may(cutOff...).within(endsSoon)},
	{name: "half_open_many", does: "the same from many addresses", rate: 6, addresses: 500, shot: halfOpen,
		expect: must("closed").may(cutOff...).within(endsSoon)},
	{name: "idle_http", does: "asks for the page, again and again, slowly, on one connection", rate: 2, addresses: 4, shot: idleHTTP,
		expect: must("closed | reset").within(endsSoon)},
	{name: "garbage", does: "noise, TLS, HTTP/2 and other protocols on the port", rate: 12, addresses: 20, shot: garbage,
		expect: must("HTTP 400").may(cutOff...).may("HTTP 404", "HTTP 408").within(endsSoon)},
	{name: "huge_headers", does: "a handshake with 64 KiB of headers", rate: 4, addresses: 20, shot: hugeHeaders,
		expect: must("HTTP 431").may(cutOff...).within(endsSoon)},
	{name: "bad_handshake", does: "handshakes that break RFC 6455 or smuggle a second request", rate: 4, addresses: 20, shot: badHandshake,
		expect: must("HTTP 400", "HTTP 426").may(noPlace...).may("HTTP 405", "HTTP 501").within(endsSoon)},
	{name: "bad_token", does: "handshakes with expired, forged, alien and broken tokens", rate: 8, addresses: 1000, shot: badToken,
		expect: must("AUTH_FAILED, close 4001").may(outside...).may("TOKEN_EXPIRED, close 4001").within(endsSoon)},
	{name: "first_message", does: "no token, but another first message, or none", rate: 8, addresses: 50, shot: firstMessage,
		expect: must("AUTH_REQUIRED, close 4001").later(tellsOf, "close 1009").may(noPlace...).within(endsSoon)},
	{name: "brute_few", does: "guesses signatures from three addresses", rate: 12, addresses: 3, shot: guess,
		expect: must("HTTP 429").may(outside...).within(endsSoon)},
	{name: "brute_many", does: "guesses signatures from many addresses", rate: 8, addresses: 2000, shot: guess,
		expect: must("AUTH_FAILED, close 4001").may(outside...).within(endsSoon)},
	{name: "foreign_token", does: "a token for everything of another service", rate: 3, addresses: 20, shot: foreign,
		expect: must("FORBIDDEN")},
	{name: "churn", does: "connects and leaves: at once, in the handshake, behind it", rate: 20, addresses: 40, users: 8, shot: churn,
		expect: must("close 1000").may("left *").may(cutOff...)},
	{name: "churn_one", does: "the same from one address, faster than one may", rate: 70, addresses: 1, users: 8, shot: churn,
		expect: must(endRefused).may("left *", "close 1000").may(cutOff...)},
	{name: "origin", does: "handshakes from pages of other origins", rate: 6, addresses: 20, shot: origin,
		expect: must("HTTP 403")},
	{name: "paths", does: "asks the public listener for the operators' pages", rate: 8, addresses: 20, shot: paths,
		expect: must("HTTP 404").may(noPlace...).may("HTTP 307", "HTTP 301", "HTTP 400", "HTTP 405", "HTTP 426")},
	{name: "operators", does: "asks the operators' listeners from a network that is not allowed", rate: 6, addresses: 20, shot: operators,
		expect: must("HTTP 403 | closed | " + endRefused).may(cutOff...)},
	{name: "hoard", does: "connections of one user, held for ever", rate: 2, addresses: 20, users: 1, shot: hoard,
		expect: must("close 1013")},
	{name: "huge_frame", does: "frames that announce up to 2^63 bytes", rate: 4, addresses: 20, shot: hugeFrame,
		expect: must("close 1009").may(cutOff...).may("close 1002").within(endsSoon)},
	{name: "violation", does: "frames that break RFC 6455", rate: 8, addresses: 20, shot: violate,
		expect: must("close 1002", "close 1007").may(cutOff...).within(endsSoon)},
	{name: "slow_frames", does: "announces a message of 1 MiB, sends a byte a second", rate: 20, addresses: 5,
		stream: &flow{conns: 20, before: announce, message: oneByte, mute: true},
		expect: must().later(tellsOf, anyEnd).may("close 1013").within(endsMessage)},
	{name: "half_message", does: "announces 1 MiB, sends nearly all at once and the rest a byte in five seconds", rate: 8, addresses: 10, users: 12, shot: halfMessage,
		expect: must().later(tellsOf, anyEnd).may("close 1013").within(endsMessage)},
	{name: "message_flood", does: "messages at three times the allowed rate", rate: 600, addresses: 5,
		stream: &flow{conns: 2, message: flood},
		expect: must("RATE_LIMIT_EXCEEDED", "RATE_LIMIT_EXCEEDED, close 4029").may("answered", "UNKNOWN_REQUEST", "DECODE_ERROR").may(cutOff...)},
	{name: "many_keys", does: "messages of 1 MiB with 100,000 keys", rate: 0.5, addresses: 5,
		stream: &flow{conns: 1, message: manyKeys},
		// Where many send much at once, those go first that send the most: 1013.
		expect: must("RATE_LIMIT_EXCEEDED | DECODE_ERROR").may("answered", "close 1013", "RATE_LIMIT_EXCEEDED, close *", "DECODE_ERROR, close *")},
	{name: "ping_flood", does: "pings of 125 bytes, no more than may be", rate: 1000, addresses: 5,
		stream: &flow{conns: 2, message: ping}, expect: must(endHeld)},
	{name: "empty_fragments", does: "fragments without a byte, that never end", rate: 500, addresses: 5,
		stream: &flow{conns: 2, before: begun, message: empty},
		expect: must().later(tellsOf, anyEnd).within(endsMessage)},
	{name: "frame_flood", does: "100,000 pings, pongs or empty fragments at once", rate: 0.3, addresses: 5, shot: frameFlood,
		expect: must("close 4029").may(cutOff...)},
	{name: "deep_json", does: "deep nesting, keys twice, halves of characters, strange numbers", rate: 12, addresses: 5,
		stream: &flow{conns: 1, message: strangeJSON, judge: neverAnswered},
		expect: must("DECODE_ERROR", "INVALID_REQUEST").may("INVALID_CHANNEL", "RATE_LIMIT_EXCEEDED")},
	{name: "injection", does: "channel names that mean something to NATS, paths or terminals", rate: 20, addresses: 5,
		stream: &flow{conns: 1, message: injection, judge: neverAnswered},
		expect: must("INVALID_CHANNEL", "FORBIDDEN")},
	{name: "forbidden", does: "channels, views and requests that the token does not cover", rate: 20, addresses: 5,
		stream: &flow{conns: 1, message: forbidden, judge: neverAnswered},
		expect: must("FORBIDDEN", "AUTH_FAILED").may("UNKNOWN_REQUEST")},
	{name: "history", does: "history of public channels, more than is allowed", rate: 24, addresses: 5,
		stream: &flow{conns: 1, message: history},
		// Each costs 16 KiB and 50 events of half a KiB, of 512 KiB a second and 16 s at once.
		expect: must("answered").may("UNAVAILABLE").most("answered", 250, 16)},
	{name: "subscribe_churn", does: "subscribes to ever new channels and unsubscribes", rate: 30, addresses: 5,
		stream: &flow{conns: 1, message: subscribeChurn},
		expect: must("answered").may("UNAVAILABLE", "RATE_LIMIT_EXCEEDED", "RATE_LIMIT_EXCEEDED, close 4029")},
	{name: "feed_churn", does: "subscribes to 1,000 ever new channels and leaves, always the same user", rate: 0.5, addresses: 1, users: 1, shot: feedChurn,
		// It is slowed down, as far as it takes; what it has achieved is judged by the feeds.
		expect: must(endHeld+" | left with * | "+endWaiting).may("close 1013", "UNAVAILABLE", "RATE_LIMIT_EXCEEDED", "TOO_MANY_SUBSCRIPTIONS")},
	{name: "never_reads", does: "subscribes to busy channels from the start, asks for history, reads nothing", rate: 20, addresses: 5, queues: queuesPages,
		stream: &flow{conns: 20, before: everything, message: wholeHistory, deaf: true},
		expect: must().later(tellsOfSlow, "cut").may("cut", "no longer read by the edge")},
	{name: "lists_unread", does: "subscribes to 100 channels, asks for the list of them 24 times, reads nothing", rate: 0.4, addresses: 5, users: 8, queues: queuesLists, shot: listsUnread,
		expect: must(endHeld+" | cut").later(tellsOfSlow, "cut").may("close 1013", "UNAVAILABLE", "RATE_LIMIT_EXCEEDED", endWaiting)},
	{name: "tokenless", does: "connections of ten addresses that never show a token and do not answer the goodbye", rate: 40, addresses: 10, shot: tokenless,
		expect: must("AUTH_REQUIRED, close 4001").may(noPlace...).within(endsSoon)},
}

// Kind is what can be said of a kind of attack.
type Kind struct {
	Name, Does string
	Rate       float64
	// Users is how many users it has weak tokens of, which no other kind has: so it meets
	// its own limits and nobody else's.
	Users int
	// Queues is what the edge may hold for each connection of a kind that reads nothing,
	// once its bound is reached, in bytes.
	Queues int
	Expect Expectation
}

// Kinds lists all kinds of attack with the actions a second that they run at.
func Kinds() []Kind {
	var list []Kind
	for _, k := range kinds {
		if k.users == 0 {
			k.users = fewUsers
		}
		list = append(list, Kind{k.name, k.does, k.rate, k.users, k.queues, k.expect})
	}
	return list
}
