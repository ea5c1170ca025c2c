//go:build unix

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/bodhisattva/indranet/publisher"
	"github.com/bodhisattva/indranet/schema"
)

const (
	// childEnv makes this program the server: the directory for its data.
	childEnv = "BENCH_PUBLISH_SERVER"
	// cpuSubject is where the server tells the CPU time that it has used.
	cpuSubject = "bench.cpu"
)

// serveIfChild runs the server and never returns, if this process was started for it.
func serveIfChild() {
	dir := os.Getenv(childEnv)
	if dir == "" {
		return
	}
	if err := serve(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// serve runs a server until standard input ends, and prints its address.
func serve(dir string) error {
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true,
		JetStream: true, StoreDir: dir, JetStreamMaxStore: 8 << 30,
	})
	if err != nil {
		return err
	}
	srv.Start()
	defer srv.WaitForShutdown()
	defer srv.Shutdown()
	if !srv.ReadyForConnections(10 * time.Second) {
		return fmt.Errorf("the server is not ready")
	}
	nc, err := nats.Connect("", nats.InProcessServer(srv))
	if err != nil {
		return err
	}
	defer nc.Close()
	_, err = nc.Subscribe(cpuSubject, func(m *nats.Msg) {
		_ = m.Respond([]byte(strconv.FormatInt(int64(cpu()), 10)))
	})
	if err != nil {
		return err
	}
	fmt.Println(srv.ClientURL())
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// cpu is the CPU time of this process so far, user and system.
func cpu() time.Duration {
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		return 0
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

// child is a server in a process of its own, so that this process' CPU time is the
// client's alone.
type child struct {
	nc   *nats.Conn
	stop func()
}

// startChild runs a server with the stream of mahavishnu, and connects to it.
func startChild(ctx context.Context, dir string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := &child{stop: func() {
		_ = in.Close()
		_ = cmd.Wait()
	}}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err == nil {
		c.nc, err = nats.Connect(strings.TrimSpace(line))
	}
	if err == nil {
		_, err = publisher.EnsureStreams(ctx, c.nc, publisher.StreamConfig{}, schema.Mahavishnu)
	}
	if err != nil {
		c.stop()
		return nil, err
	}
	stop := c.stop
	c.stop = func() {
		c.nc.Close()
		stop()
	}
	return c, nil
}

// cpu is the CPU time of the server so far.
func (c *child) cpu() (time.Duration, error) {
	m, err := c.nc.Request(cpuSubject, nil, 5*time.Second)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(string(m.Data), 10, 64)
	return time.Duration(n), err
}
