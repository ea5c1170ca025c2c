package auth

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/catalogue"
)

// forms are those of a permission, for who has written another one.
const forms = "admin, {service}:read|write|admin, {kind}:read|write|admin and {service}:read|write|admin:{channel}"

// Doubt is about a permission that hardly does what was meant.
type Doubt struct {
	Permission string
	// Text goes behind the permission: "grants nothing at dhruva".
	Text string
}

// Doubts returns what is to be doubted of a token's permissions at a service, in the
// order of the list: forms that are not known, other services, channels that the service
// does not have, and views for which the whole list is not enough. It is about the
// catalogue; admin-only channels are not considered.
func Doubts(service schema.Service, list []string) []Doubt {
	var doubts []Doubt
	all := ParsePermissions(list)
	for _, permission := range list {
		if text := all.doubt(service, permission); text != "" {
			doubts = append(doubts, Doubt{permission, text})
		}
	}
	return doubts
}

// doubt says what is to be doubted of one permission of the list.
func (p Permissions) doubt(service schema.Service, permission string) string {
	if slices.Contains(p.unknown, permission) {
		return "has no known form and grants nothing; the forms are " + forms
	}
	if permission == "admin" {
		return ""
	}
	subject, rest, _ := strings.Cut(permission, ":")
	word, name, narrow := strings.Cut(rest, ":")
	owner, err := schema.ParseService(subject)
	switch ofKind := err != nil; {
	case ofKind:
		kinds := homeKinds(service)
		if !slices.Contains(kinds, subject) {
			return fmt.Sprintf("grants nothing at %s, whose channels are of the kinds %s", service, strings.Join(kinds, ", "))
		}
		name = subject
	case owner != service:
		return "grants nothing at " + string(service)
	case !narrow:
		return ""
	}
	channel, err := schema.ParseChannel(name)
	if err != nil {
		return "" // Not of a known form.
	}
	target, err := catalogue.Default().Lookup(service, channel)
	switch {
	case err != nil && narrow:
		return "grants nothing: " + strings.TrimPrefix(err.Error(), schema.ErrChannel.Error()+": ")
	case err != nil:
		return "" // Channels of the kind have ids.
	}
	action := Read
	if word == Write.String() {
		action = Write
	}
	if p.Allows(action, target, Restricted{}) {
		return ""
	}
	return fmt.Sprintf("is not enough for a view: that needs %s:%s, or %s on every channel of the kinds that it shows (%s)",
		service, action, action, strings.Join(target.Kinds, ", "))
}

// homeKinds lists the kinds of channels that a service publishes to.
func homeKinds(service schema.Service) []string {
	var kinds []string
	for _, row := range catalogue.Default().Rows() {
		if row.Service == service && !slices.Contains(kinds, row.Home.Kind) {
			kinds = append(kinds, row.Home.Kind)
		}
	}
	return kinds
}
