package edge_test

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/bodhisattva/indranet/edge"
	"github.com/bodhisattva/indranet/edge/certs"
	"github.com/bodhisattva/indranet/schema"
)

// TestTheMetricsAreThoseOfTheList: testdata/metrics.txt has every name of an edge, with its
// labels, so that none comes or goes unseen. -update writes it.
func TestTheMetricsAreThoseOfTheList(t *testing.T) {
	_, e := guarded(t, func(c *edge.Config) {
		s := c.Services[schema.Dhruva]
		s.Addr, s.TLS = "127.0.0.1:0", certs.Config{Auto: true}
		c.Services[schema.Dhruva] = s
	})
	value := regexp.MustCompile(`="[^"]*"`)
	found := map[string]bool{}
	for _, line := range scraped(t, e) {
		name, _, _ := strings.Cut(line, " ")
		if strings.HasPrefix(name, "indranet_") || strings.HasPrefix(name, "websocket_") {
			found[value.ReplaceAllString(name, "")] = true
		}
	}
	got := strings.Join(slices.Sorted(maps.Keys(found)), "\n") + "\n"
	const list = "testdata/metrics.txt"
	if *update {
		if err := os.WriteFile(list, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the metrics are\n%s\nand those of the list\n%s", got, want)
	}
}
