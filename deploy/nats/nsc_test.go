package nats_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"github.com/bodhisattva/indranet/edge/stream"
	"github.com/bodhisattva/indranet/schema"
)

// signed is a key pair with its public key.
type signed struct {
	pair   nkeys.KeyPair
	public string
}

func newKey(t *testing.T, create func() (nkeys.KeyPair, error)) signed {
	t.Helper()
	pair, err := create()
	must(t, err)
	public, err := pair.PublicKey()
	must(t, err)
	return signed{pair, public}
}

// nsc is what README.md's script has made.
type nsc struct {
	// keys has the key of every account that the script can name.
	keys   map[string]signed
	claims map[string]*jwt.AccountClaims
	users  map[role]nscUser
	// security has the credentials of the users.
	security map[role]stream.Security
	system   string
}

// nscUser is a user of an account.
type nscUser struct {
	claims  *jwt.UserClaims
	account string
	seed    []byte
}

// runScript runs README.md's script with a shell function for the command nsc, which
// writes its arguments down and knows the accounts' public keys, and does here what the
// command would have done.
func runScript(t *testing.T) *nsc {
	t.Helper()
	n := &nsc{
		keys: map[string]signed{}, claims: map[string]*jwt.AccountClaims{},
		users: map[role]nscUser{}, security: map[role]stream.Security{},
	}
	dir := t.TempDir()
	for _, name := range accounts() {
		n.keys[name] = newKey(t, nkeys.CreateAccount)
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(`"`+n.keys[name].public+`"`), 0o600))
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-euc", `
		nsc() {
			printf '%s\t' "$@" >> calls
			echo >> calls
			if [ "$1 $2" = "describe account" ]; then cat "$3"; fi
		}
		`+block(t, "nsc add operator"))
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("the script: %v\n%s", err, out)
	}
	calls, err := os.ReadFile(filepath.Join(dir, "calls"))
	must(t, err)
	for line := range strings.Lines(string(calls)) {
		c := parseCall(t, strings.TrimSuffix(line, "\t\n"))
		n.do(t, c)
		if len(c.flags) > 0 {
			t.Fatalf("%s: what is %v?", c.verb, c.flags)
		}
	}
	return n
}

// accounts are all of the deployment, with the one that a server itself needs.
func accounts() []string {
	names := []string{"SYS", "INDRANET", "EDGE"}
	for _, service := range schema.Services() {
		names = append(names, account(service))
	}
	return names
}

// account is the name of a service's account.
func account(service schema.Service) string {
	return strings.ToUpper(strings.ReplaceAll(string(service), "-", "_"))
}

// block is the block of README.md with a text in it.
func block(t *testing.T, text string) string {
	t.Helper()
	readme, err := os.ReadFile("README.md")
	must(t, err)
	for part := range strings.SplitSeq(string(readme), "\n```sh\n") {
		if code, _, found := strings.Cut(part, "\n```\n"); found && strings.Contains(code, text) {
			return code
		}
	}
	t.Fatalf("README.md has no block with %q", text)
	return ""
}

// call is one of the command's calls.
type call struct {
	// verb is what to do with what.
	verb string
	// name is the argument that is no flag.
	name string
	// flags are those that nobody has asked for yet.
	flags map[string]string
}

// parseCall parses arguments with tabs between them.
func parseCall(t *testing.T, line string) call {
	t.Helper()
	args := strings.Split(line, "\t")
	if len(args) < 3 {
		t.Fatalf("a call without arguments: %q", line)
	}
	c := call{verb: args[0] + " " + args[1], flags: map[string]string{}}
	for rest := args[2:]; len(rest) > 0; {
		flag, isFlag := strings.CutPrefix(rest[0], "-")
		switch {
		case !isFlag:
			c.name, rest = rest[0], rest[1:]
		case len(rest) > 1 && !strings.HasPrefix(rest[1], "--"):
			c.flags[strings.TrimPrefix(flag, "-")], rest = rest[1], rest[2:]
		default:
			c.flags[strings.TrimPrefix(flag, "-")], rest = "", rest[1:]
		}
	}
	return c
}

// take is a flag's value. It is an error where it was not given.
func (c call) take(t *testing.T, flag string) string {
	t.Helper()
	value, given := c.flags[flag]
	if !given || value == "" {
		t.Fatalf("%s: no --%s in %v", c.verb, flag, c.flags)
	}
	delete(c.flags, flag)
	return value
}

// has tells whether a flag without a value was given.
func (c call) has(flag string) bool {
	_, given := c.flags[flag]
	delete(c.flags, flag)
	return given
}

