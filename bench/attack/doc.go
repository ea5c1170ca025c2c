//go:build linux

// Command attack lets 1,000 good clients live on an edge that is configured for the
// internet while that edge is attacked in every way at once, and asks whether they notice:
//
//	go run ./bench/attack -duration 10m
//	go run ./bench/attack -only brute,slowloris -rate 2,history=0.5 -seed 7
//
// A NATS server, one edge, a publisher, the good clients and the attackers are processes
// of their own (this program again, in another role). The edge requires tokens, has
// admin-only channels and all the limits that a Gate, Failures and the connection know.
// On loopback everybody can choose where he comes from: good clients come from
// 127.1.0.0/16, attackers from 127.64.0.0/10, each kind of attack from addresses and with
// users of its own, so that what limits an address or a user bites whom it is there for.
//
// # Rounds
//
// A rehearsal tells how much CPU the attackers need. Then come a calm round, the attack for
// the whole duration, and another calm round. In the calm rounds a burner uses as much
// CPU a second as the attackers did, in as short pieces: the comparison then says what
// the attack does to the edge, and not what it is to share two cores with somebody. Both
// yield to the other processes (nice 10), as attackers on machines of their own would.
// Latency counts in seconds in which the host of a virtual machine gave it its processors;
// the table tells those apart. Everything else counts always.
// In all rounds the publisher publishes at the same rate and the good clients stay
// connected; newcomers among them come, read and leave. A newcomer who shows its token in
// the first frame, as browsers do, cannot be told before from who has none: where too many
// have none it may be refused with HTTP 503, and tries again for up to ten seconds. The
// table says how often; nobody else may be refused at all.
//
// # Verdict
//
// The run fails, with an exit code that is not 0 and a line for each reason, where
//
//   - a good client lost, repeated or reordered an event, by positions, by the chain of
//     prev or by the publisher's own counters, or lost its connection, or a newcomer
//     could not get in;
//   - the p99 of the good clients' latency in the attack is more than twice that of the
//     calm rounds, or too few seconds were quiet to say so;
//   - an attacker got what is not for him: an event that his token does not cover (every
//     frame that reaches an attacker is searched for the marks that the publisher puts
//     into its events), a subscription, a page of the operators', or entry with a token
//     that is none;
//   - an attack did not end as it must: each kind has ends of which it must show each, ends
//     that it may show, and no others, and most a time within which the edge must be rid of
//     it; and each kind must have acted. Ends that take the edge long, such as the 30 s that
//     a message may take, are judged in runs that are long enough;
//   - more was queued for clients than the edge's bound allows, or it had too many feeds;
//   - the edge's resident memory passed its bound, or the edge ended, or its log speaks of
//     a panic or holds a secret;
//   - anything is left a while after the attack: half-open places, connections,
//     subscriptions, feeds, queued bytes, goroutines, file descriptors.
//
// The table before says at which rate every kind of attack really ran and what the edge
// did with it, how all processes shared the cores, what the edge counted as security
// events, and how large it became.
//
// TestGoodClientsHoldDuringAnAttack is a short run of the same, with fewer clients and lower
// rates and, since it shares its machine with other tests and runs under the race
// detector, wider bounds for latency and memory, which stand there.
//
//	main.go      flags
//	settings.go  what a run is told, and what follows from it
//	role.go      what the child processes do
//	edge.go      the edge, configured as one that faces the internet
//	process.go   a child process, and what the kernel knows of it
//	metrics.go   what the edge counts
//	fleet.go     the processes of a run
//	run.go       the run from start to end
//	rest.go      what an edge holds, at rest and after
//	verdict.go   what must hold
//	table.go     what is printed
//	burner.go    CPU time for nothing
//
// Package peer is a WebSocket client that may break every rule; stage knows the
// channels and publishes; good is the good clients, foe the attackers.
package main
