// Package schema names the things every part of Indranet speaks of: services,
// events, channels, and the subjects of NATS that carry them.
//
// A service is one of the seven publishers of the ecosystem. An event is a typed
// fact that a service publishes. A channel is the order, the history and the
// permission of related events, such as "workflow:42". Each durable event is
// stored once, on the subject of its home channel, in the stream of its service.
//
// The mapping between channels and subjects lives in subject.go and nowhere else.
// The events themselves are one package a service below this one; the table they
// are generated from is package catalogue.
//
// Everything here is immutable and safe for concurrent use. The package imports
// nothing but the standard library.
package schema
