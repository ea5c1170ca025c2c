// Package foe is the attackers: every kind of attack at a rate of its own, from addresses
// of its own, all in one process. It knows the public channels, a few weak tokens and
// nothing secret.
//
// An attack is a shot, a connection that does its harm and reports how it ended, or a
// stream, connections that are kept open and send message after message. Whatever comes
// back is searched for what an attacker must not get; that is a breach.
//
//	foe.go       all of them, and what they can be told
//	kinds.go     the table of kinds
//	expect.go    what must come of a kind, and what must not
//	attack.go    one kind in one round: its pace, its addresses, its outcomes
//	shot.go      shots at their pace
//	stream.go    streams at their pace
//	door.go      shots at who is not in yet: handshakes, tokens, paths
//	frames.go    what breaks RFC 6455, or is only too much of it
//	requests.go  requests of who is in with a weak token
//	hold.go      what makes the edge hold much: messages, answers, feeds, places
package foe
