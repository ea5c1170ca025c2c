//go:build linux

package swarm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"
)

// Of the opening handshake: the key of RFC 6455's example and what answers it.
const (
	key    = "dGhlIHNhbXBsZSBub25jZQ=="
	accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

// readBytes is how much is read of one connection before the next has its turn.
const readBytes = 256 << 10

// dial begins to connect.
func (s *Swarm) dial(i int, now int64) {
	c := &s.clients[i]
	s.first(&s.report.FirstDial, now)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		s.fault(fmt.Sprintf("socket: %v", err))
		return
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if s.cfg.ReceiveBuffer > 0 {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, s.cfg.ReceiveBuffer)
	}
	c.fd, c.chained = fd, false
	c.generation++
	s.phase(c, dialing)
	err = unix.Connect(fd, &s.plan.address)
	if err != nil && !errors.Is(err, unix.EINPROGRESS) {
		s.lose(i, now)
		return
	}
	// Connected or not, the socket becomes writable when it is known.
	if err := s.watch(unix.EPOLL_CTL_ADD, i, unix.EPOLLOUT); err != nil {
		s.fault(fmt.Sprintf("epoll: %v", err))
	}
}

func (s *Swarm) watch(op, i int, events uint32) error {
	c := &s.clients[i]
	return unix.EpollCtl(s.epoll, op, c.fd, &unix.EpollEvent{Events: events, Fd: int32(i), Pad: c.generation})
}

// ready handles what epoll says of a client.
func (s *Swarm) ready(i int, events uint32) {
	c := &s.clients[i]
	switch {
	case c.phase == dialing:
		s.dialed(i)
	case c.frozen && events&unix.EPOLLIN == 0: // HUP and ERR come unasked.
		s.lose(i, Now())
	default:
		s.receive(i)
	}
}

// dialed goes on when a connection was made, or could not be.
func (s *Swarm) dialed(i int) {
	c := &s.clients[i]
	if problem, err := unix.GetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_ERROR); err != nil || problem != 0 {
		s.lose(i, Now())
		return
	}
	s.phase(c, upgrading)
	if err := s.watch(unix.EPOLL_CTL_MOD, i, unix.EPOLLIN); err != nil {
		s.fault(fmt.Sprintf("epoll: %v", err))
	}
	s.write(i, s.handshake)
}

// write sends a few bytes, which a connection that sends so little always takes.
func (s *Swarm) write(i int, text []byte) {
	if n, err := unix.Write(s.clients[i].fd, text); err == nil && n < len(text) {
		s.fault("a short write")
	} // With an error the connection has ended, which reading tells as well.
}

// receive reads what a client got, once.
func (s *Swarm) receive(i int) {
	c := &s.clients[i]
	kept := copy(s.buf, c.rest)
	n, err := unix.Read(c.fd, s.buf[kept:min(kept+readBytes, len(s.buf))])
	now := Now()
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return
	case err != nil || n <= 0:
		s.lose(i, now)
		return
	}
	s.report.Bytes += uint64(n)
	generation := c.generation
	rest := s.take(i, s.buf[:kept+n], now)
	if c.generation != generation || c.phase == away {
		return
	}
	if cap(c.rest) > 8*len(rest)+4096 {
		c.rest = nil // It was needed for one large frame.
	}
	c.rest = append(c.rest[:0], rest...)
}

// take acts on what came and returns what is not whole yet.
func (s *Swarm) take(i int, data []byte, now int64) (rest []byte) {
	c := &s.clients[i]
	if c.phase == upgrading {
		end := bytes.Index(data, []byte("\r\n\r\n"))
		if end < 0 {
			return data
		}
		head := data[:end]
		if !bytes.HasPrefix(head, []byte("HTTP/1.1 101 ")) || !bytes.Contains(head, []byte(accept)) {
			s.fault("no WebSocket: " + string(head[:min(len(head), 40)]))
			s.lose(i, now)
			return nil
		}
		data = data[end+4:]
		s.phase(c, open)
		c.tries = 0
		s.report.LastOpen = now
		if s.plan.subscribe {
			s.ask(i, now)
		}
	}
	for {
		f, err := nextFrame(data)
		if err != nil {
			s.fault(faultProtocol)
			s.lose(i, now)
			return nil
		}
		if f.size == 0 {
			return data
		}
		data = data[f.size:]
		switch f.op {
		case ws.OpText:
			s.message(i, f.payload, now)
		case ws.OpPing:
			s.write(i, masked(ws.OpPong, f.payload))
		case ws.OpClose:
			s.closed(i, f.payload, now)
			return nil
		default:
			s.fault(faultProtocol)
		}
	}
}

// closed takes a close frame, which may say when to come back.
func (s *Swarm) closed(i int, payload []byte, now int64) {
	code, pause := "none", time.Duration(0)
	if len(payload) >= 2 {
		code = strconv.Itoa(int(binary.BigEndian.Uint16(payload)))
		var ms int64
		if _, err := fmt.Sscanf(string(payload[2:]), "retry_after_ms=%d", &ms); err == nil {
			pause = time.Duration(ms) * time.Millisecond
		}
	}
	count(&s.report.Closes, code)
	s.report.Losses++
	s.first(&s.report.FirstLoss, now)
	s.write(i, masked(ws.OpClose, payload[:min(len(payload), 2)]))
	s.end(i)
	s.again(i, now, pause)
}

