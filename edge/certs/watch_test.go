package certs

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodhisattva/indranet/edge/certs/certstest"
)

// run runs a pair until the end of the test's bubble.
func run(t *testing.T, p *Pair) {
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { p.Run(ctx) })
	t.Cleanup(func() {
		stop()
		running.Wait()
	})
	synctest.Wait()
}

// pass lets time pass, and waits until all that is due has been done.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestAChangeIsServedWithinOneLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := certstest.NewCA(t, certstest.Options{})
		first, second := ca.Leaf(t, certstest.Options{}), ca.Leaf(t, certstest.Options{})
		p, dir := pairOf(t, first, nil)
		run(t, p)
		pass(time.Minute)
		wantServed(t, p, first)
		second.Write(t, dir)
		pass(DefaultPoll + settle)
		wantServed(t, p, second)
		if loaded, refused := p.Stats().Loaded.Load(), p.Stats().Refused.Load(); loaded != 2 || refused != 0 {
			t.Errorf("%d loaded, %d refused", loaded, refused)
		}
	})
}

func TestASwappedSecretOfKubernetesIsServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := certstest.NewCA(t, certstest.Options{})
		log := &journal{}
		leaf := ca.Leaf(t, certstest.Options{})
		mount := certstest.NewMount(t, leaf)
		p := newPair(t, Config{Files: Files{Cert: mount.Cert(), Key: mount.Key()}, Poll: 2 * time.Second, Log: log.logger()})
		run(t, p)
		for range 3 {
			wantServed(t, p, leaf)
			leaf = ca.Leaf(t, certstest.Options{})
			mount.Update(leaf)
			pass(2*time.Second + settle)
		}
		wantServed(t, p, leaf)
		if log.lines("level=ERROR") != 0 {
			t.Errorf("logged:\n%s", log)
		}
	})
}

func TestARenewalThatIsBeingWrittenIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := certstest.NewCA(t, certstest.Options{})
		first := ca.Leaf(t, certstest.Options{})
		second := ca.Intermediate(t, certstest.Options{}).Leaf(t, certstest.Options{})
		log := &journal{}
		p, dir := pairOf(t, first, log)
		run(t, p)
		config := func() any {
			c, _ := p.ServerTLS().GetConfigForClient(nil)
			return c
		}
		before := config()
		// A look falls between the two files, and one sees a chain without its end.
		pass(DefaultPoll - settle/4)
		certstest.WriteFile(t, filepath.Join(dir, "tls.crt"), block("CERTIFICATE", second.Cert().Raw))
		pass(settle / 2)
		certstest.WriteFile(t, filepath.Join(dir, "tls.key"), second.KeyPEM(t))
		pass(settle)
		certstest.WriteFile(t, filepath.Join(dir, "tls.crt"), second.CertPEM())
		if config() != before {
			t.Error("half a renewal is served")
		}
		pass(2 * settle)
		wantServed(t, p, second)
		if got := len(p.serving.Load().chain); got != 2 {
			t.Errorf("%d certificates are served, want 2", got)
		}
		if log.lines("level=ERROR") != 0 || p.Stats().Refused.Load() != 0 {
			t.Errorf("a renewal is reported as broken:\n%s", log)
		}
	})
}

func TestBrokenFilesAreLoggedOnceAChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := certstest.NewCA(t, certstest.Options{})
		first, second := ca.Leaf(t, certstest.Options{}), ca.Leaf(t, certstest.Options{})
		log := &journal{}
		p, dir := pairOf(t, first, log)
		run(t, p)
		for i, broken := range []string{"", "garbage", "more garbage"} {
			certstest.WriteFile(t, filepath.Join(dir, "tls.key"), []byte(broken))
			pass(time.Hour)
			wantServed(t, p, first)
			if got := p.Stats().Refused.Load(); p.Err() == nil || int(got) != i+1 || log.lines("level=ERROR", "tls.key") != i+1 {
				t.Errorf("after %d changes: %d refused, %v\n%s", i+1, got, p.Err(), log)
			}
		}
		first.Write(t, dir)
		pass(time.Hour)
		if p.Err() != nil || p.Stats().Loaded.Load() != 1 || log.lines("again what is served") != 1 {
			t.Errorf("after the old files are back: %v\n%s", p.Err(), log)
		}
		second.Write(t, dir)
		pass(time.Hour)
		wantServed(t, p, second)
	})
}

