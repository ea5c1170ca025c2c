//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
)

// process is a child that can be ended and started again. All methods are safe for
// concurrent use.
type process struct {
	// Static after construction.
	role role

	// asked is true once the child was asked to end; starts and crashes count.
	asked           atomic.Bool
	starts, crashes atomic.Int64

	// Guarded by mu.
	mu      sync.Mutex
	command *exec.Cmd
	stdin   io.WriteCloser
	ended   chan struct{}
}

func (p *process) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.command != nil {
		select {
		case <-p.ended:
		default:
			return nil
		}
	}
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("chaos: %w", err)
	}
	text, err := json.Marshal(p.role)
	if err != nil {
		return fmt.Errorf("chaos: role: %w", err)
	}
	out, err := os.OpenFile(p.role.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("chaos: log: %w", err)
	}
	defer func() { _ = out.Close() }()
	command := exec.Command(program)
	command.Env = append(os.Environ(), roleKey+"="+string(text))
	if p.role.Edge != nil && p.role.Edge.Plant != "" {
		command.Env = append(command.Env, plantKey+"="+p.role.Edge.Plant)
	}
	command.Stderr = out
	// A group of its own: what the terminal sends is for the parent to pass on.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if p.stdin, err = command.StdinPipe(); err != nil {
		return fmt.Errorf("chaos: %w", err)
	}
	if err := command.Start(); err != nil {
		return fmt.Errorf("chaos: %s: %w", p.role.Name, err)
	}
	ended := make(chan struct{})
	p.command, p.ended = command, ended
	p.asked.Store(false)
	p.starts.Add(1)
	go func() {
		defer close(ended)
		_ = command.Wait() // How it ended is in its log.
		if !p.asked.Load() {
			p.crashes.Add(1)
		}
	}()
	return nil
}

// signal sends a signal to a child that runs.
func (p *process) signal(sig syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.command != nil {
		_ = p.command.Process.Signal(sig) // It fails where the child has just ended.
	}
}

// end sends a signal that ends the child, and waits for its end.
func (p *process) end(sig syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.command == nil {
		return
	}
	p.asked.Store(true)
	_ = p.command.Process.Signal(sig) // It fails where the child has just ended.
	<-p.ended
	p.command = nil
}
