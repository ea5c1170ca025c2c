package edge

import (
	"errors"
	"time"

	"github.com/bodhisattva/indranet/edge/auth"
	"github.com/bodhisattva/indranet/edge/stream"
)

// freshFor is how old the last word about revocations may be while the edge counts as
// ready.
const freshFor = time.Second

// errRevocations says that the edge cannot tell which tokens are revoked.
var errRevocations = errors.New("it is not known which tokens are revoked")

// followRevocations begins to keep what is revoked. Nobody is let in whom a change covers
// from then on, and who is there already is closed.
func (e *Edge) followRevocations() {
	e.follower = e.bus.FollowRevocations(e.ctx, func(key string, value []byte, deleted bool) {
		if deleted {
			e.revoked.Delete(key)
			return
		}
		revocation, err := auth.ParseRevocation(key, value)
		if err != nil {
			e.logger.Error("a revocation cannot be read and is ignored", "key", key, "error", err)
			return
		}
		e.revoked.Put(revocation)
		for _, s := range e.services {
			s.server.Recheck()
		}
	})
}

// revocationsFresh says why it is not known now which tokens are revoked, nil where it
// is, or where no tokens are taken.
func (e *Edge) revocationsFresh() error {
	if e.follower == nil || e.follower.Fresh(time.Now(), freshFor) {
		return nil
	}
	if err := e.follower.Err(); errors.Is(err, stream.ErrNoRevocations) {
		return err
	}
	return errRevocations
}