func (c call) number(t *testing.T, flag string) int64 {
	t.Helper()
	i, err := strconv.ParseInt(c.take(t, flag), 10, 64)
	must(t, err)
	return i
}

// do does what a call says.
func (n *nsc) do(t *testing.T, c call) {
	t.Helper()
	switch c.verb {
	case "add operator":
		c.take(t, "name")
		if c.has("sys") {
			n.add(t, "SYS")
		}
	case "add account":
		n.add(t, c.name)
	case "edit account":
		n.claims[c.name].Limits.JetStreamLimits = jwt.JetStreamLimits{
			DiskStorage: c.number(t, "js-disk-storage"), MemoryStorage: c.number(t, "js-mem-storage"),
			Streams: c.number(t, "js-streams"), Consumer: c.number(t, "js-consumer"),
		}
	case "add export":
		n.export(t, c)
	case "add import":
		n.imports(t, c)
	case "add user":
		n.user(t, c)
	case "generate creds":
		n.creds(t, c)
	case "generate config":
		n.system = c.take(t, "sys-account")
		c.take(t, "config-file")
		if !c.has("mem-resolver") {
			t.Error("servers have no accounts in memory")
		}
	case "describe account":
		if c.take(t, "field") != "sub" {
			t.Error("describes something else than the public key")
		}
	default:
		t.Fatalf("what is %s?", c.verb)
	}
}

func (n *nsc) add(t *testing.T, name string) {
	t.Helper()
	if n.claims[name] != nil || n.keys[name].pair == nil {
		t.Fatalf("there is one account %s too many", name)
	}
	n.claims[name] = jwt.NewAccountClaims(n.keys[name].public)
	n.claims[name].Name = name
}

// export shares a subject. That it names nobody is no gap: only the operator signs what
// an account imports.
func (n *nsc) export(t *testing.T, c call) {
	t.Helper()
	e := &jwt.Export{Name: c.take(t, "name"), Subject: jwt.Subject(c.take(t, "subject")), Type: jwt.Stream}
	if c.has("service") {
		e.Type, e.ResponseType = jwt.Service, jwt.ResponseTypeSingleton
		if c.flags["response-type"] != "" {
			e.ResponseType = jwt.ResponseType(c.take(t, "response-type"))
		}
	}
	claims := n.claims[c.take(t, "a")]
	claims.Exports = append(claims.Exports, e)
}

func (n *nsc) imports(t *testing.T, c call) {
	t.Helper()
	i := &jwt.Import{
		Name: c.take(t, "name"), Account: c.take(t, "src-account"), Type: jwt.Stream,
		Subject: jwt.Subject(c.take(t, "remote-subject")), LocalSubject: jwt.RenamingSubject(c.take(t, "local-subject")),
	}
	if c.has("service") {
		i.Type = jwt.Service
	}
	claims := n.claims[c.take(t, "a")]
	claims.Imports = append(claims.Imports, i)
}

func (n *nsc) user(t *testing.T, c call) {
	t.Helper()
	r := role(c.take(t, "name"))
	key := newKey(t, nkeys.CreateUser)
	seed, err := key.pair.Seed()
	must(t, err)
	user := jwt.NewUserClaims(key.public)
	user.Name = string(r)
	user.Pub.Allow.Add(strings.Split(c.take(t, "allow-pub"), ",")...)
	user.Sub.Allow.Add(strings.Split(c.take(t, "allow-sub"), ",")...)
	n.users[r] = nscUser{user, c.take(t, "a"), seed}
}

func (n *nsc) creds(t *testing.T, c call) {
	t.Helper()
	r := role(c.take(t, "name"))
	user := n.users[r]
	if account := c.take(t, "a"); user.account != account {
		t.Fatalf("%s is a user of %q, not of %s", r, user.account, account)
	}
	token, err := user.claims.Encode(n.keys[user.account].pair)
	must(t, err)
	creds, err := jwt.FormatUserConfig(token, user.seed)
	must(t, err)
	file := filepath.Join(t.TempDir(), c.take(t, "output-file"))
	must(t, os.WriteFile(file, creds, 0o600))
	n.security[r] = stream.Security{Creds: file}
}

// allowed is what a user may do, sorted.
func allowed(publish, subscribe []string) string {
	publish, subscribe = slices.Sorted(slices.Values(publish)), slices.Sorted(slices.Values(subscribe))
	return fmt.Sprintf("publish %s\nsubscribe %s", strings.Join(publish, "\n\t"), strings.Join(subscribe, "\n\t"))
}
