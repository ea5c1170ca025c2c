package config

import (
	"slices"
	"strings"
	"testing"
)

func TestExpand(t *testing.T) {
	env := vars{"A": "a", "EMPTY": "", "NESTED": "${A} $${A}", "YAML": "x\nsecret: y", "_x9": "under"}
	for _, test := range []struct {
		text, want string
		vars, used string
		unset      string
		written    bool
		problem    string
	}{
		{text: "", want: ""},
		{text: "plain $A $(A) {A}", want: "plain $A $(A) {A}", written: true},
		{text: "${A}", want: "a", vars: "A", used: "A"},
		{text: "<${A}-${_x9}>", want: "<a-under>", vars: "A _x9", used: "A _x9"},
		{text: "${A:-b}", want: "a", vars: "A", used: "A", written: true},
		{text: "${A}${B:-b}", want: "ab", vars: "A B", used: "A", written: true},
		{text: "${B:-b}", want: "b", vars: "B", written: true},
		{text: "${B:-}", want: "", vars: "B"},
		{text: "${EMPTY}", want: "", vars: "EMPTY", used: "EMPTY"},
		{text: "${EMPTY:-b}", want: "b", vars: "EMPTY", written: true},
		{text: "${B:-a:-b$}", want: "a:-b$", vars: "B", written: true},
		{text: "${B}${C}", want: "", vars: "B C", unset: "B C"},
		{text: "${NESTED}", want: "${A} $${A}", vars: "NESTED", used: "NESTED"},
		{text: "${YAML}", want: "x\nsecret: y", vars: "YAML", used: "YAML"},
		{text: "$${A}", want: "${A}", written: true},
		{text: "$$${A}", want: "$${A}", written: true},
		{text: "$$", want: "$$", written: true},
		{text: "${A", problem: "has a ${ without its }"},
		{text: "${}", problem: "neither ${NAME} nor"},
		{text: "${9A}", problem: "neither ${NAME} nor"},
		{text: "${A-b}", problem: "neither ${NAME} nor"},
		{text: "${A:?b}", problem: "neither ${NAME} nor"},
		{text: "${ A }", problem: "neither ${NAME} nor"},
		{text: "${B:-${A}}", problem: "a variable within the default of another one"},
		{text: "${" + strings.Repeat("A", 201) + "}", problem: "neither ${NAME} nor"},
	} {
		e := expand(test.text, env.lookup)
		if test.problem != "" {
			if !strings.Contains(e.problem, test.problem) {
				t.Errorf("%q: problem %q, want %q", test.text, e.problem, test.problem)
			}
			continue
		}
		if e.problem != "" || e.text != test.want || strings.Join(e.vars, " ") != test.vars || strings.Join(e.used, " ") != test.used ||
			strings.Join(e.unset, " ") != test.unset || e.written != test.written {
			t.Errorf("%q: %+v, want %+v", test.text, e, test)
		}
	}
}

func TestVariablesAreOneValueAndNeverYAML(t *testing.T) {
	cfg, _ := mustLoad(t, vars{"DHRUVA_JWT_SECRET": "x", "S": "canary\njwt: {leeway: 5}\n- {A}: # &x *y 'z\" !!int"},
		"services:\n  dhruva:\n    jwt:\n      secret: ${S}\n")
	if got := cfg.Services[0].JWT.Secret.Reveal(); got != "canary\njwt: {leeway: 5}\n- {A}: # &x *y 'z\" !!int" {
		t.Errorf("%q", got)
	}
	if cfg.Services[0].JWT.Leeway.Seconds() != 10 {
		t.Error("a variable set another key")
	}
}

func TestUnsetVariablesAreNamedWithTheirLine(t *testing.T) {
	wantProblems(t, nil, []string{"services:\n  dhruva:\n    jwt:\n      secret: ${DHRUVA_SECRET}\n      issuer: \"${A}${B:-b}${C}\"\n      audience: ${D\n"},
		"a.yaml:4:15: services.dhruva.jwt.secret: the environment variable DHRUVA_SECRET is not set; set it, or write ${DHRUVA_SECRET:-default} where it may be missing",
		"a.yaml:5:15: services.dhruva.jwt.issuer: the environment variable A is not set",
		"a.yaml:5:15: services.dhruva.jwt.issuer: the environment variable C is not set",
		"a.yaml:6:17: services.dhruva.jwt.audience: has a ${ without its }")
	// What an edge does not look at needs no variables.
	mustLoad(t, secrets, "service: dhruva\ndistribution: {url: \"${REDIS_URL}\"}\n")
}

func TestWhatComesFromTheEnvironmentIsInNoProblem(t *testing.T) {
	env := secrets.with("V", "canary")
	var text strings.Builder
	text.WriteString("service: dhruva\n")
	for _, k := range edgeKeys {
		if !strings.Contains(k.path, ".") && k.path != "server_name" {
			text.WriteString(k.path + ": \"${V}\"\n")
		}
	}
	text.WriteString("websocket:\n")
	for _, k := range serviceKeys {
		if leaf, ok := strings.CutPrefix(k.path, "websocket."); ok {
			text.WriteString("  " + leaf + ": ${V}\n")
		}
	}
	_, _, err := loadTexts(env, text.String())
	if err == nil || !strings.Contains(err.Error(), "the value of ${V} is not") {
		t.Fatalf("%v", err)
	}
	noSecret(t, env, err.Error())
}

func FuzzExpand(f *testing.F) {
	for _, text := range []string{"", "${A}", "${B:-c}", "$${A}", "${", "}${A:-}$", "${A}${B}", "$$${A}"} {
		f.Add(text, "value ${A}")
	}
	f.Fuzz(func(t *testing.T, text, value string) {
		env := vars{"A": value}
		e := expand(text, env.lookup)
		if !strings.Contains(text, "${") && (e.text != text || e.problem != "" || e.vars != nil) {
			t.Errorf("%q became %+v", text, e)
		}
		for _, name := range slices.Concat(e.vars, e.unset) {
			if !variable.MatchString(name) || !strings.Contains(text, "${"+name) {
				t.Errorf("%q has no variable %q", text, name)
			}
		}
		if len(e.text) > len(text)+len(value)*strings.Count(text, "${A") {
			t.Errorf("%q grew to %q", text, e.text)
		}
	})
}
