// Package certs is the TLS of an edge's listeners: certificate files that may change
// while the edge runs, a self-signed certificate for development, client
// certificates, and the check that `indranet verify-certs` prints. It knows files and
// crypto/tls, nothing else of the edge.
//
// # A pair and its files
//
// A [Pair] is what one listener shows: a certificate with its chain, the private key
// and, where clients must have certificates too, the authorities that sign them. The
// files are one set: they are read together, believed together or not at all.
//
//	pair, err := certs.New(certs.Config{Files: files, Log: log})    // broken files: the error names them
//	listener = tls.NewListener(listener, pair.ServerTLS())          // one configuration for ever
//	group.Go(func() { pair.Run(ctx) })                              // looks at the files until ctx ends
//	err = pair.Reload()                                             // SIGHUP, certbot's deploy hook
//
// # How a change is seen
//
// Run reads the files every ten seconds and compares what is in them. Times and sizes
// are not asked: Kubernetes swaps a symlink (..data) above the files, certbot swaps the
// files' own symlinks, cp -p keeps the time, and some kilobytes cost nothing. It also
// means that a key that can't be read any more is known at once and not on the night of
// the renewal.
//
// Whoever replaces a certificate writes two files, so a look may see one new and one old,
// or half of one. A change therefore counts when two looks a second apart saw the same.
// Reload does not wait: who calls it has finished writing.
//
// A set that is broken, or not valid at this time while the old one is, is logged once
// and counted, [Pair.Err] tells of it, and the old set is served on.
//
// # What a reload changes
//
// New handshakes get the new certificate; connections that are there live on, TLS never
// looks at the certificate again. A set has one *tls.Config, and with it the keys of its
// session tickets: as long as the files don't change, clients resume their sessions; the
// tickets of an older set open nothing, so a certificate that was replaced (because its
// key was lost, because an authority is no longer trusted) is of no use to anybody who
// connects afterwards. Files that were written anew with the same content change nothing.
//
// # What is spoken
//
// TLS 1.3, and TLS 1.2 with the two suites that the deployment guide names,
// ECDHE-ECDSA-AES128-GCM-SHA256 and ECDHE-RSA-AES128-GCM-SHA256. HTTP/1.1 only: a
// WebSocket's upgrade is HTTP/1.1, and a browser that is offered HTTP/2 would have to
// open a second connection for it. Records are full-sized from the start, which saves
// small ones for a frame that is small anyway.
//
// # What is not done
//
// No OCSP stapling (the authorities have given it up), no encrypted keys (a server has
// nobody to ask for the passphrase), no PKCS #12, no ACME: certbot and cert-manager write
// files. An expired certificate is served, loudly: what is wrong may be the clock, and a
// client that insists refuses it by itself.
//
// Neither an error nor a log line ever holds a part of a key: what parsers say about one
// is replaced by words of this package.
package certs
