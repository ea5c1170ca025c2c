// Package request is the protocol of a connection: it answers what clients ask and
// turns their subscriptions into cursors. It knows neither NATS nor HTTP.
//
// # A session
//
// A Session is the conn.Handler of one connection. It keeps no queue of events:
// when the connection can take more, the engine calls Fill, and Fill asks the
// cursors of the subscriptions that have news. Answers and acks are queued, bounded
// by maxAnswers: past that the session stops reading requests until they are sent.
//
// Requests of a connection are handled one after the other, by a goroutine that
// exists only while there are any. Reading further requests stops while
// maxPending wait, so a client cannot make the edge hold more.
//
// # Pages
//
// A subscription that is behind the ring of its feed reads the log in pages. All pages
// of a connection, those that are on their way included, are bounded by Limits.PageBytes:
// where there is no room, a subscription waits for its turn.
//
// # Order
//
// The answer to a subscribe is queued in the same step that makes its cursors
// visible to Fill, and Fill sends answers before events: so the ack comes first,
// then what follows since, then caught_up, then what is live.
//
// # Fan-out
//
// A feed tells each Shard that has subscribers of it once that it grew; the shard
// walks its own list and marks the subscriptions. Nothing is allocated per
// subscriber, and a subscription that is marked already costs one comparison.
package request
