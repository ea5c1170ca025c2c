//go:build unix

package link

import "bytes"

// greeting looks at the beginning of a route, where the server that made it says which
// account it is for. It belongs to one goroutine.
type greeting struct {
	pair *pair
	seen []byte
}

// maxGreeting is more than a server says before anything else, in bytes.
const maxGreeting = 16 << 10

// systemRoute is in what a server says first on a route of the system account.
var systemRoute = []byte(`"route_account":"$SYS"`)

// look passes everything on.
func (g *greeting) look(dst, chunk []byte) []byte {
	if len(g.seen) < maxGreeting {
		g.seen = append(g.seen, chunk...)
		if bytes.Contains(g.seen, systemRoute) {
			g.pair.exempt.Store(false)
			g.seen = make([]byte, maxGreeting)
		}
	}
	return append(dst, chunk...)
}
