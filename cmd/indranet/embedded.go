package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// startTimeout is how long NATS may take to read its data and listen.
const startTimeout = time.Minute

// embedded is a NATS server with JetStream inside this process. It owns its data
// directory: a second one on the same directory is refused.
type embedded struct {
	nats *server.Server
	lock *os.File
	// URL is where clients on this machine connect.
	URL string
}

// startNATS starts a server on dir that listens at addr, a host and port; port 0
// picks one. Stop must be called.
func startNATS(dir, addr string, logger *slog.Logger) (*embedded, error) {
	host, port, err := listenable(addr)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("the data directory cannot be made, set --data: %w", err)
	}
	lock, err := lockFile(filepath.Join(dir, "lock"))
	if errors.Is(err, errLocked) {
		return nil, fmt.Errorf("another indranet dev runs on %s, end it or set --data", dir)
	}
	if err != nil {
		return nil, fmt.Errorf("the data directory cannot be used, set --data: %w", err)
	}
	e := &embedded{lock: lock}
	logs := &natsLogger{logger: logger}
	e.nats, err = server.NewServer(&server.Options{
		ServerName: "indranet-dev", Host: host, Port: port,
		JetStream: true, StoreDir: dir, NoSigs: true,
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("NATS does not start: %w", err), lock.Close())
	}
	e.nats.SetLoggerV2(logs, false, false, false)
	e.nats.Start()
	if why := logs.fatal.Load(); why != nil || !e.nats.ReadyForConnections(startTimeout) {
		e.Stop()
		if why == nil {
			return nil, fmt.Errorf("NATS does not start on %s within %s", dir, startTimeout)
		}
		return nil, fmt.Errorf("NATS does not start on %s: %s", dir, *why)
	}
	logs.fatal.Store(new("started")) // What comes from now on is for the log.
	bound, ok := e.nats.Addr().(*net.TCPAddr)
	if !ok {
		e.Stop()
		return nil, errors.New("NATS does not listen on TCP")
	}
	e.URL = "nats://" + reachable(bound)
	return e, nil
}

// Stop ends the server and gives the directory free. It returns when everything is
// on disk.
func (e *embedded) Stop() {
	e.nats.Shutdown()
	e.nats.WaitForShutdown()
	_ = e.lock.Close() // Closing is what unlocks it; there is nothing in it.
}

// listenable splits addr and finds out whether the port is free, since the server
// itself only logs when it is not.
func listenable(addr string) (host string, port int, err error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return "", 0, fmt.Errorf("NATS cannot listen at %s, set --nats: %w", addr, innermost(err))
	}
	if err := l.Close(); err != nil {
		return "", 0, err
	}
	host, number, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, err
	}
	if number == "0" {
		return host, server.RANDOM_PORT, nil
	}
	bound, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return "", 0, errors.New("not a TCP address")
	}
	return host, bound.Port, nil
}

// reachable is the address at which a client on this machine reaches a listener.
func reachable(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return addr.String()
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(tcp.Port))
}

// natsLogger writes what NATS says into the program's log. Notices are for those who
// debug.
type natsLogger struct {
	logger *slog.Logger
	// fatal is the reason for which the server did not start.
	fatal atomic.Pointer[string]
}

var _ server.Logger = (*natsLogger)(nil)

func (l *natsLogger) Noticef(format string, v ...any) { l.Debugf(format, v...) }
func (l *natsLogger) Tracef(format string, v ...any)  { l.Debugf(format, v...) }

func (l *natsLogger) Debugf(format string, v ...any) {
	l.logger.Debug("nats", "says", fmt.Sprintf(format, v...))
}

func (l *natsLogger) Warnf(format string, v ...any) {
	l.logger.Warn("nats", "says", fmt.Sprintf(format, v...))
}

func (l *natsLogger) Errorf(format string, v ...any) {
	l.logger.Error("nats", "says", fmt.Sprintf(format, v...))
}

// Fatalf is called where the server gives up. The first reason is for who starts it.
func (l *natsLogger) Fatalf(format string, v ...any) {
	if why := fmt.Sprintf(format, v...); !l.fatal.CompareAndSwap(nil, &why) {
		l.Errorf("%s", why)
	}
}
