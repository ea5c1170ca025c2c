package main

import (
	"strings"
	"testing"
)

func TestExitCodesTellMistakesFromFailures(t *testing.T) {
	const valid = `{"adapter_id":"a","repo":"r","version":"1"}`
	nobody := "--nats=nats://127.0.0.1:1"
	for _, tc := range []struct {
		code int
		args []string
	}{
		{0, []string{"--help"}},
		{0, []string{"version"}},
		{0, []string{"dev", "--help"}},
		{1, []string{"publish", "dhruva", "adapter.activated", valid, nobody, "--timeout=100ms"}},
		{1, []string{"publish", "dhruva", "adapter.activated", "{}", nobody}},
		{2, []string{"publish", "dhruva", "adapter.activated", valid, nobody, "--timeout=0s"}},
		{1, []string{"publish", "dhruva", "no.event", "{}", nobody}},
		{1, []string{"tail", "dhruva", "global", nobody}},
		{1, []string{"tail", "dhruva", "global", "--url=ws://127.0.0.1:1"}},
		{1, []string{"history", "dhruva", "global", nobody}},
		{1, []string{"streams", "ls", nobody}},
		{1, []string{"streams", "diff", nobody}},
		{1, []string{"streams", "apply", nobody}},
		{2, nil},
		{2, []string{"nothing"}},
		{2, []string{"publish", "dhruva", "adapter.activated"}},
		{2, []string{"publish", "nobody", "adapter.activated", valid}},
		{2, []string{"tail", "dhruva", "global", "--since=never"}},
		{2, []string{"tail", "dhruva", "nonsense"}},
		{2, []string{"history", "dhruva", "global", "--limit=0"}},
		{2, []string{"streams", "ls", "nobody"}},
		{2, []string{"dev", "--nats=4222"}},
		{2, []string{"tail", "dhruva", "global", "--creds=/nowhere"}},
	} {
		var out, problems strings.Builder
		code := run(t.Context(), tc.args, stdio{strings.NewReader(""), &out, &problems})
		if code != tc.code || (code == 0) != (problems.Len() == 0) || (code == 0) != (out.Len() > 0) {
			t.Errorf("%v: exit code %d, want %d\n%s%s", tc.args, code, tc.code, &out, &problems)
		}
	}
}

func TestEveryCommandShowsExamples(t *testing.T) {
	for _, command := range []string{"dev", "publish", "tail", "history", "streams apply", "streams diff", "streams ls", "version"} {
		var out strings.Builder
		code := run(t.Context(), append(strings.Fields(command), "--help"), stdio{nil, &out, &out})
		if code != 0 || !strings.Contains(out.String(), "\n    indranet "+command) {
			t.Errorf("%s --help: exit code %d\n%s", command, code, &out)
		}
	}
}
