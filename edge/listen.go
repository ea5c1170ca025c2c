package edge

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"

	"github.com/bodhisattva/indranet/edge/certs"
)

// Names of the listeners that are no service's.
const (
	sharedListener  = "shared"
	metricsListener = "metrics"
	adminListener   = "admin"
)

// listenAll opens every listener.
func (e *Edge) listenAll() error {
	type one struct {
		name, addr string
		tls        certs.Config
		clients    bool // It is for clients, not for operators.
	}
	list := []one{{sharedListener, e.cfg.HTTP, e.cfg.TLS, true}}
	for _, s := range e.inOrder() { // In order: the first taken port is named.
		list = append(list, one{string(s.name), s.cfg.Addr, s.cfg.TLS, true})
	}
	list = append(list,
		one{metricsListener, e.cfg.Metrics.Addr, certs.Config{}, false},
		one{adminListener, e.cfg.Admin.Addr, certs.Config{}, false})
	for _, l := range list {
		if l.addr == "" {
			continue
		}
		tcp, err := listen(l.name, l.addr)
		if err != nil {
			return err
		}
		e.onStop(func(context.Context) { _ = tcp.Close() })
		listener := tcp
		if l.clients {
			listener = e.gate.Listen(tcp)
		}
		if e.listeners[l.name], err = e.encrypt(l.name, listener, l.tls); err != nil {
			return err
		}
	}
	return nil
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
