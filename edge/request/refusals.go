package request

import (
	"slices"
	"sync/atomic"

	"github.com/bodhisattva/indranet/edge/wire"
)

// Refusals counts errors by their code. It is safe for concurrent use.
type Refusals struct {
	counts [len(codes)]atomic.Uint64
}

// codes are the codes that are counted.
var codes = [...]wire.Code{
	wire.AuthRequired, wire.AuthFailed, wire.TokenExpired, wire.Forbidden, wire.RateLimitExceeded, wire.DecodeError, wire.InvalidRequest,
	wire.UnknownRequest, wire.UnknownEvent, wire.InvalidChannel, wire.InvalidEvent, wire.TooManySubscriptions, wire.RoomFull, wire.NotFound,
	wire.Conflict, wire.NoResponder, wire.Timeout, wire.Unavailable, wire.InternalError,
}

// Codes are the codes that are counted: all of the protocol.
func (*Refusals) Codes() []wire.Code { return codes[:] }

// Count is the number of errors with a code.
func (r *Refusals) Count(code wire.Code) uint64 {
	if i := slices.Index(codes[:], code); i >= 0 {
		return r.counts[i].Load()
	}
	return 0
}

func (r *Refusals) add(code wire.Code) {
	if i := slices.Index(codes[:], code); i >= 0 {
		r.counts[i].Add(1)
	}
}
