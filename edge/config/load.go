package config

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/bodhisattva/indranet/schema"
)

// Load reads the files, in no particular order, and returns the configuration that they
// make, with every default applied and every rule checked. env looks environment variables
// up, as os.LookupEnv does; nil means that there are none. Variables are read while Load
// runs and never afterwards.
//
// The error is an *Error with everything that is wrong; the Config is then empty, and
// the Report says what was found besides. Load panics on no input, and its time and
// memory are bounded by the number of files.
func Load(paths []string, env func(string) (string, bool)) (Config, Report, error) {
	l := newLoading(env)
	for _, path := range paths {
		if slices.Contains(l.files, path) {
			l.add(Position{File: path}, "", "is given twice")
			continue
		}
		l.files = append(l.files, path)
		src, err := readFile(path)
		if err != nil {
			l.add(Position{File: path}, "", "cannot be read: %v", err)
			continue
		}
		l.read(src)
	}
	return l.finish()
}

// loading is one Load. Not safe for concurrent use.
type loading struct {
	problems
	report Report
	env    func(string) (string, bool)

	// What the files set so far.
	edge, defaults layer
	services       map[schema.Service]*section
	// first is what the first file of a service says of what is also the edge's.
	first layer
	// literals are secrets that stand in a file.
	literals []setting
}

// section is what the files say of one service.
type section struct {
	layer
	// at and name say where it begins, for problems of keys that are not there.
	at   Position
	name string
}

func newLoading(env func(string) (string, bool)) *loading {
	if env == nil {
		env = func(string) (string, bool) { return "", false }
	}
	return &loading{env: env, edge: layer{}, defaults: layer{}, first: layer{}, services: map[schema.Service]*section{}}
}

// The trees of what may stand where. Static.
var (
	edgeTree    = newTree(edgeKeys, nil, nil)
	serviceTree = newTree(serviceKeys, otherNames, ignoredPaths)
	// fileTree is what may stand at the top of a file, for advice about what may not.
	fileTree = func() *tree {
		t := &tree{children: map[string]*tree{"services": {}, "defaults": {}, "service": {}}}
		maps.Copy(t.children, serviceTree.children)
		maps.Copy(t.children, edgeTree.children)
		return t
	}()
)

// serviceForm reports whether a key at the top of a file makes it a file of one service.
func serviceForm(name string) bool {
	return name == "service" || serviceTree.children[name] != nil && edgeTree.children[name] == nil
}

// read takes in one file.
func (l *loading) read(src source) {
	l.report.Files = append(l.report.Files, src.name)
	root := l.parse(src)
	if root == nil {
		return
	}
	w := &walker{l, src.name}
	if w.odd(root, "") {
		return
	}
	entries := w.entries(root, "")
	ofService := slices.ContainsFunc(entries, func(e entry) bool { return serviceForm(e.name) })
	ofMany := slices.ContainsFunc(entries, func(e entry) bool { return e.name == "services" || e.name == "defaults" })

	own := layer{}
	for _, e := range entries {
		switch {
		case e.name == "services":
			w.servicesSection(e.value)
		case e.name == "defaults":
			w.section(e.value, "defaults", "", serviceTree, serviceTree, l.defaults)
			if port, set := l.defaults["websocket.port"]; set && !port.broken {
				l.add(port.at, port.name, "is one service's, it cannot be the default of all")
				delete(l.defaults, "websocket.port")
			}
		case ofMany && serviceForm(e.name):
			w.add(w.at(e.key), e.name, "is for a file of one service, but this file has services or defaults: move it below one of them")
		case e.name == "service":
			// See identify.
		case serviceForm(e.name), ofService && !ofMany && serviceTree.children[e.name] != nil:
			w.child(e, "", "", serviceTree, serviceTree, own)
		case edgeTree.children[e.name] != nil:
			w.child(e, "", "", edgeTree, edgeTree, l.edge)
		default:
			w.unknown(e, "", fileTree, fileTree)
		}
	}
	if ofService && !ofMany {
		w.fileOfService(root, entries, own)
	}
}

