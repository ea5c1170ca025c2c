//go:build unix

// Command chaos breaks a whole deployment for a while and then asks whether every
// subscriber got what it was promised: a cluster of three NATS nodes with replicated
// streams, three edges, publishers that use the SDK, and clients of several tempers.
//
//	go run ./bench/chaos -seed 1 -duration 60s [-clients 100] [-channels 20]
//
// With -only and parts of the names of faults, no others happen: -only paused,lag. One
// fault must be asked for by its name, "limits lowered carelessly": a stream's limit is
// lowered for a moment and lifted. Replicas that do not hear of it, or are killed before
// they wrote down what went, keep or get back their front, for good; then what a reader
// gets depends on who answers, and that shows:
//
//	go run ./bench/chaos -only carelessly,killed
//
// The servers are processes of their own (this program again, in another role), so that
// they can be killed and stopped for real. Between edges and NATS, between publishers
// and NATS, and between clients and edges there are proxies that cut, stall, delay, and
// lose messages of the live path.
//
//	main.go      flags, and what a run is told
//	role.go      what the child processes do
//	process.go   a child process
//	fleet.go     the servers and the links between them
//	ports.go     which ports the servers have
//	publish.go   the publishers of what is stored
//	passing.go   the publisher of what is not
//	book.go      what publishers were told, and what became of the streams
//	fault.go     what breaks, on tracks of their own
//	streams.go   streams that lose their front, their epoch or everything
//	clients.go   who subscribes to what
//	run.go       the run from start to end
//	task.go      what runs beside its caller
//	table.go     what is printed
//	short.go     what is printed of violations
//	plant.go     faults of the product itself, in a build with the tag plant
//
// The seed decides what is published, who subscribes and what breaks in which order.
// How threads and processes run, and hence what exactly happens, it can't decide: a
// violation may need several runs with its seed to show again.
//
// A build with the tag plant can give the edges a fault of their own (-plant NAME), to
// show that the run finds it.
//
// Packages check (is it right?) and client (what did they see?) share no code with the
// product.
package main
