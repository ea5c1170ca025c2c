// Package certstest makes certificates for tests: an authority, what it signs, and the
// files. Nothing of it outlives the test, and none of it is fit for anything else.
//
//	ca := certstest.NewCA(t, certstest.Options{})
//	cert, key := ca.Leaf(t, certstest.Options{}).Write(t, t.TempDir())
//	client := &tls.Config{RootCAs: ca.Pool()}
//
// Everything that fails ends the test.
package certstest
