package edge

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"golang.org/x/time/rate"

	"github.com/bodhisattva/indranet/edge/audit"
	"github.com/bodhisattva/indranet/edge/certs"
	"github.com/bodhisattva/indranet/edge/limit"
	"github.com/bodhisattva/indranet/schema"
)

// Names of the listeners that are no service's.
const (
	sharedListener  = "shared"
	metricsListener = "metrics"
	adminListener   = "admin"
)

// maxOperators bounds the connections of a listener for operators.
const maxOperators = 64

// acceptErrorEvery is the time between two lines that say that a listener cannot accept
// connections.
const acceptErrorEvery = 10 * time.Second

// listenAll opens every listener.
func (e *Edge) listenAll() error {
	type one struct {
		name, addr string
		tls        certs.Config
		gate       *limit.Gate
		refused    audit.Event
	}
	operators := func(name string, o Operators) one {
		// No field of it can be out of range.
		gate, _ := limit.NewGate(limit.GateConfig{Allow: &o.Allow, MaxHalfOpen: maxOperators})
		return one{name, o.Addr, certs.Config{}, gate, audit.AdminRefused}
	}
	list := []one{{sharedListener, e.cfg.HTTP, e.cfg.TLS, e.gate, audit.HandshakeRefused}}
	for _, s := range e.inOrder() { // In order: the first taken port is named.
		list = append(list, one{string(s.name), s.cfg.Addr, s.cfg.TLS, e.gate, audit.HandshakeRefused})
	}
	list = append(list, operators(metricsListener, e.cfg.Metrics), operators(adminListener, e.cfg.Admin))
	for _, l := range list {
		if l.addr == "" {
			continue
		}
		tcp, err := listen(l.name, l.addr)
		if err != nil {
			return err
		}
		e.onStop(func(context.Context) { _ = tcp.Close() })
		gated := l.gate.Listen(tcp, e.report(l.name, l.refused))
		e.gated[l.name] = gated
		if e.listeners[l.name], err = e.encrypt(l.name, gated, l.tls); err != nil {
			return err
		}
	}
	return nil
}

// report says what becomes of connections that a listener does not return.
func (e *Edge) report(name string, refused audit.Event) limit.Report {
	service := ""
	if e.services[schema.Service(name)] != nil {
		service = name
	}
	failing := rate.NewLimiter(rate.Every(acceptErrorEvery), 1)
	return limit.Report{
		Refused: func(from netip.Addr, reason limit.Reason) {
			e.audit.Record(refused, service, string(reason), slog.Any("address", from), slog.String("listener", name))
		},
		Failed: func(err error) {
			if failing.Allow() {
				e.logger.Error("connections cannot be accepted", "listener", name, "error", err)
			}
		},
	}
}

// encrypt puts TLS over a listener where it is configured.
func (e *Edge) encrypt(name string, l net.Listener, cfg certs.Config) (net.Listener, error) {
	if cfg.Files.Cert == "" && cfg.Files.Key == "" && !cfg.Auto {
		return l, nil
	}
	cfg.Log = e.logger.With("listener", name)
	pair, err := certs.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("edge: the listener of %s: %w", name, err)
	}
	e.pairs[name] = pair
	e.wg.Go(func() { pair.Run(e.ctx) })
	return tls.NewListener(l, pair.ServerTLS()), nil
}

// onlyHTTP1 is what a WebSocket handshake is made with.
func onlyHTTP1() *http.Protocols {
	var p http.Protocols
	p.SetHTTP1(true)
	return &p
}
