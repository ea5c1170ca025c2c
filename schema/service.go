package schema

import (
	"fmt"
	"strings"
)

// Service is the canonical name of one of the seven services, for example
// "session-buddy". It is also the service's token in a subject and the last
// segment of its path /ws/{service}.
type Service string

// The seven services.
const (
	Mahavishnu   Service = "mahavishnu"
	Dhruva       Service = "dhruva"
	Excalidraw   Service = "excalidraw"
	Fastblocks   Service = "fastblocks"
	Akosha       Service = "akosha"
	Crackerjack  Service = "crackerjack"
	SessionBuddy Service = "session-buddy"
)

// serviceTable is the one place that knows what belongs to a service's name.
var serviceTable = []struct {
	service Service
	port    int
	aliases []string
}{
	{Mahavishnu, 8690, nil},
	{Dhruva, 8693, nil},
	{Excalidraw, 3042, []string{"excalidraw-mcp"}},
	{Fastblocks, 8684, nil},
	{Akosha, 8692, nil},
	{Crackerjack, 8686, nil},
	{SessionBuddy, 8765, nil},
}

// Services returns the seven services in catalogue order.
func Services() []Service {
	list := make([]Service, len(serviceTable))
	for i, row := range serviceTable {
		list[i] = row.service
	}
	return list
}

// ParseService returns the service of that name or alias ("excalidraw-mcp" is an
// alias of "excalidraw"). The error names the known services.
func ParseService(name string) (Service, error) {
	for _, row := range serviceTable {
		if string(row.service) == name {
			return row.service, nil
		}
		for _, alias := range row.aliases {
			if alias == name {
				return row.service, nil
			}
		}
	}
	names := make([]string, len(serviceTable))
	for i, row := range serviceTable {
		names[i] = string(row.service)
	}
	return "", fmt.Errorf("%w: %q (known: %s)", ErrUnknownService, name, strings.Join(names, ", "))
}

// Port is the TCP port of the service's own WebSocket listener, 0 for an unknown
// service.
func (s Service) Port() int {
	for _, row := range serviceTable {
		if row.service == s {
			return row.port
		}
	}
	return 0
}

// Stream is the name of the JetStream stream that stores the service's durable
// events, for example "IND_SESSION_BUDDY".
func (s Service) Stream() string {
	return "IND_" + strings.ToUpper(strings.ReplaceAll(string(s), "-", "_"))
}
