package e2e_test

import (
	"testing"
	"time"
)

// TestPageShowsLiveEvents opens the page in a browser and publishes until what is
// published is on it: the page may still be subscribing when it has loaded.
func TestPageShowsLiveEvents(t *testing.T) {
	s := startServer(t)
	browser := browserPeer(t, s)
	const adapter = "e2e-seen-on-the-page"
	browser.tell(t, command{Do: "see", Text: adapter})

	publishing := time.NewTicker(time.Second)
	defer publishing.Stop()
	deadline := time.After(patience)
	for {
		s.publish(t, "dhruva", "adapter.activated", map[string]any{
			"adapter_id": adapter, "repo": "github.com/indra/net", "version": "1.0.0",
		})
		select {
		case r := <-browser.reports:
			if r.Seen != adapter {
				t.Fatalf("the browser tells %+v", r)
			}
			return
		case <-browser.process.ended:
			t.Fatal("the browser ended")
		case <-deadline:
			t.Fatal("the page does not show a live event")
		case <-publishing.C:
		}
	}
}
