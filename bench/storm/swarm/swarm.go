//go:build linux

package swarm

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Swarm is many clients. New makes it, Run runs it, Do tells it what to do and may be
// called from any goroutine while it runs, one call at a time.
type Swarm struct {
	// Static after construction.
	cfg         Config
	epoll, bell int
	calls       chan call
	done        chan struct{}

	// Owned by the caller of Do.
	feeder  *Feeder
	control *control // nil without.
	stop    chan struct{}
	fed     chan error

	// Owned by Run.
	clients   []client
	buf, text []byte
	handshake []byte
	envelope  envelope
	epoch     string
	plan      plan
	timers    timers
	dials     []int // Clients whose time to connect has come.
	shaking   int   // Clients between the beginning and the end of a handshake.
	waiting   *call
	deadline  int64
	goals     []Goal
	stored    bool
	measuring bool
	from, to  int64
	times     histogram
	report    Report
}

// plan is how to connect.
type plan struct {
	host          string
	address       unix.SockaddrInet4
	subscribe     bool
	pause, jitter time.Duration
}

type call struct {
	order  Order
	answer chan Report
}

// bellMark marks the bell among the indexes of clients.
const bellMark = -1

// New returns a swarm; Run must be called.
func New(cfg Config) (*Swarm, error) {
	if len(cfg.Channels) == 0 {
		return nil, errors.New("swarm: no channels")
	}
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("swarm: epoll: %w", err)
	}
	bell, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("swarm: eventfd: %w", err)
	}
	if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, bell, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: bellMark}); err != nil {
		return nil, fmt.Errorf("swarm: epoll: %w", err)
	}
	s := &Swarm{
		cfg: cfg, epoll: epoll, bell: bell, calls: make(chan call, 1), done: make(chan struct{}),
		clients: make([]client, cfg.Clients), buf: make([]byte, 2*maxFrame),
	}
	for i := range s.clients {
		s.clients[i].fd, s.clients[i].channel = -1, i%len(cfg.Channels)
	}
	return s, nil
}

// Do carries out an order and reports. Wait returns when what it waits for has come;
// the others at once, or, Halt, when everything published is stored.
func (s *Swarm) Do(ctx context.Context, order Order) Report {
	var goals []Goal
	var err error
	switch order.Do {
	case Publish:
		err = s.publish(ctx, order)
	case Halt:
		goals, err = s.halt(ctx)
	case Window:
		if s.control != nil {
			s.control.window(order.From, order.To)
		}
	}
	if err != nil {
		return Report{Error: err.Error()}
	}
	c := call{order, make(chan Report, 1)}
	select {
	case s.calls <- c:
	case <-s.done:
		return Report{Error: "swarm: it has ended"}
	}
	s.ring()
	select {
	case r := <-c.answer:
		r.Goals = goals
		if s.control != nil {
			r.Control = s.control.latency()
		}
		return r
	case <-s.done:
		return Report{Error: "swarm: it has ended"}
	}
}

func (s *Swarm) ring() {
	_, _ = unix.Write(s.bell, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // It fails only where it rings already.
}

func (s *Swarm) publish(ctx context.Context, order Order) (err error) {
	if s.feeder == nil {
		if s.feeder, err = NewFeeder(s.cfg.NATS, s.cfg.Channels); err != nil {
			return err
		}
	}
	if order.Control && s.control == nil {
		if s.control, err = newControl(s.cfg.NATS, s.cfg.Channels); err != nil {
			return err
		}
	}
	s.stop, s.fed = make(chan struct{}), make(chan error, 1)
	go func() { s.fed <- s.feeder.Steady(ctx, order.Rate, order.Size, s.stop) }()
	return nil
}

func (s *Swarm) halt(ctx context.Context) ([]Goal, error) {
	if s.stop == nil {
		return nil, errors.New("swarm: nothing is being published")
	}
	close(s.stop)
	s.stop = nil
	if err := <-s.fed; err != nil {
		return nil, err
	}
	return s.feeder.Settle(ctx)
}

// Run runs the swarm until ctx ends.
func (s *Swarm) Run(ctx context.Context) error {
	defer close(s.done)
	defer context.AfterFunc(ctx, s.ring)()
	defer s.close()
	events := make([]unix.EpollEvent, 1024)
	for ctx.Err() == nil {
		n, err := unix.EpollWait(s.epoll, events, s.patience())
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("swarm: epoll: %w", err)
		}
		for _, event := range events[:max(n, 0)] {
			if event.Fd == bellMark {
				var rung [8]byte
				_, _ = unix.Read(s.bell, rung[:]) // It rang, or it was heard before.
				continue
			}
			if i := int(event.Fd); s.clients[i].generation == event.Pad {
				s.ready(i, event.Events)
			}
		}
		select {
		case c := <-s.calls:
			s.obey(c)
		default:
		}
		now := Now()
		s.expire(now)
		s.connect(now)
		s.answer(now)
	}
	return nil
}

