// Package auth decides who a token speaks for and what it allows. It knows neither
// NATS nor connections: a Verifier turns the text of a token into an Identity,
// Permissions answer whether the identity may do something with a channel, and
// Revocations say which identities have been taken back.
//
// # The path of one token
//
//	Verifier.Verify     bounded in size and alphabet, then read by golang-jwt
//	  algorithm         one of the configured ones, before any key is looked up
//	  key               HMAC: the secret and the previous one; else the key of the
//	                    token's kid, out of the JWKS that a goroutine keeps in memory
//	  signature         by golang-jwt; nothing of the claims is looked at before
//	  claims            strict JSON: no key twice, no number as text, bounded lists
//	Identity            user, token id, times, Permissions
//	Revocations.Covers  asked by whoever holds the connection, now and after every change
//	Permissions.Allows  asked for every subscribe and history, and for what is
//	                    subscribed to when a token takes the place of another
//
// # Promises
//
//  1. What is not signed by a configured key with an algorithm of that key's sort is
//     never accepted. A secret never checks an asymmetric signature, a published key
//     never an HMAC, and there is no "none". Keys in a token's header (jwk, jku, x5u,
//     x5c) are never looked at.
//  2. Default deny. A permission of an unknown shape grants nothing, and a view never
//     shows what its channels would refuse.
//  3. No error, Finding or log line holds a token, a signature or a secret. A refusal
//     doesn't repeat anything the token says.
//  4. Verify does no network work for a key that is known. For one that isn't it waits
//     at most three seconds for a fetch that all such callers share, and that unknown
//     keys cause at most once in thirty seconds.
//  5. Without keys nobody is let in: while the JWKS has never been read, or not for a
//     day, tokens are refused as keys_unavailable, and Ready says so. An endpoint that
//     is away for less than a day is noticed by nobody whose key is known.
//  6. A revocation that is kept for RevocationLife outlives every token that it covers,
//     if the issuer writes iat. Without iat the life of a token can only be counted from
//     now, so that one that was refused as lives_too_long may be accepted later.
//
// Verify and Explain run the same checks in the same order, so what an operator is told
// about a token is what an edge does with it.
//
// Everything here is safe for concurrent use.
package auth
