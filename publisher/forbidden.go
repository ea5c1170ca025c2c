package publisher

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/bodhisattva/indranet/schema"
)

// ForbiddenError is what NATS does not permit a connection. It matches ErrForbidden,
// and below it is the error of NATS.
type ForbiddenError struct {
	// Subject is what the connection may not use.
	Subject string
	// Subscribe tells what it may not do with it: subscribe, else publish.
	Subscribe bool
	// Role is a role of deploy/nats that may, empty if it is not known.
	Role string

	cause error
}

// Error names the subject, and whose key to use.
func (f *ForbiddenError) Error() string {
	action, role := "publish", "a role that may"
	if f.Subscribe {
		action = "subscription"
	}
	if f.Role != "" {
		role = "the role " + f.Role
	}
	return fmt.Sprintf("NATS does not permit a %s to %q; use the key of %s (deploy/nats/README.md says who may what)", action, f.Subject, role)
}

// Is reports whether target is ErrForbidden.
func (f *ForbiddenError) Is(target error) bool { return target == ErrForbidden }

// Unwrap returns the error of NATS.
func (f *ForbiddenError) Unwrap() error { return f.cause }

// violation finds what a permissions violation is about in the server's words.
var violation = regexp.MustCompile(`(?i)permissions violation for (publish|subscription) to ("(?:[^"\\]|\\.)*")`)

// Forbidden returns what NATS does not permit if err, which came to a
// nats.ErrorHandler, says so, and nil for any other error. A publisher asks it itself;
// it is for programs that use a connection for more than that.
func Forbidden(err error) *ForbiddenError {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return nil
	}
	found := violation.FindStringSubmatch(err.Error())
	if found == nil {
		return nil
	}
	subject, bad := strconv.Unquote(found[2])
	if bad != nil {
		return nil
	}
	return &ForbiddenError{Subject: subject, Subscribe: strings.EqualFold(found[1], "subscription"), cause: err}
}

// refusals is what NATS refuses one connection for lack of permission. Nobody answers
// what may not be published, so this is what ends the waiting. It does not refer to
// the publisher, since the connection keeps it.
type refusals struct {
	// Static after construction.
	wake chan struct{}

	// Guarded by mu.
	mu     sync.Mutex
	closed bool
	// asks are the requests that wait.
	asks map[*ask]struct{}
	// events are the subjects of events that were refused, for the keeper.
	events map[string]*ForbiddenError
}

// ask waits for answers to what it publishes to subjects.
type ask struct {
	subjects []string
	role     string
	end      context.CancelCauseFunc
}

// installing lets one publisher at a time put itself before a connection's handler.
var installing sync.Mutex

// hearRefusals returns the refusals of nc, from now on. The handler that nc has hears
// everything as before.
func hearRefusals(nc *nats.Conn) *refusals {
	r := &refusals{wake: make(chan struct{}, 1), asks: make(map[*ask]struct{})}
	installing.Lock()
	defer installing.Unlock()
	was := nc.ErrorHandler()
	nc.SetErrorHandler(func(nc *nats.Conn, sub *nats.Subscription, err error) {
		r.hear(err)
		if was != nil {
			was(nc, sub, err)
		}
	})
	return r
}

// hear takes an error of the connection.
func (r *refusals) hear(err error) {
	f := Forbidden(err)
	if f == nil || f.Subscribe {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	for a := range r.asks {
		if slices.Contains(a.subjects, f.Subject) {
			mine := *f
			mine.Role = a.role
			a.end(&mine)
		}
	}
	if !strings.HasPrefix(f.Subject, storedPrefix) {
		return
	}
	if r.events == nil {
		r.events = make(map[string]*ForbiddenError)
	}
	r.events[f.Subject] = f
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// take returns the subjects of events that were refused since it was called last.
func (r *refusals) take() map[string]*ForbiddenError {
	r.mu.Lock()
	defer r.mu.Unlock()
	events := r.events
	r.events = nil
	return events
}

// close has r hear nothing any more.
func (r *refusals) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed, r.events = true, nil
}

// during returns a context that ends, with a *ForbiddenError as its cause, when NATS
// refuses to take what is published to one of subjects, which role may write. stop must
// be called.
func (r *refusals) during(ctx context.Context, role string, subjects ...string) (_ context.Context, stop func()) {
	ctx, end := context.WithCancelCause(ctx)
	a := &ask{subjects, role, end}
	r.mu.Lock()
	r.asks[a] = struct{}{}
	r.mu.Unlock()
	return ctx, func() {
		r.mu.Lock()
		delete(r.asks, a)
		r.mu.Unlock()
		end(nil)
	}
}

// asking is during for requests about the stream of l.
func (r *refusals) asking(ctx context.Context, l *serviceLog, requests ...string) (_ context.Context, stop func()) {
	subjects := make([]string, len(requests))
	for i, request := range requests {
		subjects[i] = request + l.stream
	}
	return r.during(ctx, string(l.service), subjects...)
}

// What the subjects of package directget's requests and of events begin with.
const (
	apiInfo         = "$JS.API.STREAM.INFO."
	apiMessage      = "$JS.API.STREAM.MSG.GET."
	apiDirect       = "$JS.API.DIRECT.GET."
	storedPrefix    = string(schema.Stored) + "."
	transientPrefix = string(schema.Transient) + "."
)

// refused ends the events whose subjects NATS has refused to take: those on their way,
// and those that wait behind them.
func (p *Publisher) refused() {
	refused := p.refusals.take()
	p.mu.Lock()
	defer p.unlock()
	var found []*pending
	sent := make(map[string]int)
	for _, e := range p.table.byToken {
		if refused[e.Subject] == nil || e.looking {
			continue
		}
		found = append(found, e)
		if e.attempts > 0 && e.outstanding > 0 {
			sent[e.Subject]++
		}
	}
	// From the last to the first, so that none is sent when the one before it ends.
	slices.SortFunc(found, func(a, b *pending) int { return cmp.Compare(b.token, a.token) })
	for _, e := range found {
		if sent[e.Subject] == 1 && e.attempts > 0 && e.outstanding > 0 {
			// Which of several was refused is not said.
			e.outstanding--
		}
		f := *refused[e.Subject]
		f.Role = string(e.service)
		p.finish(e, e.failed(ErrForbidden, &f))
	}
}

// refusedTransient is what NATS has refused to take of transient events, if Flush has not
// told it. The connection keeps only the last one, but has it before the flush ends.
func (p *Publisher) refusedTransient() *ForbiddenError {
	last := p.nc.LastError()
	f := Forbidden(last)
	if f == nil || f.Subscribe || !strings.HasPrefix(f.Subject, transientPrefix) {
		return nil
	}
	f.Role, _, _ = strings.Cut(strings.TrimPrefix(f.Subject, transientPrefix), ".")
	p.mu.Lock()
	defer p.unlock()
	if p.flushed == last { //nolint:errorlint // The very same one, each is made anew.
		return nil
	}
	p.flushed = last
	return f
}

// kindOf is ErrForbidden where cause is, else kind.
func kindOf(kind, cause error) error {
	if errors.Is(cause, ErrForbidden) {
		return ErrForbidden
	}
	return kind
}
