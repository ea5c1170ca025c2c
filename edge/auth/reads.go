package auth

import (
	"github.com/bodhisattva/indranet/schema"
)

// ReadsOf reports whether anything of a service may be read. has says whether the
// service has a kind of channels. That a channel which is granted exists is not looked at.
func (p Permissions) ReadsOf(service schema.Service, has func(kind string) bool) bool {
	const need = mayRead | mayAdmin
	if p.admin || p.services[service]&need != 0 {
		return true
	}
	for kind, granted := range p.kinds {
		if granted&need != 0 && has(kind) {
			return true
		}
	}
	for at, granted := range p.places {
		if granted&need != 0 && at.service == service {
			return true
		}
	}
	return false
}
