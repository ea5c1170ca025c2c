//go:build linux

// Package swarm is thousands of WebSocket clients in one goroutine. It is written from
// the protocol alone and as lean as it can be, because it shares the processors with
// the edge that it measures: one epoll, one read buffer for all connections, no JSON
// decoding; of an event it reads the envelope's first keys and nothing of the payload.
// It verifies all the same that each client gets every event of its channel after its
// position once, in order, each naming the one before it.
//
//	scan.go       JSON as bytes: the keys that matter
//	frame.go      WebSocket frames, by hand
//	client.go     one client: its position and what it checks
//	line.go       the connection of one client
//	swarm.go      the loop that runs them all
//	order.go      what a swarm can be told, and what it answers
//	feeder.go     publishing at a rate or in bulk, and what must arrive
//	control.go    the same events as NATS delivers them, without an edge
//	histogram.go  latencies
//	clock.go      a clock that processes share
package swarm
