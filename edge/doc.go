// Package edge is an Indranet edge as a library: New, Start, Stop. An edge
// terminates WebSockets for one or more services and serves every subscription
// from the service's JetStream stream. It keeps nothing that another edge could not
// take over.
//
// # The path of one event
//
//	publisher SDK ─ publish ─▶ stream IND_DHRUVA, subject ev.dhruva.adapter.llamaindex
//	   the server republishes ─▶ live.dhruva.adapter.llamaindex        (core NATS)
//	   stream.Bus      takes it from the one channel of all live subscriptions
//	   feed source     compares its position with the last one: next, old, or a gap
//	   feed            encodes it once and appends the frame to the ring
//	   request.Shard   is told once that the feed grew, marks its subscriptions
//	   conn.Engine     asks each marked connection what there is to send
//	   request.Session asks the cursors: the frame's bytes, shared, one write
//
// # The path of one reconnect
//
//	client              comes back to any edge:
//	                    subscribe {"channel":"adapter:llamaindex","since":{"seq":7,"epoch":"…"}}
//	request.Session     opens the feed: subscribed, flushed, then the log's position read
//	feed.Begin          decides: is everything after 7 still there? the ack says so
//	feed.Cursor at 7    position in the ring: from the ring; older: pages from the log,
//	                    at the client's pace, one read for all who wait together
//	                    at the head: caught_up, and from then on the path above
//
// Where a message of the live path is lost, the next one shows it (its Nats-Last-Sequence
// is above what was delivered), or a comparison with the log every few seconds; it is
// read from the log before anything later is delivered. Where a position can't be
// resumed, the client is told why, by name. feed/DESIGN.md tells how each of these is
// known, and what it costs.
//
// # The door
//
//	limit.Gate          half-open handshakes and new connections, in all and by address;
//	                    PROXY headers of trusted proxies
//	certs.Pair          TLS, renewed without a restart
//	Edge.upgrade        addresses that keep failing, scarce memory, foreign origins: refused
//	                    before anything is made of them; then the handshake's token
//	auth.Verifier       whose token it is and what it grants; auth.Revocations whether it
//	                    was taken back, which stream.Follower learns from a bucket in NATS
//	request.Session     asks auth.Permissions at every subscribe and history, twice; sends
//	                    nothing before a token was accepted nor after it has ended
//	audit.Log           counts and logs every refusal
//
// Package config reads the file of an operator. deploy/SECURITY.md lists what is
// enforced where.
//
// Package wire is the protocol as bytes, conn the engine of connections, feed the
// logs and cursors, stream the way to NATS, request the protocol's requests.
package edge
