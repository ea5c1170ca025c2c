//go:build linux

// Command storm measures what happens when many subscribers come back at once, and when
// many take nothing at all, with server, edges and clients in processes of their own:
//
//	go run ./bench/storm storm    [flags]   an edge is killed, its clients go to another one
//	go run ./bench/storm return   [flags]   clients with missed events come to a fresh edge
//	go run ./bench/storm distance [flags]   one client returns from further and further back
//	go run ./bench/storm frozen   [flags]   clients that stop reading, beside healthy ones
//
// Each prints a table with its goals beside the figures, and ends with an exit code that
// is not 0 when anything was lost, repeated, out of order, or a goal was missed. What it
// does meanwhile goes to standard error. The flag -h lists what can be chosen.
//
// The machine is shared by everything that is measured and everything that measures, so
// the table also says how much CPU each process used.
//
//	main.go        modes and flags
//	role.go        what the child processes do
//	process.go     a child process, and what the kernel knows of it
//	deployment.go  the server, the edges and the swarms of a run
//	storm.go comeback.go distance.go frozen.go  the modes
//	verdict.go     faults, goals and tables
//
// Package swarm is the clients.
package main
