//go:build linux

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a child: this program in another role. It is told what to do in lines of
// JSON on its standard input, and answers each with a line on its standard output. It
// belongs to one goroutine.
type process struct {
	name    string
	command *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
	// address is what it said when it was ready.
	address string
}

// start runs a child and waits until it is ready.
func start(name string, r role) (*process, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("storm: %w", err)
	}
	r.Name = name
	text, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("storm: role: %w", err)
	}
	p := &process{name: name, command: exec.Command(program)}
	// The role may be longer than an environment variable may be.
	p.command.Env = append(os.Environ(), roleKey+"=1")
	p.command.Stderr = os.Stderr
	// A group of its own: what the terminal sends is for the parent to pass on.
	p.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if p.in, err = p.command.StdinPipe(); err != nil {
		return nil, fmt.Errorf("storm: %w", err)
	}
	out, err := p.command.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("storm: %w", err)
	}
	p.out = bufio.NewReaderSize(out, 64<<10)
	if err := p.command.Start(); err != nil {
		return nil, fmt.Errorf("storm: %s: %w", name, err)
	}
	var ready struct{ Address, Error string }
	if err := p.exchange(json.RawMessage(text), &ready); err != nil {
		p.kill()
		return nil, err
	}
	if ready.Error != "" {
		p.kill()
		return nil, fmt.Errorf("storm: %s: %s", name, ready.Error)
	}
	p.address = ready.Address
	return p, nil
}

// exchange says one thing and takes the answer.
func (p *process) exchange(say, answer any) error {
	text, err := json.Marshal(say)
	if err != nil {
		return fmt.Errorf("storm: %s: %w", p.name, err)
	}
	if _, err := p.in.Write(append(text, '\n')); err != nil {
		return fmt.Errorf("storm: %s: %w", p.name, err)
	}
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("storm: %s does not answer: %w", p.name, err)
	}
	if err := json.Unmarshal(line, answer); err != nil {
		return fmt.Errorf("storm: %s: %w", p.name, err)
	}
	return nil
}

// signal sends a signal.
func (p *process) signal(sig syscall.Signal) { _ = p.command.Process.Signal(sig) } // It fails where the child has ended.

// kill ends the child at once.
func (p *process) kill() { p.end(syscall.SIGKILL) }

// end ends the child by a signal and waits for its end.
func (p *process) end(sig syscall.Signal) {
	if p == nil || p.command.ProcessState != nil {
		return
	}
	p.signal(sig)
	_ = p.in.Close()
	_ = p.command.Wait() // How it ended is what was asked for.
}

// usage is what the kernel knows of a process.
type usage struct {
	// CPU is user and system time so far; RSS the resident memory in bytes, and Peak
	// the most it ever was.
	CPU       time.Duration
	RSS, Peak int64
}

// clockTick is the unit of times in /proc: USER_HZ, which is 100 on every Linux that Go
// runs on.
const clockTick = 10 * time.Millisecond

// usage reads /proc. The CPU time is exact to 10 ms.
func (p *process) usage() (u usage, err error) {
	dir := fmt.Sprintf("/proc/%d/", p.command.Process.Pid)
	stat, err := os.ReadFile(dir + "stat")
	if err != nil {
		return u, fmt.Errorf("storm: %w", err)
	}
	// The name, in parentheses, may hold anything; utime and stime are the 12th and
	// 13th fields behind it.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	for _, field := range fields[11:13] {
		n, err := strconv.Atoi(field)
		if err != nil {
			return u, fmt.Errorf("storm: stat: %w", err)
		}
		u.CPU += time.Duration(n) * clockTick
	}
	status, err := os.ReadFile(dir + "status")
	if err != nil {
		return u, fmt.Errorf("storm: %w", err)
	}
	for line := range strings.Lines(string(status)) {
		name, rest, _ := strings.Cut(line, ":")
		to := map[string]*int64{"VmRSS": &u.RSS, "VmHWM": &u.Peak}[name]
		if to == nil {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
		if err != nil {
			return u, fmt.Errorf("storm: status: %w", err)
		}
		*to = n << 10
	}
	return u, nil
}

// counters are an edge's metrics, by name with labels.
type counters map[string]float64

// scrape reads an edge's metrics.
func scrape(address string) (counters, error) {
	response, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		return nil, fmt.Errorf("storm: %w", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, fmt.Errorf("storm: %w", err)
	}
	m := counters{}
	for line := range strings.Lines(string(text)) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		if m[name], err = strconv.ParseFloat(value, 64); err != nil {
			return nil, fmt.Errorf("storm: metrics: %w", err)
		}
	}
	if len(m) == 0 {
		return nil, errors.New("storm: the edge has no metrics")
	}
	return m, nil
}

// of is a metric of the service that everything here is about.
func (m counters) of(name string) float64 { return m[fmt.Sprintf("%s{service=%q}", name, service)] }
