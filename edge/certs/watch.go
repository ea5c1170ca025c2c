package certs

import (
	"context"
	"log/slog"
	"time"
)

// settle is how long changed files must stay the same before they are believed: the
// two files of a renewal are written within milliseconds of each other.
const settle = time.Second

// remindEvery is how often the log tells of a certificate that expires soon.
const remindEvery = 24 * time.Hour

// Run looks at the files until ctx ends, takes changes into service, and warns of
// certificates that expire within ExpiryWarning, once a day. It starts no goroutine.
// Where the disk does not answer, Run waits for it, and handshakes do not.
func (p *Pair) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			timer.Reset(p.look(time.Now()))
		}
	}
}

// look looks at the files once and says when to look again.
func (p *Pair) look(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.remind(now)
	s, err := p.read(now)
	if err != nil {
		p.log.Error("no certificate can be made", "err", err)
		return p.cfg.Poll
	}
	if sum := s.sum(); sum != p.seen {
		p.seen = sum
		return min(settle, p.cfg.Poll)
	}
	_ = p.take(s, now) // Logged once, and told by Err.
	return p.cfg.Poll
}

// remind logs what is wrong with the dates of what is served. mu is held.
func (p *Pair) remind(now time.Time) {
	if now.Sub(p.reminded) < remindEvery {
		return
	}
	s := p.serving.Load()
	in := &inspector{CheckOptions: CheckOptions{Now: now}}
	in.validity(s.path, s.chain[0])
	if first := earliest(s.chain); first != s.chain[0] {
		in.validity(s.path, first)
	}
	if len(s.clientCAs) > 0 {
		in.validity(p.cfg.Files.ClientCA, latest(s.clientCAs))
	}
	for _, f := range in.found {
		level := slog.LevelWarn
		switch f.Level {
		case OK:
			continue
		case Error:
			level = slog.LevelError
		}
		p.reminded = now
		p.log.Log(context.Background(), level, "a certificate is outside of its time or soon will be", "file", f.File, "code", f.Code, "finding", f.Text)
	}
}
