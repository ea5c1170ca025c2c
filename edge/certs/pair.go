package certs

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultPoll is how often Run looks at the files.
const DefaultPoll = 10 * time.Second

// Config is what a pair can be told.
type Config struct {
	// Files are the certificate, the key and the authorities of clients.
	Files Files
	// Auto makes a self-signed certificate in memory instead of reading Cert and Key,
	// which must be empty: for development. It is for localhost, 127.0.0.1, ::1 and
	// the machine's name, another one at every start.
	Auto bool
	// VerifyClient lets only clients connect that have a certificate of one of the
	// authorities in Files.ClientCA.
	VerifyClient bool
	// Poll is how often Run looks at the files. Default 10 s.
	Poll time.Duration
	// Log gets a line for every set of files that is taken into service, for what is
	// remarkable about it, for every one that is refused, and once a day where a
	// certificate expires soon. Default: nothing is logged.
	Log *slog.Logger
}

// Stats are the counters of a pair since it was made. Safe for concurrent use.
type Stats struct {
	// Loaded counts sets of files that were taken into service, the first included.
	Loaded atomic.Uint64
	// Refused counts changes of the files that were not taken into service.
	Refused atomic.Uint64
}

// Pair is the TLS identity of a listener, kept up to date from files. It is safe for
// concurrent use.
type Pair struct {
	// Static after construction.
	cfg    Config
	log    *slog.Logger
	server *tls.Config
	stats  Stats

	// Replaced as a whole, with mu held; read by handshakes without it.
	serving atomic.Pointer[served]
	refused atomic.Pointer[refusal]

	// Guarded by mu.
	mu       sync.Mutex
	auto     set               // what Auto made
	autoDue  time.Time         // when it makes another
	seen     [sha256.Size]byte // what the last look at the files saw
	tried    [sha256.Size]byte // what was last taken or refused
	reminded time.Time         // when an expiry was last logged
}

// served is a set of files in service. It never changes.
type served struct {
	parsed
	path   string // of the certificate
	sum    [sha256.Size]byte
	config *tls.Config
}

// valid reports whether the server's certificate is valid at a time.
func (s *served) valid(now time.Time) bool {
	return !now.Before(s.chain[0].NotBefore) && !now.After(s.chain[0].NotAfter)
}

// refusal is why what is in the files is not served.
type refusal struct{ err error }

// New reads the files and gives the pair they make. It fails with every problem there
// is, each naming its file (errors.As finds a *FileError). A certificate that has
// expired is no such problem; Run tells of it. Nothing runs until Run is called.
func New(cfg Config) (*Pair, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if cfg.Poll == 0 {
		cfg.Poll = DefaultPoll
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	p := &Pair{cfg: cfg, log: cfg.Log}
	p.server = p.newServer()
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	s, err := p.read(now)
	if err != nil {
		return nil, err
	}
	next, err := load(s)
	if err != nil {
		return nil, err
	}
	p.seen, p.tried = next.sum, next.sum
	p.serve(next, s, now)
	return p, nil
}

// check says what a configuration contradicts itself in.
func (c Config) check() error {
	var errs []error
	if c.Auto && (c.Files.Cert != "" || c.Files.Key != "") {
		errs = append(errs, errors.New("certs: auto_cert makes a certificate and a key: cert_file and key_file must be empty"))
	}
	if !c.Auto && (c.Files.Cert == "" || c.Files.Key == "") {
		errs = append(errs, errors.New("certs: both cert_file and key_file are needed, or auto_cert for development"))
	}
	if c.VerifyClient && c.Files.ClientCA == "" {
		errs = append(errs, errors.New("certs: verify_client needs a file with the authorities of the clients"))
	}
	if c.Poll < 0 {
		errs = append(errs, fmt.Errorf("certs: the files can't be looked at every %v", c.Poll))
	}
	return errors.Join(errs...)
}

// read reads the files, or makes them. mu is held.
func (p *Pair) read(now time.Time) (set, error) {
	if !p.cfg.Auto {
		return readSet(p.cfg.Files, p.cfg.VerifyClient), nil
	}
	// By the wall clock: the other one stands still while a laptop sleeps.
	if now = now.Round(0); !now.Before(p.autoDue) {
		cert, key, err := autoFiles(now)
		if err != nil {
			return set{}, err
		}
		p.auto, p.autoDue = set{cert: cert, key: key}, now.Add(autoUse)
	}
	s := p.auto
	if p.cfg.VerifyClient {
		ca := readFile(p.cfg.Files.ClientCA)
		s.clientCA = &ca
	}
	return s, nil
}

// load makes of a set what can be served, or says everything that is against it.
func load(s set) (*served, error) {
	p, broken := parse(s)
	if len(broken) > 0 {
		errs := make([]error, len(broken))
		for i, finding := range broken {
			errs[i] = &FileError{Finding: finding}
		}
		return nil, errors.Join(errs...)
	}
	return &served{parsed: p, path: s.cert.path, sum: s.sum(), config: newTLS(p)}, nil
}

// Reload reads the files and serves what is in them from the next handshake on. If
// they are broken, what was served before goes on being served, and the error names
// the files. Files with the same content change nothing. It does not wait for a writer
// that has not finished: call it afterwards.
func (p *Pair) Reload() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	s, err := p.read(now)
	if err != nil {
		return err
	}
	p.seen = s.sum()
	return p.take(s, now)
}

