package config

import (
	"reflect"
	"slices"
	"strings"
)

// key is one key of the configuration: everything that there is to know of it.
type key struct {
	// path is where the key is, from the edge or from the service, with dots.
	path string
	// about documents the key, in sentences. For people; reference.yaml shows it.
	about string
	// kind says what a value is, with its limits.
	kind string
	// normal is the default as YAML. initial, where it is set, is what reference.yaml
	// shows instead, because the default depends on something.
	normal, initial string
	// rule explains such a default.
	rule    string
	private bool

	// read reads a value.
	read func(item) (any, *fault)
	// set stores a value that read returned, reset the default, in an *S.
	set   func(target, value any)
	reset func(target any)
	// show is the value of a target as YAML, without secrets.
	show func(target any) string
}

// newKey is the key at a path of an S, of the kind k, for the field of the target.
func newKey[S, V any](path string, k kind[V], normal V, field func(*S) *V, about string) *key {
	// Each target has lists of its own, to change as it likes.
	own := func(v V) V {
		if list, ok := any(v).([]string); ok {
			return any(slices.Clone(list)).(V)
		}
		return v
	}
	return &key{
		path: path, about: about, kind: k.about, normal: k.write(normal), private: k.private,
		read: func(it item) (any, *fault) {
			v, wrong := k.read(it)
			return v, wrong
		},
		set:   func(target, value any) { *field(target.(*S)) = own(value.(V)) },
		reset: func(target any) { *field(target.(*S)) = own(normal) },
		show:  func(target any) string { return k.write(*field(target.(*S))) },
	}
}

// otherwise says that the default is not always the normal one: what reference.yaml
// shows instead, and why.
func (k *key) otherwise(initial, rule string) *key {
	k.initial, k.rule = initial, rule
	return k
}

// leaf is the last part of a path.
func leaf(path string) string { return path[strings.LastIndexByte(path, '.')+1:] }

// tree is what may stand in a section.
type tree struct {
	// children are the keys and sections within, nil for a key.
	children map[string]*tree
	// key is set for a key.
	key *key
	// ignored marks what belongs to a service's own program.
	ignored bool
}

// newTree arranges keys by their paths. others are other names that a key has, ignored
// are paths that are accepted and not looked at.
func newTree(keys []*key, others map[string]string, ignored []string) *tree {
	root := &tree{children: map[string]*tree{}}
	byPath := map[string]*key{}
	for _, k := range keys {
		byPath[k.path] = k
		root.at(k.path).key = k
	}
	for other, path := range others {
		root.at(other).key = byPath[path]
	}
	for _, path := range ignored {
		root.at(path).ignored = true
	}
	return root
}

// at is the place of a path, made if need be.
func (t *tree) at(path string) *tree {
	for part := range strings.SplitSeq(path, ".") {
		if t.children == nil {
			t.children = map[string]*tree{}
		}
		if t.children[part] == nil {
			t.children[part] = &tree{}
		}
		t = t.children[part]
	}
	return t
}

// setting is a value that a file sets.
type setting struct {
	value any
	at    Position
	// name is the key's path as the file spells it.
	name string
	// vars are the variables that the value names.
	vars []string
	// broken settings have no value: what they say is wrong, and reported.
	broken bool
}

// layer is what one or more files set in sections of one sort, by the keys' paths.
type layer map[string]setting

// broken reports whether a setting of the groups, which are keys or sections, is.
func (l layer) broken(groups ...string) bool {
	for path, s := range l {
		if s.broken && slices.ContainsFunc(groups, func(group string) bool { return inGroup(path, group) }) {
			return true
		}
	}
	return false
}

// empty reports whether a setting is as good as none, as "" is for files and secrets.
func (s setting) empty() bool {
	return s.value == nil || reflect.ValueOf(s.value).IsZero()
}
