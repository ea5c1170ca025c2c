// Package directget reads messages out of JetStream streams without a consumer:
// batches of them from any replica (Direct Get), one from the leader, and a
// stream's state.
//
// # What an answer is worth
//
// Any replica answers a Direct Get, also one that lags: right after an
// acknowledgement on three replicas about every tenth read does not see the message
// yet. End.NumPending of 0 therefore means "no more on this replica". A read that
// must reach a known sequence is repeated until it does, and at last asked of
// Leader, which does not lag.
//
// Core NATS may lose a message of an answer without saying so. Get notices, since
// each message names its predecessor within the answer, and fails with
// ErrIncomplete; what was delivered until then is right, and the caller goes on
// behind it.
//
// A start that the stream has trimmed away is not announced either: compare with
// Info.FirstSeq, before and after the read.
//
// The cost of catching up one subject is about 60 ns for every message that the
// stream holds between the start and its end, whether it matches or not, and
// 5.7 µs a message with a wildcard.
package directget
