// Package check decides whether what subscribers saw agrees with what publishers
// were told. It is pure: a Log of acknowledged events and the History of each
// subscription go in, a Report comes out. It knows the protocol's position contract
// and nothing of the code that keeps it, so that it can't share its mistakes.
//
// # What is known of the log
//
// The stream of a service has lives: when it is deleted and created anew, positions
// begin at 1 again, and nobody publishes meanwhile. A life has one epoch after the
// other. The front of a life may go: a Trim says that from a moment on the first
// position could be as high as First, or that only the newest Keep events are left of
// whatever was sent by then.
//
// # What is checked of every subscription
//
//   - Every acknowledged event of the life that the channel selects, after the position
//     where the subscription began, was delivered: once, ascending, by position. Whether
//     the log still holds it does not matter: what was trimmed before it was delivered
//     must have been told by name, and then the subscription begins anew.
//   - Every prev is the position delivered before it; the first one after an ack is
//     not above the position that the client had.
//   - What stands at a position is what the publisher was told stands there.
//   - The counters that publishers wrote into the payloads of each home channel have
//     no gap and no repetition.
//   - No position was told that the log had not reached: an event stored later would
//     be skipped for ever by who resumes there.
//   - Every refusal of a position, of a resume or in the middle, is true.
//     position_expired at P: by the moment of the answer, the first position could be
//     above P+1. epoch_changed: the ack names an epoch that came after the client's,
//     and that had begun by then. There is no other true reason.
//   - Who is refused begins anew no later than at the first position that the log
//     could have then; so does who asks for "start".
//   - No ack names an epoch that the log never had, had not yet, or that is older than
//     what the client knew. A position of one epoch is not accepted under another. At
//     the end every subscription is under the last epoch.
//   - Between the change of a life and the reset that tells of it, an edge that does not
//     know yet may deliver events of the new life: from the first of them on nothing is
//     checked until the reset, which must come.
//   - Transient events of a user that come after a newer one, on one connection, are
//     counted: their publisher may have gone on over another NATS node while older
//     ones were on their way from the first.
//
// # What is checked of every answer to a history request
//
//   - Its events are those of the channel that are stored between the bounds of the
//     request and of the answer, ascending: none is missing among them, nor at the end
//     from which the request counts. Where more is false, none is missing at all.
//   - Its bounds, its epoch and its reason are true, as those of a subscription.
package check
