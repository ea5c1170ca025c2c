// Package stage is what everybody on the edge that is attacked has in common: the
// channels and who may read them, the events with their marks and counters, the
// publisher, and the measuring of latencies.
package stage