// servicesSection reads the section services.
func (w *walker) servicesSection(n *yaml.Node) {
	if w.odd(n, "services") || n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return
	}
	if n.Kind != yaml.MappingNode {
		w.add(w.at(n), "services", "is %s, should be a section with the services' names", shape(n))
		return
	}
	for _, e := range w.entries(n, "services") {
		service, err := schema.ParseService(e.name)
		if err != nil {
			best := ""
			for _, s := range schema.Services() {
				if best == "" || edits(e.name, string(s)) < edits(e.name, best) {
					best = string(s)
				}
			}
			w.add(w.at(e.key), join("services", printable(e.name)), "is not a service; the nearest is %s", best)
			continue
		}
		name := join("services", e.name)
		own := layer{}
		w.section(e.value, name, "", serviceTree, serviceTree, own)
		w.serviceSays(service, w.at(e.key), name, own)
	}
}

// serviceSays adds what a file says of a service.
func (l *loading) serviceSays(service schema.Service, at Position, name string, own layer) {
	s := l.services[service]
	if s == nil {
		s = &section{layer{}, at, name}
		l.services[service] = s
	}
	for _, path := range slices.Sorted(maps.Keys(own)) {
		l.merge(s.layer, path, own[path])
	}
}

// fileOfService adds what a file of one service says.
func (w *walker) fileOfService(root *yaml.Node, entries []entry, own layer) {
	service, ok := w.identify(root, entries, own)
	if !ok {
		return
	}
	w.serviceSays(service, w.at(root), "", own)
	for _, group := range []string{"server_name", "logging"} {
		if hasGroup(w.first, group) {
			continue
		}
		for path, s := range own {
			if inGroup(path, group) {
				w.first[path] = s
			}
		}
	}
}

func inGroup(path, group string) bool {
	return path == group || strings.HasPrefix(path, group+".")
}

func hasGroup(l layer, group string) bool {
	for path := range l {
		if inGroup(path, group) {
			return true
		}
	}
	return false
}

// merge adds a setting to a layer. There may be one already, but no other one.
func (l *loading) merge(into layer, path string, s setting) {
	before, exists := into[path]
	switch {
	case !exists:
		into[path] = s
	case before.broken || s.broken:
	case !reflect.DeepEqual(before.value, s.value):
		l.add(s.at, s.name, "is set to something else at %s", before.at)
	}
}

// ignore notes a key of a service's own program.
func (l *loading) ignore(at Position, name string) {
	if len(l.report.Ignored) < maxProblems {
		l.report.Ignored = append(l.report.Ignored, Problem{at, name, "is not for an edge"})
	}
}

// warn notes what is worth a look.
func (l *loading) warn(at Position, name, text string) {
	if len(l.report.Warnings) < maxProblems {
		l.report.Warnings = append(l.report.Warnings, Problem{at, name, text})
	}
}

// literal notes a secret that stands in a file.
func (l *loading) literal(k *key, s setting) {
	if u, ok := s.value.(URL); ok && !u.hasPassword() {
		return
	}
	if k.private {
		l.literals = append(l.literals, s)
	}
}

// used notes the names of variables.
func (l *loading) used(vars []string) {
	for _, name := range vars {
		if len(l.report.Variables) < maxProblems && !slices.Contains(l.report.Variables, name) {
			l.report.Variables = append(l.report.Variables, name)
		}
	}
}

// finish makes the configuration of what was read.
func (l *loading) finish() (Config, Report, error) {
	cfg := l.build()
	slices.Sort(l.report.Variables)
	sortProblems(l.report.Warnings, l.files)
	sortProblems(l.report.Ignored, l.files)
	if err := l.err(); err != nil {
		return Config{}, l.report, err
	}
	return cfg, l.report, nil
}
