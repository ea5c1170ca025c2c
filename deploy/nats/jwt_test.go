package nats_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
)

// decentralised runs a server that knows an operator and nothing else: the accounts with
// what they share, and the users with what they may do, are the tokens that README.md's
// script makes.
func decentralised(t *testing.T) (*deployment, *nsc) {
	t.Helper()
	n, owner, resolver := runScript(t), newKey(t, nkeys.CreateOperator), &server.MemAccResolver{}
	for name, c := range n.claims {
		var problems jwt.ValidationResults
		c.Validate(&problems)
		for _, problem := range problems.Issues {
			t.Errorf("%s: %v", name, problem)
		}
		token, err := c.Encode(owner.pair)
		must(t, err)
		must(t, resolver.Store(n.keys[name].public, token))
	}
	srv := start(t, &server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), JetStreamMaxStore: 8 << 30,
		TrustedOperators: []*jwt.OperatorClaims{jwt.NewOperatorClaims(owner.public)},
		AccountResolver:  resolver, SystemAccount: n.keys[n.system].public,
	})
	if !srv.ReadyForConnections(patience) {
		t.Fatal("the server is not ready")
	}
	d := &deployment{servers: []*server.Server{srv}, url: srv.ClientURL(), security: n.security}
	d.apply(t, 1)
	return d, n
}

func TestEveryRoleCanDoItsWorkWithSignedAccounts(t *testing.T) {
	d, _ := decentralised(t)
	works(t, d, 1)
}

func TestNobodyCanDoMoreWithSignedAccounts(t *testing.T) {
	d, _ := decentralised(t)
	nobodyCanDoMore(t, d)
	publishersSeeNothingOfOthers(t, d)
}

// TestSignedAccountsAreThoseOfAccountsConf compares what README.md's script makes with
// accounts.conf: the users' permissions, and what accounts share.
func TestSignedAccountsAreThoseOfAccountsConf(t *testing.T) {
	conf := single(t)
	opts, err := server.ProcessConfigFile("nats-server.conf")
	must(t, err)
	want := map[string]string{}
	for _, user := range opts.Nkeys {
		p := user.Permissions
		if p == nil || p.Publish == nil || p.Subscribe == nil || len(p.Publish.Deny)+len(p.Subscribe.Deny) > 0 || p.Response != nil {
			t.Fatalf("%s has other permissions than lists of what is allowed: %+v", user.Account.Name, p)
		}
		want[user.Nkey] = allowed(p.Publish.Allow, p.Subscribe.Allow)
	}
	if len(want) != len(roles()) {
		t.Errorf("accounts.conf has %d users", len(want))
	}
	signed, n := decentralised(t)
	for _, r := range roles() {
		user := n.users[r].claims
		if user == nil {
			t.Errorf("the script makes no %s", r)
			continue
		}
		if got, want := allowed(user.Pub.Allow, user.Sub.Allow), want[public(t, conf.security[r])]; got != want {
			t.Errorf("%s: the script allows\n%s\naccounts.conf\n%s", r, got, want)
		}
	}
	names := map[string]string{}
	for name, key := range n.keys {
		names[key.public] = name
	}
	for _, name := range accounts() {
		if name == n.system {
			continue
		}
		want := shared(t, conf.servers[0], name, func(id string) string { return id })
		got := shared(t, signed.servers[0], n.keys[name].public, func(id string) string { return names[id] })
		if got != want {
			t.Errorf("%s: the script shares\n%s\naccounts.conf\n%s", name, got, want)
		}
	}
}

// shared is what an account exports, and imports from others than the server's own, as
// its server sees it.
func shared(t *testing.T, srv *server.Server, id string, name func(id string) string) string {
	t.Helper()
	_, err := srv.LookupAccount(id)
	must(t, err)
	all, err := srv.Accountz(&server.AccountzOptions{Account: id})
	must(t, err)
	var lines []string
	for _, e := range all.Account.Exports {
		lines = append(lines, fmt.Sprintf("export %s %s %s", e.Type, e.Subject, e.ResponseType))
	}
	for _, i := range all.Account.Imports {
		if i.Account == srv.SystemAccount().Name {
			continue
		}
		if i.Invalid || i.LocalSubject != "" && string(i.LocalSubject) != string(i.Subject) {
			t.Errorf("import %+v", i)
		}
		lines = append(lines, fmt.Sprintf("import %s %s from %s", i.Type, i.Subject, name(i.Account)))
	}
	if len(lines) == 0 {
		t.Errorf("%s shares nothing", id)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
