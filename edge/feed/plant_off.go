//go:build !plant

package feed

// planted is the fault of this build: none.
const planted = ""