func (s *Swarm) close() {
	for i := range s.clients {
		s.end(i)
	}
	_ = unix.Close(s.bell)
	_ = unix.Close(s.epoll)
	if s.feeder != nil {
		s.feeder.Close()
	}
	if s.control != nil {
		s.control.close()
	}
}

// patience is how long the loop may sleep, in milliseconds; -1 is for ever.
func (s *Swarm) patience() int {
	next := s.deadline
	if s.waiting == nil {
		next = 0
	}
	if len(s.timers) > 0 && (next == 0 || s.timers[0].at < next) {
		next = s.timers[0].at
	}
	if next == 0 {
		return -1
	}
	return int(max(next-Now()+int64(time.Millisecond)-1, 0) / int64(time.Millisecond))
}

// phase moves a client on and keeps the counts.
func (s *Swarm) phase(c *client, to phase) {
	was := c.phase
	c.phase = to
	step := func(n *int, from phase) {
		if was < from && to >= from {
			*n++
		} else if was >= from && to < from {
			*n--
		}
	}
	step(&s.report.Open, open)
	step(&s.report.Caught, caught)
	shaking := func(p phase) bool { return p == dialing || p == upgrading }
	if shaking(was) && !shaking(to) {
		s.shaking--
	} else if !shaking(was) && shaking(to) {
		s.shaking++
	}
}

func (s *Swarm) fault(name string) { count(&s.report.Faults, name) }

func (s *Swarm) first(at *int64, now int64) {
	if *at == 0 {
		*at = now
	}
}

// obey carries out an order.
func (s *Swarm) obey(c call) {
	now := Now()
	r := &s.report
	switch o := c.order; o.Do {
	case Go, Plan:
		if err := s.setPlan(o); err != nil {
			c.answer <- Report{Error: err.Error()}
			return
		}
		r.Losses = 0
		r.FirstLoss, r.FirstDial, r.LastOpen, r.FirstAsk, r.LastAck, r.LastCaught = 0, 0, 0, 0, 0, 0
		for i := range s.clients {
			if o.Do == Go && s.clients[i].phase == away {
				s.later(i, now, o.Pause)
			}
		}
	case Ask:
		for i := range s.clients {
			if s.clients[i].phase == open {
				s.ask(i, now)
			}
		}
	case Leave:
		for i := range s.clients {
			s.end(i)
		}
		s.timers, s.dials = nil, nil
	case Save, Restore:
		r.Complete, r.LastComplete, s.goals, s.stored = 0, 0, nil, false
		for i := range s.clients {
			if o.Do == Save {
				s.clients[i].save()
			} else {
				s.clients[i].restore()
			}
		}
	case Expect:
		s.goals, s.stored = o.Goals, o.Stored
		for i := range s.clients {
			s.reached(&s.clients[i], now)
		}
	case Check:
		for i := range s.clients {
			if fault := s.clients[i].check(s.goals[s.clients[i].channel]); fault != "" {
				s.fault(fault)
			}
		}
	case Freeze, Thaw:
		s.freeze(o.Do == Freeze)
	case Window:
		if s.measuring, s.to = true, o.To; o.To == 0 {
			s.from, s.times = o.From, histogram{}
		}
	case Wait:
		s.waiting, s.deadline = &c, now+int64(o.Timeout)
		return
	case Forget:
		c.answer <- s.status()
		r.Faults, r.Closes, r.Refused, r.Redials = nil, nil, nil, 0
		return
	case Publish, Halt, Status:
	default:
		c.answer <- Report{Error: fmt.Sprintf("swarm: no order is called %q", o.Do)}
		return
	}
	c.answer <- s.status()
}

