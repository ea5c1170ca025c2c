package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/nats-io/nats.go"

	"github.com/bodhisattva/indranet/edge"
	"github.com/bodhisattva/indranet/edge/auth"
	"github.com/bodhisattva/indranet/edge/certs"
	"github.com/bodhisattva/indranet/edge/config"
	"github.com/bodhisattva/indranet/edge/conn"
	"github.com/bodhisattva/indranet/edge/feed"
	"github.com/bodhisattva/indranet/edge/limit"
	"github.com/bodhisattva/indranet/edge/request"
	"github.com/bodhisattva/indranet/edge/stream"
	"github.com/bodhisattva/indranet/schema"
)

// drainTimeout is how long clients of an edge have to say goodbye.
const drainTimeout = 15 * time.Second

// configFlags name the configuration.
type configFlags struct {
	Config []string `short:"c" required:"" type:"existingfile" sep:"none" placeholder:"FILE" help:"The configuration; once for each file, where services have one of their own."`
}

func (c configFlags) load() (config.Config, config.Report, error) {
	return config.Load(c.Config, os.LookupEnv)
}

type edgeCmd struct {
	configFlags
}

// Help is shown by --help.
func (edgeCmd) Help() string {
	return `Serves the services of the configuration until it is ended: at SIGTERM connections are told when to reconnect. SIGHUP reads the certificates again; those that changed are noticed within 10 s anyway. See deploy/config/reference.yaml for every key, and check a file with: indranet check-config.

Examples:

    indranet edge -c deploy/config/production.yaml
    indranet edge -c mahavishnu.yaml -c dhruva.yaml`
}

// Run serves until ctx ends.
func (c *edgeCmd) Run(ctx context.Context, std stdio) (err error) {
	cfg, report, err := c.load()
	if err != nil {
		return err
	}
	logs := newLogs(std.err)
	defer func() { err = errors.Join(err, logs.Close()) }()
	logger := logs.open(cfg.Logging)
	edgeCfg, err := edgeConfig(cfg, logs)
	if err != nil {
		return err
	}
	if err := logs.check(); err != nil {
		return err
	}
	for _, warning := range report.Warnings {
		logger.Warn("configuration", "warning", warning.Error())
	}
	if err := limitMemory(cfg.MemoryLimit); err != nil {
		logger.Warn("nothing guards the memory; set memory_limit", "error", err)
	}
	edgeCfg.Version = buildVersion()
	e, err := edge.New(edgeCfg, logger)
	if err != nil {
		return err
	}
	if err := e.Start(ctx); err != nil {
		return explainStart(err)
	}
	defer func() {
		logger.Info("ending", "at_most", drainTimeout.String())
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
		defer cancel()
		stopped := e.Stop(stopping)
		logger.Info("ended", "error", stopped)
		err = errors.Join(err, stopped)
	}()
	logger.Info("serving", "config", cfg)
	for _, s := range cfg.Services {
		logger.Info("serving", "config", s)
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hangup:
			if err := e.Reload(); err != nil {
				logger.Error("the certificates stay what they were", "error", err)
			} else {
				logger.Info("the certificates were read again")
			}
		}
	}
}

// rareCollections is the GC percentage of an edge that has a memory limit, unless GOGC says
// another: while one collects, events wait. The limit makes collections as frequent as they
// must be.
const rareCollections = 400

// limitMemory tells the collector what the process may use: what is configured, else
// what the container allows, less a tenth for what the collector does not see. Within a
// limit it collects less often. The error
// says why it is not known what the container allows.
func limitMemory(configured int64) error {
	if configured > 0 {
		debug.SetMemoryLimit(configured / 10 * 9)
	} else if _, err := memlimit.Set(); err != nil {
		return fmt.Errorf("the memory limit of the container is not known: %w", err)
	}
	if limited := debug.SetMemoryLimit(-1) < math.MaxInt64; limited && os.Getenv("GOGC") == "" {
		debug.SetGCPercent(rareCollections)
	}
	return nil
}

// explainStart adds to why an edge does not start what to do about it.
func explainStart(err error) error {
	switch {
	case errors.Is(err, nats.ErrNoServers):
		return fmt.Errorf("%w: nothing answers there; start NATS before its edges, or correct nats.url", err)
	case errors.Is(err, nats.ErrAuthorization):
		return fmt.Errorf("%w: NATS does not know the edge; set nats.nkey_seed_file or nats.credentials_file to the key of a user that it knows", err)
	}
	return err
}

