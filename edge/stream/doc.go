// Package stream gives the feeds of an edge what they need of NATS: the log of a
// service (feed.Log) by Direct Get, and its live path (feed.Live) by plain core
// subscriptions. It makes no consumers.
//
// A Bus holds three connections: live messages come over one, history over another,
// because the server answers a Direct Get inside the read loop of the connection
// that asks, and what must not wait behind history over the third: repairs, lookups
// of last positions and of the stream's state. All subscriptions of the live connection deliver into one
// Go channel that one goroutine empties, so a subscription costs no goroutine and
// no buffer of its own.
//
// Core NATS loses messages at times and says so at most once: after a reconnect
// and after a slow-consumer signal the Bus calls Suspect of every service, and the
// feeds compare themselves with the log.
//
// Of every header that begins with "Nats-" only the last value counts, since a
// publisher can send its own in front. A live message without the position that
// the server adds, or stored on another subject than it came on, is forged, dropped and
// counted; so is a transient one that came out of a stream.
//
// The bucket of revocations is created, written and followed here, as keys and opaque
// values. A Follower polls the leader, so that each answer proves that nothing was
// missed.
package stream
