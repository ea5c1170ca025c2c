package nats_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
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

// decentralised runs a server that knows an operator and nothing else: the accounts with
// what they share, and the users with what they may do, are signed tokens as README.md
// describes them.
func decentralised(t *testing.T) *deployment {
	t.Helper()
	owner := newKey(t, nkeys.CreateOperator)
	keys := map[string]signed{"INDRANET": newKey(t, nkeys.CreateAccount), "EDGE": newKey(t, nkeys.CreateAccount), "SYS": newKey(t, nkeys.CreateAccount)}
	claims := map[string]*jwt.AccountClaims{}
	for _, service := range schema.Services() {
		keys[account(service)] = newKey(t, nkeys.CreateAccount)
	}
	for name, key := range keys {
		claims[name] = jwt.NewAccountClaims(key.public)
		claims[name].Name = name
	}
	claims["INDRANET"].Limits.JetStreamLimits = jwt.JetStreamLimits{DiskStorage: -1, MemoryStorage: -1, Streams: -1, Consumer: -1}
	share := func(from, subject string, kind jwt.ExportType, answer jwt.ResponseType, to ...string) {
		e := &jwt.Export{Name: subject, Subject: jwt.Subject(subject), Type: kind, ResponseType: answer}
		claims[from].Exports = append(claims[from].Exports, e)
		for _, importer := range to {
			claims[importer].Imports = append(claims[importer].Imports, &jwt.Import{
				Name: from + " " + subject, Subject: jwt.Subject(subject), Account: keys[from].public, Type: kind,
			})
			// That an export names nobody is no gap: only the operator signs what an account
			// imports.
		}
	}
	everybody := []string{"EDGE"}
	for _, service := range schema.Services() {
		everybody = append(everybody, account(service))
	}
	share("INDRANET", "$JS.API.INFO", jwt.Service, jwt.ResponseTypeSingleton, everybody...)
	share("INDRANET", "live.>", jwt.Stream, "", "EDGE")
	ask := func(name string, to ...string) {
		share("INDRANET", "$JS.API.STREAM.INFO."+name, jwt.Service, jwt.ResponseTypeSingleton, to...)
		share("INDRANET", "$JS.API.STREAM.MSG.GET."+name, jwt.Service, jwt.ResponseTypeSingleton, to...)
		share("INDRANET", "$JS.API.DIRECT.GET."+name, jwt.Service, jwt.ResponseTypeStream, to...)
	}
	for _, service := range schema.Services() {
		share("INDRANET", "ev."+string(service)+".>", jwt.Service, jwt.ResponseTypeSingleton, account(service))
		share(account(service), "now."+string(service)+".>", jwt.Stream, "", "EDGE")
		ask(service.Stream(), account(service), "EDGE")
	}
	ask(stream.RevocationsStream, "EDGE")

	resolver := &server.MemAccResolver{}
	for name, c := range claims {
		token, err := c.Encode(owner.pair)
		must(t, err)
		must(t, resolver.Store(keys[name].public, token))
	}
	d := &deployment{security: map[role]stream.Security{}}
	for _, r := range roles() {
		user := newKey(t, nkeys.CreateUser)
		c := jwt.NewUserClaims(user.public)
		signer := keys["INDRANET"]
		switch r {
		case operator:
		case edge:
			signer = keys["EDGE"]
			c.Sub.Allow.Add("live.>", "now.>", "_INBOX.>")
			for _, name := range append(streams(), stream.RevocationsStream) {
				c.Pub.Allow.Add("$JS.API.STREAM.INFO."+name, "$JS.API.STREAM.MSG.GET."+name, "$JS.API.DIRECT.GET."+name)
			}
		default:
			service := schema.Service(r)
			signer = keys[account(service)]
			c.Sub.Allow.Add("_INBOX.>")
			c.Pub.Allow.Add("ev."+string(service)+".>", "now."+string(service)+".>",
				"$JS.API.STREAM.INFO."+service.Stream(), "$JS.API.STREAM.MSG.GET."+service.Stream(), "$JS.API.DIRECT.GET."+service.Stream())
		}
		token, err := c.Encode(signer.pair)
		must(t, err)
		seed, err := user.pair.Seed()
		must(t, err)
		creds, err := jwt.FormatUserConfig(token, seed)
		must(t, err)
		file := filepath.Join(t.TempDir(), string(r)+".creds")
		must(t, os.WriteFile(file, creds, 0o600))
		d.security[r] = stream.Security{Creds: file}
	}
	srv := start(t, &server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), JetStreamMaxStore: 8 << 30,
		TrustedOperators: []*jwt.OperatorClaims{jwt.NewOperatorClaims(owner.public)},
		AccountResolver:  resolver, SystemAccount: keys["SYS"].public,
	})
	if !srv.ReadyForConnections(patience) {
		t.Fatal("the server is not ready")
	}
	d.servers, d.url = []*server.Server{srv}, srv.ClientURL()
	d.apply(t, 1)
	return d
}

// account is the name of a service's account.
func account(service schema.Service) string {
	return strings.ToUpper(strings.ReplaceAll(string(service), "-", "_"))
}

func TestEveryRoleCanDoItsWorkWithSignedAccounts(t *testing.T) { works(t, decentralised(t), 1) }

func TestNobodyCanDoMoreWithSignedAccounts(t *testing.T) { nobodyCanDoMore(t, decentralised(t)) }
