// Package config reads the configuration of an edge from YAML files.
//
//	cfg, report, err := config.Load(paths, os.LookupEnv)
//
// What comes back is plain Go structs with every default applied and every rule
// checked, for the program to map to the packages that do the work. Of these the package
// knows only auth, which says what makes a secret weak. It reads no file but those it was
// given.
//
// # Two forms of a file
//
// One file may configure a whole edge:
//
//	nats: {url: "nats://nats.internal:4222"}
//	defaults:                 # beneath every service's own section
//	  websocket: {host: 0.0.0.0, tls_enabled: true}
//	services:                 # what the edge serves
//	  mahavishnu: {}
//	  dhruva: {websocket: {max_connections: 200}}
//
// Or a file may configure one service, with websocket, jwt and the rest at its top.
// The service is told from its port, from a section that only this service has
// ("pools", "qc", "ui"), from its name in server_name, or from a key "service"; where
// these disagree, or say nothing, that is an error. Several such files, and one with
// the rest, load together:
//
//	indranet edge -c edge.yaml -c mahavishnu.yaml -c dhruva.yaml
//
// Files add up. Two of them may set the same key only to the same value; there is
// no order in which one would win. What a file of one service says of server_name and
// logging is the service's own, and also the edge's where no other file says more.
//
// A value is the first that is set of: the service's own section, defaults, for secrets
// and certificates the environment variables {SERVICE}_JWT_SECRET,
// {SERVICE}_CERT_FILE and {SERVICE}_KEY_FILE, for certificates the section tls, and
// the default, which deploy/config/reference.yaml tells of every key.
//
// # What is refused
//
// Everything that could be a mistake, all at once, each with file, line and column:
// unknown keys (with the nearest known one), keys that are set twice, values of another
// type or out of their range, values that do not go together, weak secrets. Anchors, aliases,
// merge keys, tags and second documents are refused, since nothing here needs
// them; a file is at most 256 KiB, and nested at most 32 deep. The sections that the
// services' own programs read (pools, sessions, …) are accepted and listed; what is in them is
// not looked at. In production, which is the default, Load also refuses what is only good for
// development: rules.go has the list.
//
// # The environment
//
// ${NAME} and ${NAME:-default} in a value stand for an environment variable, $${ for a
// plain ${. They are replaced in the parsed tree, so that what a variable holds is always
// one value and never YAML. A variable that is not set is an error. What came from the
// environment is in no message, and neither is a secret: see Secret.
//
// # Adding a key
//
// A key is one row in keys_edge.go or keys_service.go: its path, kind, default, field and
// documentation. Reading, checking, the reference file and Config.String follow from
// the row; `go test ./edge/config -update` writes the reference file anew.
package config
