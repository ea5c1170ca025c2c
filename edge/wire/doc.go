// Package wire is the WebSocket protocol as bytes: it decodes what clients send
// and encodes what they are sent. It knows nothing of connections, feeds or NATS.
//
// Inbound, Decode turns one message into a Request, whatever spelling the client
// uses. It never panics, never keeps the input, and every refusal is an *Error
// with a code of the protocol's table and a message that shows no internals.
//
// Outbound, an event is encoded once: AppendBody makes the part that is the same
// on every channel, and a Frame adds a small head for the channel it is delivered
// on, including the header of the WebSocket frame. A Frame is read-only for ever
// after it was made, so that any number of connections may share its bytes.
//
// Everything here is safe for concurrent use.
package wire