// lose takes note that a connection ended by itself, or could not be made.
func (s *Swarm) lose(i int, now int64) {
	c := &s.clients[i]
	if c.phase < open {
		c.tries++
		s.report.Redials++
	} else {
		s.report.Losses++
		s.first(&s.report.FirstLoss, now)
	}
	s.end(i)
	s.again(i, now, 0)
}

// end closes a connection.
func (s *Swarm) end(i int) {
	c := &s.clients[i]
	if c.phase == away {
		return
	}
	_ = unix.Close(c.fd) // Nothing is left to be lost.
	s.phase(c, away)
	c.fd, c.rest, c.frozen = -1, nil, false
	c.generation++
}

// again plans the next connection.
func (s *Swarm) again(i int, now int64, told time.Duration) {
	s.later(i, now, max(told, s.plan.pause, backoff(s.clients[i].tries)))
}

// backoff is the least pause after connections that could not be made.
func backoff(tries int) time.Duration {
	if tries == 0 {
		return 0
	}
	return min(100*time.Millisecond<<min(tries, 10), 10*time.Second)
}

// ask subscribes.
func (s *Swarm) ask(i int, now int64) {
	c := &s.clients[i]
	s.first(&s.report.FirstAsk, now)
	s.phase(c, asking)
	epoch := s.epoch
	if !c.known {
		epoch = ""
	}
	s.text = requestSubscribe(s.text[:0], s.cfg.Channels[c.channel], c.pos, epoch)
	s.write(i, masked(ws.OpText, s.text))
}

// message takes one message.
func (s *Swarm) message(i int, text []byte, now int64) {
	c := &s.clients[i]
	e := &s.envelope
	if !e.parse(text) {
		s.fault(faultProtocol)
		return
	}
	switch string(e.kind) {
	case "event":
		if e.hasSeq {
			s.event(c, e, text, now)
		} else if string(e.event) != "welcome" {
			s.fault(faultProtocol)
		}
	case "response":
		s.subscribed(c, e, now)
	case "ack":
		s.acked(c, e, now)
	case "error":
		s.refused(i, text, now)
	default:
		s.fault(faultProtocol)
	}
}

func (s *Swarm) event(c *client, e *envelope, text []byte, now int64) {
	if c.phase < attached || string(e.room) != s.cfg.Channels[c.channel] {
		s.fault(faultProtocol)
		return
	}
	s.report.Events++
	if fault := c.event(e.seq, e.prev); fault != "" {
		s.fault(fault)
	}
	if s.measuring {
		if at := sentAt(text); at >= s.from && (s.to == 0 || at < s.to) {
			s.times.add(now - at)
		}
	}
	s.reached(c, now)
}

// reached notes whether the client has the last that is expected.
func (s *Swarm) reached(c *client, now int64) {
	if s.goals != nil && !c.complete && c.last >= s.goals[c.channel].Last {
		c.complete = true
		s.report.Complete++
		s.report.LastComplete = now
	}
}

func (s *Swarm) subscribed(c *client, e *envelope, now int64) {
	var p place
	if !p.parse(e.data) || !p.hasSeq || len(p.epoch) == 0 || string(e.event) != "subscribe" || c.phase != asking {
		s.fault(faultProtocol)
		return
	}
	if s.epoch == "" {
		s.epoch = string(p.epoch)
	}
	if !p.recovered || string(p.epoch) != s.epoch || c.known && p.seq != c.pos {
		s.fault(faultUnrecovered)
	}
	c.pos, c.known = p.seq, true
	s.phase(c, attached)
	s.report.LastAck = now
}

func (s *Swarm) acked(c *client, e *envelope, now int64) {
	var p place
	if !p.parse(e.data) || !p.hasSeq {
		s.fault(faultProtocol)
		return
	}
	switch string(e.event) {
	case "caught_up":
		if c.phase == attached {
			s.phase(c, caught)
			c.caughtAt, s.report.LastCaught = now, now
			if s.stored && c.last < s.goals[c.channel].Last {
				s.fault(faultFewer)
			}
		}
		c.pos = max(c.pos, p.seq)
	case "position":
		if c.phase == caught {
			c.pos = max(c.pos, p.seq)
		}
	default: // A reset: the log does not hold what it must.
		s.fault(faultUnrecovered)
	}
}

// refused takes an error, which for a subscribe may mean to ask again.
func (s *Swarm) refused(i int, text []byte, now int64) {
	c := &s.clients[i]
	code := "unnamed"
	for f := (fields{rest: text}); f.next(); {
		if string(f.key) == "error_code" {
			code = string(unquote(f.value))
		}
	}
	if code != "UNAVAILABLE" || c.phase != asking {
		s.fault(faultRefused + " " + code)
		return
	}
	count(&s.report.Refused, code)
	s.phase(c, open)
	s.later(i, now, max(s.plan.pause, 200*time.Millisecond))
}

// count counts one by name.
func count(counts *map[string]int, name string) {
	if *counts == nil {
		*counts = map[string]int{}
	}
	(*counts)[name]++
}