func (s *Swarm) setPlan(o Order) error {
	to, err := netip.ParseAddrPort(o.Address)
	if err != nil || !to.Addr().Is4() {
		return fmt.Errorf("swarm: %q is no address that it can connect to", o.Address)
	}
	s.plan = plan{
		host: o.Address, address: unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()},
		subscribe: o.Subscribe, pause: o.Pause, jitter: o.Jitter,
	}
	s.handshake = fmt.Appendf(nil, "GET /ws/%s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n", s.cfg.Service, o.Address, key)
	return nil
}

// thawedBuffer is SO_RCVBUF of a client that reads again: that of an ordinary one.
const thawedBuffer = 128 << 10

func (s *Swarm) freeze(frozen bool) {
	for i := range s.clients {
		c := &s.clients[i]
		if c.phase < open || c.frozen == frozen {
			continue
		}
		events := uint32(unix.EPOLLIN)
		if frozen {
			events = 0
		}
		c.frozen = frozen
		if !frozen && s.cfg.ReceiveBuffer > 0 {
			// A small buffer was to keep what is frozen out of the kernel.
			_ = unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, thawedBuffer)
		}
		if err := s.watch(unix.EPOLL_CTL_MOD, i, events); err != nil {
			s.fault(fmt.Sprintf("epoll: %v", err))
		}
	}
}

// status is the report as it stands.
func (s *Swarm) status() Report {
	r := s.report
	r.Faults, r.Closes, r.Refused = maps.Clone(r.Faults), maps.Clone(r.Closes), maps.Clone(r.Refused)
	r.Latency = s.times.latency()
	var at []int64
	for i := range s.clients {
		if s.clients[i].phase == caught {
			at = append(at, s.clients[i].caughtAt)
		}
	}
	if len(at) > 0 {
		slices.Sort(at)
		r.CaughtMid, r.CaughtMost = at[len(at)/2], at[len(at)*99/100]
	}
	return r
}

// answer answers a Wait that has come to its end.
func (s *Swarm) answer(now int64) {
	if s.waiting == nil {
		return
	}
	n := s.report.Open
	switch s.waiting.order.For {
	case Gone:
		n = s.report.Losses
	case Caught:
		n = s.report.Caught
	case Complete:
		n = s.report.Complete
	}
	late := now >= s.deadline
	if n < len(s.clients) && !late {
		return
	}
	r := s.status()
	if late {
		r.Error = fmt.Sprintf("swarm: %d of %d clients are %s after %v", n, len(s.clients), s.waiting.order.For, s.waiting.order.Timeout)
	}
	s.waiting.answer <- r
	s.waiting = nil
}

// timer is something that a client does later: connect, or ask again.
type timer struct {
	at         int64
	client     int
	generation int32
}

// timers is a heap, the next first.
type timers []timer

func (t timers) Len() int           { return len(t) }
func (t timers) Less(i, j int) bool { return t[i].at < t[j].at }
func (t timers) Swap(i, j int)      { t[i], t[j] = t[j], t[i] }

// Push implements heap.Interface.
func (t *timers) Push(x any) { *t = append(*t, x.(timer)) }

// Pop implements heap.Interface.
func (t *timers) Pop() any {
	last := (*t)[len(*t)-1]
	*t = (*t)[:len(*t)-1]
	return last
}

// later has a client do something after a pause and up to the plan's jitter more.
func (s *Swarm) later(i int, now int64, pause time.Duration) {
	if s.plan.jitter > 0 {
		pause += rand.N(s.plan.jitter)
	}
	heap.Push(&s.timers, timer{now + int64(pause), i, s.clients[i].generation})
}

func (s *Swarm) expire(now int64) {
	for len(s.timers) > 0 && s.timers[0].at <= now {
		t := heap.Pop(&s.timers).(timer)
		c := &s.clients[t.client]
		switch {
		case c.generation != t.generation:
		case c.phase == away:
			s.dials = append(s.dials, t.client)
		case c.phase == open:
			s.ask(t.client, now)
		}
	}
}

// connect begins the connections that are due, as many as may be in flight.
func (s *Swarm) connect(now int64) {
	n := 0
	for ; n < len(s.dials) && (s.cfg.Dials == 0 || s.shaking < s.cfg.Dials); n++ {
		if s.clients[s.dials[n]].phase == away {
			s.dial(s.dials[n], now)
		}
	}
	s.dials = s.dials[n:]
}
