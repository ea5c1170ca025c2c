package request

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodhisattva/indranet/edge/conn"
	"github.com/bodhisattva/indranet/edge/feed"
	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/catalogue"
	"log/slog"
)

// front is a shelf that has lost its front, and whose lookups can be held.
type front struct {
	*shelf
	first uint64
	flush chan struct{}
}

func (l *front) State(ctx context.Context) (feed.State, error) {
	st, err := l.shelf.State(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	st.First = l.first
	return st, err
}

func (l *front) Flush(ctx context.Context) error {
	l.mu.Lock()
	flush := l.flush
	l.mu.Unlock()
	if flush != nil {
		select {
		case <-flush:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// TestAResetNamesTheEpochThatItsPositionBelongsTo: a page says that the front has gone; before
// the client is told, the edge hears of a new epoch, under which the feed is not open yet.
func TestAResetNamesTheEpochThatItsPositionBelongsTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &front{shelf: newShelf(), first: 1}
		set := feed.New(schema.Dhruva, catalogue.Default(), log, log, feed.Config{RingFrames: 2}, slog.New(slog.DiscardHandler))
		server := newServer(set, Limits{})
		p := &peer{t: t}
		p.session = server.Open(&awake{}, Peer{}).(*Session)
		defer func() {
			p.session.Closed(conn.Reason{})
			server.Close()
			set.Close()
		}()
		for range 50 {
			log.act("a", 10)
		}
		p.subscribe("adapter:a", `{"seq":5,"epoch":"e1"}`)
		log.mu.Lock()
		log.first = 40
		log.mu.Unlock()
		p.fill() // The answer; the page is on its way and says that 5 has expired.
		synctest.Wait()
		hold := make(chan struct{})
		log.mu.Lock()
		log.epoch, log.first, log.stored, log.flush = "e2", 1, nil, hold
		log.mu.Unlock()
		for range 45 {
			log.act("a", 10)
		}
		if _, err := set.State(t.Context()); err != nil { // Anybody asks.
			t.Fatal(err)
		}
		p.fill()
		for _, f := range p.got {
			if f.Data.Reason != "" && f.Data.Epoch == "e2" && f.Data.Seq != 0 {
				t.Errorf("%s at %d of %s, which begins at 1: whoever resumes there never gets 1 to %d", f.Data.Reason, f.Data.Seq, f.Data.Epoch, f.Data.Seq)
			}
		}
		close(hold)
		<-time.After(time.Second)
	})
}