// take serves a set if it can be served. What is refused is tried again at every look,
// since it may only be early, and logged and counted once. mu is held.
func (p *Pair) take(s set, now time.Time) error {
	sum, old := s.sum(), p.serving.Load()
	fresh := sum != p.tried
	p.tried = sum
	if sum == old.sum {
		if p.refused.Swap(nil) != nil {
			p.log.Info("the certificate files are again what is served", "cert_file", s.cert.path)
		}
		return nil
	}
	next, err := load(s)
	if err == nil && old.valid(now) && !next.valid(now) {
		leaf := next.chain[0]
		err = &FileError{Finding: Finding{
			Level: Error, Code: choose(now.After(leaf.NotAfter), Expired, NotYetValid), File: s.cert.path,
			Text: fmt.Sprintf("the new certificate is valid from %s to %s, not now, as the one in service is", date(leaf.NotBefore), date(leaf.NotAfter)),
		}}
	}
	if err != nil {
		p.refused.Store(&refusal{err})
		if fresh {
			p.stats.Refused.Add(1)
			p.log.Error("the certificate files can't be served, the certificate of before is served on",
				"cert_file", s.cert.path, "not_after", old.chain[0].NotAfter, "err", err)
		}
		return err
	}
	p.serve(next, s, now)
	return nil
}

// serve takes a set into service. mu is held.
func (p *Pair) serve(next *served, s set, now time.Time) {
	p.serving.Store(next)
	p.refused.Store(nil)
	p.reminded = time.Time{}
	p.stats.Loaded.Add(1)
	leaf := next.chain[0]
	p.log.Info("certificate in service", "cert_file", s.cert.path, "hosts", hosts(leaf), "not_after", leaf.NotAfter,
		"sha256", fmt.Sprintf("%x", sha256.Sum256(leaf.Raw)), "client_authorities", len(next.clientCAs))
	if p.cfg.Auto {
		return
	}
	for _, f := range inspect(s, next.parsed, nil, CheckOptions{Now: now}) {
		if f.Level != OK && !f.Code.timely() {
			p.log.Warn("remarkable certificate file", "file", f.File, "code", f.Code, "finding", f.Text)
		}
	}
}

// Err says why the content of the files is not what is served, nil if it is. It is what
// the last Reload or look of Run found; a health check may show it.
func (p *Pair) Err() error {
	if r := p.refused.Load(); r != nil {
		return r.err
	}
	return nil
}

// Expires is when the first of the certificates expires that are sent to clients: a
// metric. It may be in the past.
func (p *Pair) Expires() time.Time { return earliest(p.serving.Load().chain).NotAfter }

// earliest is the certificate that expires first.
func earliest(chain []*x509.Certificate) *x509.Certificate {
	return slices.MinFunc(chain, func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) })
}

// Certificate is the server's certificate that is served now, for whoever wants to
// show it or, with Auto, to trust it. It must not be changed.
func (p *Pair) Certificate() *x509.Certificate { return p.serving.Load().chain[0] }

// Stats are the pair's counters.
func (p *Pair) Stats() *Stats { return &p.stats }
