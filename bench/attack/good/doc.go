// Package good is the clients that an edge is there for: each with a token of its own,
// subscribed to channels and views, reading, answering pings and doing nothing wrong.
// Each checks that it gets every event once and in order, by positions, by the chain of
// prev, and by the counters that the publisher writes into the events. Newcomers come
// at a rate, read a little and leave, to see whether the door is still open.
//
//	good.go      all of them, and what they can be told
//	client.go    one client and its connection
//	scan.go      events as bytes
//	ledger.go    what one subscription must get
//	newcomer.go  who comes and goes
//	control.go   the same events as NATS delivers them, without an edge
package good
