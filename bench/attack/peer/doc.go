// Package peer is the client's side of a WebSocket connection on which anything may be
// sent, byte by byte. It is written from RFC 6455 alone and shares no code with the
// product. Whoever uses it decides what is right and what is wrong; only what the server
// sends must be frames as a server may send them.
package peer
