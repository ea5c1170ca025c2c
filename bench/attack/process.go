//go:build linux

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/bodhisattva/indranet/bench/attack/stage"
)

// process is a child: this program in another role. It is told what to do in lines of
// JSON on its standard input, and answers each with a line on its standard output. It
// belongs to one goroutine.
type process struct {
	name    string
	command *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
	pipe    *os.File // Of out.
	ready   ready
	ended   chan struct{}
}

// ready is what a child says first.
type ready struct {
	// Address is where it can be reached; an edge also says where its operators can.
	Address, Metrics, Admin string
	Error                   string
}

// start runs a child, with more of an environment, and waits until it is ready.
func start(r role, env ...string) (*process, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("attack: %w", err)
	}
	p := &process{name: r.Name, command: exec.Command(program), ended: make(chan struct{})}
	p.command.Env = append(append(os.Environ(), roleKey+"=1"), env...)
	p.command.Stderr = os.Stderr
	// A group of its own: what the terminal sends is for the parent to pass on.
	p.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if p.in, err = p.command.StdinPipe(); err != nil {
		return nil, fmt.Errorf("attack: %w", err)
	}
	out, write, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("attack: %w", err)
	}
	p.command.Stdout = write
	p.pipe = out
	p.out = bufio.NewReaderSize(out, 64<<10)
	err = p.command.Start()
	_ = write.Close() // The child has its own.
	if err != nil {
		_ = out.Close() // The first error says it all.
		return nil, fmt.Errorf("attack: %s: %w", r.Name, err)
	}
	go func() {
		defer close(p.ended)
		_ = p.command.Wait() // How it ended is asked of ProcessState.
	}()
	err = p.exchange(r, &p.ready)
	if err == nil && p.ready.Error != "" {
		err = fmt.Errorf("attack: %s: %s", r.Name, p.ready.Error)
	}
	if err != nil {
		p.end(syscall.SIGKILL)
		return nil, err
	}
	return p, nil
}

// exchange says one thing and takes the answer.
func (p *process) exchange(say, answer any) error {
	text, err := json.Marshal(say)
	if err != nil {
		return fmt.Errorf("attack: %s: %w", p.name, err)
	}
	if _, err := p.in.Write(append(text, '\n')); err != nil {
		return fmt.Errorf("attack: %s: %w", p.name, err)
	}
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("attack: %s does not answer: %w", p.name, err)
	}
	if err := json.Unmarshal(line, answer); err != nil {
		return fmt.Errorf("attack: %s: %w", p.name, err)
	}
	return nil
}

// kill ends the child at once, without waiting for it.
func (p *process) kill() { _ = p.command.Process.Kill() } // It fails where the child has ended.

// end ends the child by a signal and waits for its end.
func (p *process) end(sig syscall.Signal) {
	_ = p.command.Process.Signal(sig) // It fails where the child has ended.
	_ = p.in.Close()
	<-p.ended
	_ = p.pipe.Close()
}

// gone reports whether the child has ended.
func (p *process) gone() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// usage is what the kernel knows of a process.
type usage struct {
	// CPU is user and system time so far; RSS the resident memory in bytes, and Peak
	// the most it ever was. Files counts file descriptors.
	CPU       time.Duration
	RSS, Peak int64
	Files     int
}

// usage reads /proc. The CPU time is exact to 10 ms.
func (p *process) usage() (u usage, err error) {
	dir := fmt.Sprintf("/proc/%d/", p.command.Process.Pid)
	stat, err := os.ReadFile(dir + "stat")
	if err != nil {
		return u, fmt.Errorf("attack: %s: %w", p.name, err)
	}
	// The name, in parentheses, may hold anything; utime and stime are the 12th and
	// 13th fields behind it.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if u.CPU, err = stage.Ticks(fields[11:13]); err != nil {
		return u, err
	}
	status, err := os.ReadFile(dir + "status")
	if err != nil {
		return u, fmt.Errorf("attack: %s: %w", p.name, err)
	}
	for line := range strings.Lines(string(status)) {
		name, rest, _ := strings.Cut(line, ":")
		to := map[string]*int64{"VmRSS": &u.RSS, "VmHWM": &u.Peak}[name]
		if to == nil {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
		if err != nil {
			return u, fmt.Errorf("attack: status: %w", err)
		}
		*to = n << 10
	}
	files, err := os.ReadDir(dir + "fd")
	if err != nil {
		return u, fmt.Errorf("attack: %s: %w", p.name, err)
	}
	u.Files = len(files)
	return u, nil
}
