//go:build linux && race

package main

// racing: with the race detector everything costs a multiple, so half as much is done of
// what meets no limit by its rate.
const racing = true
