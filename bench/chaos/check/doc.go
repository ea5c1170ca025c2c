// Package check decides whether what subscribers saw agrees with what publishers
// were told. It is pure: a Log of acknowledged events and the History of each
// subscription go in, a Report comes out. It knows the protocol's position contract
// and nothing of the code that keeps it, so that it can't share its mistakes.
//
// # What is checked of every subscription
//
//   - Every acknowledged event that the channel selects, after the position where the
//     subscription began, was delivered: once, ascending, by position.
//   - Every prev is the position delivered before it; the first one after an ack is
//     not above the position that the client had.
//   - What stands at a position is what the publisher was told stands there.
//   - The counters that publishers wrote into the payloads of each home channel have
//     no gap and no repetition.
//   - No position was told that the log had not reached: an event stored later would
//     be skipped for ever by who resumes there.
//   - The log never refused a position (nothing is trimmed and no epoch changes, but
//     for the refusals that the run declares to be true).
package check
