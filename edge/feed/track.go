package feed

// step is what to do with a live message.
type step uint8

const (
	// stepDrop: the message is at or below what has been delivered.
	stepDrop step = iota
	// stepAppend: the message is the next one.
	stepAppend
	// stepRepair: something before the message is missing.
	stepRepair
)

// track decides about a live message at position seq whose predecessor in the
// same source has position prev, when everything of the source up to head has
// been delivered. prev below head is no gap: history was deleted, or head was
// verified past the last event. prev 0 says "the first, or all earlier ones are
// gone": gone, perhaps, before they were delivered, which only the log can tell.
func track(head, seq, prev uint64) step {
	switch {
	case seq <= head:
		return stepDrop
	case prev > head, prev == 0 && seq > head+1:
		return stepRepair
	}
	return stepAppend
}
