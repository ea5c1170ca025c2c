//go:build linux

package good

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/bodhisattva/indranet/bench/attack/peer"
	"github.com/bodhisattva/indranet/bench/attack/stage"
	"github.com/bodhisattva/indranet/bench/storm/swarm"
)

// newcomerPatience is how long a newcomer waits until it has what it came for.
const newcomerPatience = 10 * time.Second

// errCrowded is a handshake without a token that is refused since too many others have
// shown none: whoever shows it in the first frame cannot be told from them, and tries again
// after crowdedPause, half of what the edge asks for. Nobody else ever has to.
var errCrowded = errors.New("HTTP 503")

const crowdedPause = 500 * time.Millisecond

// newcomers come at a rate until ctx ends; the function returns when the last has left.
func (a *Clients) newcomers(ctx context.Context, rate float64, window string) {
	rng := rand.New(rand.NewPCG(a.cfg.Seed, uint64(swarm.Now())))
	var group sync.WaitGroup
	defer group.Wait()
	for n := 0; ; n++ {
		select {
		case <-time.After(time.Duration(rng.ExpFloat64() * float64(time.Second) / rate)):
		case <-ctx.Done():
			return
		}
		began := swarm.Now()
		group.Go(func() {
			// A newcomer that has begun finishes.
			byFrame := n%2 == 0
			err := a.visit(context.WithoutCancel(ctx), n, byFrame)
			for byFrame && errors.Is(err, errCrowded) && swarm.Now()-began < int64(newcomerPatience) {
				a.again(window)
				<-time.After(crowdedPause)
				err = a.visit(context.WithoutCancel(ctx), n, byFrame)
			}
			if err != nil {
				how := "token in the handshake"
				if byFrame {
					how = "token in the first frame"
				}
				a.turnedAway(window, how+": "+err.Error())
				return
			}
			a.entering.Add(began, swarm.Now())
		})
	}
}

// visit comes, reads the last events of a channel, and leaves.
func (a *Clients) visit(ctx context.Context, n int, byFrame bool) error {
	ctx, cancel := context.WithTimeout(ctx, newcomerPatience)
	defer cancel()
	from := netip.AddrFrom4([4]byte{127, 1, 1, byte(1 + n%a.addresses)})
	p, err := a.dial(ctx, from, a.visitor, byFrame)
	if err != nil {
		return err
	}
	defer p.Cut()
	defer context.AfterFunc(ctx, p.Cut)()
	members := stage.Names(a.cfg.Channels, stage.Members)
	ask := fmt.Sprintf(`{"type":"request","event":"subscribe","id":"s","data":{"channel":%q,"since":{"last":5}}}`, members[n%len(members)])
	if err := p.Send(peer.Message(ask)); err != nil {
		return errors.New(cause(err))
	}
	for {
		op, text, err := p.Next()
		if err != nil {
			return errors.New(cause(err))
		}
		if op == peer.Close {
			return fmt.Errorf("close %d", peer.Code(text))
		}
		var m message
		if op != peer.Text || json.Unmarshal(text, &m) != nil {
			continue
		}
		if m.Type == "error" {
			return fmt.Errorf("%s %s", faultRefused, m.ErrorCode)
		}
		if m.Type == "ack" && m.Event == "caught_up" {
			break
		}
	}
	// A goodbye, whose answer nobody needs any more.
	_ = p.Send(peer.Frame(nil, 0x80|peer.Close, []byte{0x03, 0xE8}))
	for op := byte(0); op != peer.Close && err == nil; op, _, err = p.Next() {
		continue
	}
	return nil
}

// cause is the short name of what ended a connection.
func cause(err error) string {
	var timeout net.Error
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "end of file"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "reset"
	case errors.Is(err, net.ErrClosed), errors.Is(err, context.DeadlineExceeded):
		return "not in time"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "not in time"
	}
	return err.Error()
}
