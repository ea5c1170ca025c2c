// Package gen generates, from the catalogue, everything that repeats it in another
// form. All of it is checked in, and a test that plain "go test" runs compares it
// with what the catalogue says today. "make generate" writes it anew.
//
// Generated so far: the Go structs of the events, one package a service
// (schema/<service>/events_gen.go).
package gen

//go:generate go run ./cmd ..
