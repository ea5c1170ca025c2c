// Package feed holds what an edge knows of a channel while somebody listens, and
// serves every subscriber as a cursor on the log. It knows neither NATS nor
// WebSockets: the log is an interface (Log), and what comes out are wire.Frames.
// DESIGN.md, beside this file, tells the whole of it.
//
// # The one idea
//
// Every subscriber is a cursor: a feed and a position. A late joiner, a returning
// client, a slow client and a client at the head run the same code, Cursor.Next:
//
//	position within the ring      → frames from the ring, shared by everybody
//	position older than the ring  → a page from the log, at the client's own pace
//	nothing after the position    → the cursor is at the head; the feed will wake it
//
// Nothing is queued for a subscriber, so a slow one costs its position and at
// most one page, and delays nobody.
//
// # The path of an event
//
// A source is one live subscription: of one channel, or of a whole service for the
// views. A live message carries its position and the position before it in the
// same source. track decides, as a pure function, whether it is old (dropped), the
// next one (appended) or proof of a gap; a gap is repaired by reading the log, and
// messages that arrive meanwhile are dropped because the repair reads them too.
// Core NATS says nothing when it loses the last message of a quiet channel, so
// every source is also compared with the log: shortly after it opened, every few
// seconds, and at once after a reconnect or a slow-consumer signal.
//
// An appended event is encoded once: its body is shared by the channel and by all
// views that select it. The feed then tells its sinks (one a shard of connections)
// that it grew; nothing is done per subscriber here.
//
// # Promises
//
//  1. A cursor delivers every event of its feed after its position, ascending,
//     once, whatever the live path lost, repeated or reordered.
//  2. It never skips silently: where the log no longer holds what comes after the
//     position, Next says so by name, once, before anything that follows.
//  3. A read of the log is never believed to be complete unless that is proved: by
//     the chain, by positions without a gap, by a replica that says how far it looked,
//     and by the oldest position of the log after the read. A replica that lags is
//     asked again.
//  4. A storm of cursors at about the same position reads the log once, and never
//     more than two history reads of a service are in flight; repairs have a slot
//     of their own. What cannot be read delays nothing else for ever.
//  5. Memory is bounded: a ring and transient events by count and bytes, a cursor by
//     two pages, of which its owner may allow less. Feeds are bounded by number, and
//     those that nobody is at by a smaller one: where there is no room a new feed is
//     refused, and none that somebody is at notices.
//
// # Ownership
//
// Set owns the sources and feeds of one service and every goroutine that works for
// them; Set.Run returns when all of them have ended. Lock order: Set.mu, then
// source.mu, then Feed.mu. A Cursor belongs to its caller.
package feed
