// Package limit decides whose address a connection has and how much one address, one
// user or one connection may take. It knows neither tokens nor messages, it logs
// nothing, and it starts no goroutine.
//
// # Addresses
//
// Networks are the proxies whose word about a client's address is believed. They can
// speak twice: in a PROXY protocol header ahead of everything (Gate), and in
// X-Forwarded-For (Networks.Client). Key is what is counted by: an IPv6 customer has
// a whole /64, so the /64 counts.
//
// # Promises
//
//  1. Nobody outside the trusted networks chooses his address: neither by a PROXY
//     header, which is then only a malformed request, nor by X-Forwarded-For, which
//     is read from the right and only as far as trusted proxies wrote it.
//  2. A connection takes one half-open place from Accept until Opened or Close, and
//     gives it back exactly once. With GateConfig.HandshakeTimeout it comes back in
//     time whatever the peer and the server do.
//  3. Accept never waits for a peer. It waits for its pace, with what it has not yet
//     accepted in the kernel's backlog, and returns at once when the listener closes.
//  4. One address takes a bounded share: of half-open places, of new connections a
//     second. One listener leaves half-open places to the others. Connections of trusted proxies are the proxies' clients: they have no
//     share until the client's address is known.
//  5. Every refusal has a Reason, is counted under it, and told with its address.
//  6. Memory is bounded: Counter keeps nothing for a key that nobody holds, Failures
//     and the arrivals of a Gate keep the newest keys up to a number.
//  7. Nothing is paid per message but one token bucket (Rate), made at the first one.
//
// # Where a Gate stands
//
// One Gate is shared by all listeners of an edge, below TLS:
//
//	gate, err := limit.NewGate(config)
//	l = gate.Listen(l, report)            // counts, paces, reads PROXY headers
//	l = tls.NewListener(l, tlsConfig)     // where there is TLS
//	go server.Serve(l)                    // net/http
//
// and in the handler, when the WebSocket handshake is over:
//
//	nc, buffered, err := conn.Upgrade(w, r, nil)
//	…
//	nc = limit.Opened(nc)                 // gives the place back
//	engine.Serve(nc, buffered, open)
//
// What Opened returns is the bare *net.TCPConn where there is no TLS, so the engine
// keeps its vectored writes and no wrapper stays in memory. With TLS it is the same
// *tls.Conn; the Conn below it costs a method call a read and a write, and leads to
// the socket by NetConn.
//
// A connection that never becomes a WebSocket (a health probe, a page) holds its
// place until it is closed, also while it idles between requests. The idle timeout of
// net/http should be short on a listener behind a Gate.
//
// The address of a request's peer is in http.Request.RemoteAddr, also with PROXY
// headers; netip.ParseAddrPort reads it, and its zero result (a Unix socket) is what
// Networks.Client takes for a peer without an address.
//
// # Files
//
// networks.go tells who is believed and key.go what is counted by; counter.go,
// failures.go and rate.go are three ways to count; recent.go is the bounded map below
// failures.go and arrivals.go; gate.go is what listeners share, listener.go accepts,
// accepted.go is the connection, proxy.go its PROXY header.
package limit
