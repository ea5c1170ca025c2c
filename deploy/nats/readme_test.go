package nats_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/bodhisattva/indranet/schema"
)

func TestREADMENamesEveryVariableAndService(t *testing.T) {
	text, err := os.ReadFile("README.md")
	must(t, err)
	readme := string(text)
	for _, file := range []string{"accounts.conf", "nats-server.conf", "cluster.conf"} {
		conf, err := os.ReadFile(file)
		must(t, err)
		for _, name := range regexp.MustCompile(`\$INDRANET_[A-Z_]+`).FindAllString(string(conf), -1) {
			if !strings.Contains(readme, "`"+name[1:]+"`") {
				t.Errorf("%s needs %s, of which README.md says nothing", file, name[1:])
			}
		}
	}
	for _, service := range schema.Services() {
		if n := strings.Count(readme, " "+string(service)); n < 2 || !strings.Contains(readme, " "+service.Stream()) {
			t.Errorf("%s is missing in one of the loops", service)
		}
	}
}
