// Package publisher is the SDK with which a domain service puts its events into
// Indranet's log. A typed event goes in, and a receipt comes back that says where
// in the log it now stands.
//
// # What decides
//
// The event alone decides the service, the channel and the subject: there is no
// way to publish to the wrong place. Durable events are stored in the stream of
// their service; transient ones (cursor.moved, selection.changed,
// hot_reload.triggered) go by core NATS to who listens now, and are never stored.
//
// # Promises
//
//  1. A receipt without an error means that the event is stored, as durably as the
//     stream is configured (replicas, sync_interval), at Receipt.Seq.
//  2. An event is stored at most once. Every attempt carries the same message id,
//     which the server refuses to store twice within its dedup window (10 minutes).
//     No attempt is made later than the window less 30 seconds after the first one.
//  3. An error says what was stored: nothing (ErrInvalid, ErrTooLarge, ErrConflict,
//     ErrUnavailable, ErrForbidden, ErrClosed), or that it cannot be known (ErrUnknownOutcome).
//     See the errors for what to do next.
//  4. Publishing outlasts leader elections: attempts go on, with jittered backoff,
//     until the context's deadline, or 60 seconds where it has none. What NATS does not
//     permit ends at once.
//  5. Events of one channel are stored in the order of the calls that published
//     them, also by PublishAsync and also when attempts are repeated: one event of a
//     channel is on its way at a time, and the others wait behind it. WithUnordered
//     gives this up for one event. An event that ended with ErrUnknownOutcome may come
//     to stand behind later ones. Events of different channels are not ordered.
//  6. Memory is bounded: PublishAsync waits while MaxPending events or
//     MaxPendingBytes bytes are without an answer.
//  7. PublishBatch stores all events of a batch, next to each other, or none.
//
// # Position and epoch
//
// (Receipt.Epoch, Receipt.Seq) is a position: a client that has been given it can
// wait until its subscription has reached it, and so read its own writes. An epoch
// is one incarnation of a stream. The server's acknowledgements carry none, so the
// publisher reads it before the first event of a service and after every
// reconnect, and a receipt carries the one last read.
//
// # Beside it
//
// EnsureStreams and Diff create and compare the streams. Package reader follows a
// channel in a backend, directget reads streams message by message, publishertest stands
// in for a publisher in tests, and natstest runs real servers for them.
//
// # Concurrency
//
// A Publisher is safe for concurrent use and meant to be shared: one per process.
// It starts goroutines of its own, which have ended when Close returns. It does not
// close the connection it was given.
package publisher