func TestACertificateOfTomorrowIsServedTomorrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := certstest.NewCA(t, certstest.Options{})
		first := ca.Leaf(t, certstest.Options{})
		log := &journal{}
		p, dir := pairOf(t, first, log)
		run(t, p)
		second := ca.Leaf(t, certstest.Options{NotBefore: time.Now().Add(24 * time.Hour)})
		second.Write(t, dir)
		pass(23 * time.Hour)
		wantServed(t, p, first)
		if p.Err() == nil || log.lines("level=ERROR") != 1 {
			t.Errorf("%v\n%s", p.Err(), log)
		}
		pass(2 * time.Hour)
		wantServed(t, p, second)
		if p.Err() != nil {
			t.Error(p.Err())
		}
	})
}

func TestAnExpiryIsWarnedOfOnceADayFromThirtyDaysOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const day = 24 * time.Hour
		ca := certstest.NewCA(t, certstest.Options{})
		log := &journal{}
		dir := t.TempDir()
		cert, key := ca.Leaf(t, certstest.Options{NotAfter: time.Now().Add(40*day + time.Hour)}).Write(t, dir)
		p := newPair(t, Config{Files: Files{Cert: cert, Key: key}, Poll: time.Minute, Log: log.logger()})
		run(t, p)
		want := func(soon, expired int) {
			t.Helper()
			if log.lines("level=WARN", "code=expires_soon", "tls.crt") != soon || log.lines("level=ERROR", "code=expired", "tls.crt") != expired {
				t.Fatalf("want %d warnings and %d errors:\n%s", soon, expired, log)
			}
		}
		pass(10 * day)
		want(0, 0)
		pass(2 * time.Hour)
		want(1, 0)
		pass(day)
		want(2, 0)
		// Another certificate, the same trouble: said at once.
		ca.Leaf(t, certstest.Options{NotAfter: time.Now().Add(2*day + time.Hour)}).Write(t, dir)
		pass(2 * time.Minute)
		want(3, 0)
		pass(2 * day)
		want(5, 0)
		pass(day)
		want(5, 1)
		pass(2 * day)
		want(5, 3)
		ca.Leaf(t, certstest.Options{}).Write(t, dir)
		pass(10 * day)
		want(5, 3)
	})
}

func TestTheEndOfAnythingInUseIsWarnedOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		soon := certstest.Options{NotAfter: time.Now().Add(100 * time.Hour)}
		ca := certstest.NewCA(t, certstest.Options{})
		log := &journal{}
		dir := t.TempDir()
		below := ca.Intermediate(t, certstest.Options{Name: "below", NotAfter: soon.NotAfter})
		cert, key := below.Leaf(t, certstest.Options{}).Write(t, dir)
		clients := certstest.NewCA(t, certstest.Options{Name: "clients", NotAfter: soon.NotAfter}).Write(t, dir)
		run(t, newPair(t, Config{Files: Files{Cert: cert, Key: key, ClientCA: clients}, VerifyClient: true, Log: log.logger()}))
		pass(time.Hour)
		if log.lines("code=expires_soon") != 2 || log.lines("below", "tls.crt", "4 days") != 1 || log.lines("clients", "ca.crt", "4 days") != 1 {
			t.Errorf("logged:\n%s", log)
		}
	})
}

func TestAutoMakesAnotherBeforeItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &journal{}
		p := newPair(t, Config{Auto: true, Poll: time.Minute, Log: log.logger()})
		run(t, p)
		first := p.Certificate()
		pass(autoUse - time.Hour)
		if !p.Certificate().Equal(first) {
			t.Error("another certificate too early")
		}
		pass(2 * time.Hour)
		second := p.Certificate()
		if second.Equal(first) {
			t.Error("no other certificate in time")
		}
		pass(autoUse)
		if p.Certificate().Equal(second) || p.Expires().Before(time.Now()) {
			t.Error("no third certificate in time")
		}
		if p.Stats().Loaded.Load() != 3 || log.lines("level=INFO") != 3 || log.lines("") != 3 {
			t.Errorf("%d made, logged:\n%s", p.Stats().Loaded.Load(), log)
		}
	})
}

func TestRunEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithTimeout(t.Context(), 25*time.Second)
		defer stop()
		start := time.Now()
		newPair(t, Config{Auto: true}).Run(ctx)
		if took := time.Since(start); took != 25*time.Second {
			t.Errorf("it ended after %v", took)
		}
	})
}