// edgeConfig is a configuration as an edge takes it.
func edgeConfig(cfg config.Config, logs *logs) (edge.Config, error) {
	security := stream.Security{
		Creds: cfg.NATS.CredentialsFile, NKey: cfg.NATS.NKeySeedFile,
		CA: cfg.NATS.CAFile, Cert: cfg.NATS.CertFile, Key: cfg.NATS.KeyFile,
	}
	var err error
	networks := func(list []string, what string) limit.Networks {
		n, wrong := limit.ParseNetworks(list)
		if wrong != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", what, wrong))
		}
		return n
	}
	failed := cfg.Limits.FailedAuth
	c := edge.Config{
		NATS: stream.Config{URL: cfg.NATS.URL.Reveal(), Security: security},
		HTTP: cfg.HTTP.Listen, TLS: tlsConfig(cfg.TLS), Services: map[schema.Service]edge.Service{},
		Origins:      cfg.Origins,
		LocalOrigins: cfg.Environment == config.Development,
		Metrics:      edge.Operators{Addr: cfg.Metrics.Listen, Allow: networks(cfg.Metrics.Allow, "metrics.allow")},
		Admin:        edge.Operators{Addr: cfg.Admin.Listen, Allow: networks(cfg.Admin.Allow, "admin.allow")},
		Gate: limit.GateConfig{
			Trusted:     networks(cfg.Proxies.Trusted, "proxies.trusted"),
			MaxHalfOpen: cfg.Limits.HalfOpen, MaxHalfOpenPerAddress: cfg.Limits.HalfOpenPerAddress,
			ArrivalsPerAddress: cfg.Limits.ConnectionsPerAddressPerSecond, Pace: cfg.Limits.HandshakesPerSecond,
			HandshakeTimeout: limit.DefaultGate().HandshakeTimeout,
		},
		Failures:    limit.FailuresConfig{Max: failed.Attempts, Window: failed.Window, Block: failed.Block},
		QueuedBytes: cfg.Limits.QueuedBytes, MemoryLimit: cfg.MemoryLimit, RevocationGrace: cfg.RevocationGrace,
	}
	if cfg.Proxies.Protocol {
		c.Gate.Proxy = limit.ProxyRequired
	}
	for _, s := range cfg.Services {
		c.Services[s.Name] = serviceConfig(s, logs)
	}
	return c, err
}

func serviceConfig(s config.Service, logs *logs) edge.Service {
	w := s.WebSocket
	return edge.Service{
		Addr: w.Addr(), TLS: tlsConfig(s.TLS), Server: s.ServerName, RequireAuth: w.RequireAuth,
		Auth: auth.Config{
			Secret: s.JWT.Secret.Reveal(), Previous: s.JWT.PreviousSecret.Reveal(), Algorithms: s.JWT.Algorithms, JWKS: s.JWT.JWKSURL,
			Issuer: s.JWT.Issuer, Audience: s.JWT.Audience, Leeway: orNone(s.JWT.Leeway), MaxLife: s.JWT.MaxLife,
		},
		Origins:   w.Origins,
		Anonymous: s.AnonymousPermissions, AdminChannels: s.AdminChannels,
		MaxPerUser: w.MaxConnectionsPerUser, MaxPerAddress: w.MaxConnectionsPerAddress,
		Conn: conn.Config{
			MaxMessageBytes: int(w.MaxMessageBytes), MaxConnections: w.MaxConnections,
			MessageTimeout: w.MessageTimeout,
			PingInterval:   w.PingInterval, PingTimeout: w.PingTimeout, CloseTimeout: w.CloseTimeout, SlowTimeout: w.SlowTimeout,
		},
		Limits: request.Limits{
			MaxSubscriptions: w.MaxSubscriptions, PageBytes: int(w.ReplayBytes), ReplayRate: int(w.ReplayRate),
			MessagesPerSecond: w.MessageRateLimit, MaxAge: w.MaxConnectionAge,
		},
		Feed: feed.Config{RingFrames: w.BroadcastQueueSize, MaxFeeds: w.MaxFeeds},
		Log:  logs.open(s.Logging),
	}
}

// orNone makes a configured zero the package's word for none.
func orNone(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

func tlsConfig(t config.TLS) certs.Config {
	if !t.Enabled {
		return certs.Config{}
	}
	c := certs.Config{Auto: t.AutoCert, VerifyClient: t.VerifyClient, Files: certs.Files{ClientCA: t.ClientCAFile}}
	if !t.AutoCert {
		c.Files.Cert, c.Files.Key = t.CertFile, t.KeyFile
	}
	return c
}

type checkConfigCmd struct {
	configFlags
	Print bool `help:"Also print the configuration with all defaults, without its secrets."`
}

// Help is shown by --help.
func (checkConfigCmd) Help() string {
	return `Reads the files as an edge would, with the same environment, and says everything that is wrong with them, with line and column. Exits 1 where an edge would not start. No connection is made, and of the files that the configuration names none but the keys for NATS and the directories of log files are looked at; where these are not good on this machine, that is a warning. For certificates see verify-certs.

Examples:

    indranet check-config -c deploy/config/production.yaml
    indranet check-config -c mahavishnu.yaml -c dhruva.yaml --print`
}

// Run checks.
func (c *checkConfigCmd) Run(std stdio) error {
	cfg, report, err := c.load()
	fmt.Fprint(std.out, report)
	if err != nil {
		return err
	}
	logs := newLogs(io.Discard) // Nothing is logged, so no file is made.
	logs.open(cfg.Logging)
	edgeCfg, err := edgeConfig(cfg, logs)
	if err != nil {
		return err
	}
	for _, name := range logs.names() {
		fmt.Fprintf(std.out, "logs to:  %s\n", name)
	}
	e, err := edge.New(edgeCfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	if err := e.Stop(context.Background()); err != nil {
		return err
	}
	_, err = edgeCfg.NATS.Security.Options()
	if err := errors.Join(err, logs.missing()); err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			fmt.Fprintf(std.out, "warning:  on this machine an edge would not start: %s\n", line)
		}
	}
	if c.Print {
		fmt.Fprint(std.out, cfg)
	}
	fmt.Fprintln(std.out, "the configuration is good")
	return nil
}
