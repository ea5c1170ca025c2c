// Package e2e tests the product from outside: the built program, and clients in
// Python, Node and a headless Chromium that share no code with it.
//
// The clients (peers) are remote-controlled: each is a program in peers/ that
// reads commands and writes what it received, both as lines of JSON. What a
// client must see is thus written once, in Go, and holds for every WebSocket
// implementation. peer_test.go describes the commands.
//
// The tests need what deploy/setup.sh installs, and fail by name where it is
// missing.
//
// compat.sh runs the clients that the ecosystem's documents print, unmodified.
package e2e
