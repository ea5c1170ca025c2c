//go:build linux

package stage

import (
	"fmt"
	"strings"

	"github.com/bodhisattva/indranet/schema"
)

// Service is the one that everything happens in.
const Service = schema.Mahavishnu

// Audience is who may read a channel.
type Audience string

// The audiences. Weak tokens, those of attackers, name the public channels one by one;
// members may read every channel of the kind workflow; the channels of admins are
// admin-only.
const (
	Public  Audience = "public"
	Members Audience = "members"
	Admins  Audience = "admins"
)

// Mark is in every event of an audience's channels and nowhere else.
func (a Audience) Mark() string { return "for-the-eyes-of-" + string(a) }

// Channel is a channel and who may read it.
type Channel struct {
	Name string
	For  Audience
}

// AdminChannel is the channel of the admins: its kind is admin-only as a whole for who
// subscribes to a view.
const AdminChannel = "pool:payroll"

// WorkflowView is the view of all workflows.
const WorkflowView = "workflow:*"

const workflow = "workflow:"

// Channels are n channels: the first are public, the last is the admins', those between
// are for members. n is at least public+2.
func Channels(n, public int) []Channel {
	list := make([]Channel, n)
	for i := range list {
		switch {
		case i == n-1:
			list[i] = Channel{AdminChannel, Admins}
		case i < public:
			list[i] = Channel{fmt.Sprintf("%spublic-%d", workflow, i), Public}
		default:
			list[i] = Channel{fmt.Sprintf("%smember-%d", workflow, i-public), Members}
		}
	}
	return list
}

// Names are the names of the channels of an audience.
func Names(channels []Channel, a Audience) []string {
	var list []string
	for _, c := range channels {
		if c.For == a {
			list = append(list, c.Name)
		}
	}
	return list
}

// Selects reports whether a channel or view of this package shows a channel's events.
func Selects(name, channel string) bool {
	switch name {
	case "global", channel:
		return true
	case WorkflowView:
		return strings.HasPrefix(channel, workflow)
	}
	return false
}

// Body is what the publisher tells in each event: the channel by its index, the event's
// number in it, from 1, and when it was sent, on the clock of swarm.Now.
type Body struct {
	Mark   string `json:"mark"`
	C      int    `json:"c"`
	N      uint64 `json:"n"`
	SentNS int64  `json:"sent_ns"`
	Text   string `json:"text"`
}
