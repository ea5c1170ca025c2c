package feed

// Faults that a build with the tag plant has, one at a time, so that it can be shown
// that bench/chaos finds them. Everywhere else planted is an empty constant, and what
// asks for a fault is compiled away.
const (
	// plantNoTailCheck: sources are never compared with the log.
	plantNoTailCheck = "tail-check-off"
	// plantNoChain: a live message is taken for the next one whatever came before it.
	plantNoChain = "chain-repair-off"
	// plantNoDedup: a live message that was delivered already is delivered again.
	plantNoDedup = "dedup-off"
	// plantRingHole: every 50th frame never gets into the ring.
	plantRingHole = "ring-frame-dropped"
	// plantStale: the first answer of a replica is believed.
	plantStale = "stale-replica-believed"
)
