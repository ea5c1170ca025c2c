//go:build linux

package foe

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/bodhisattva/indranet/bench/attack/peer"
)

// request is a request frame; data is JSON.
func request(name, data string) []byte {
	return peer.Message(fmt.Sprintf(`{"type":"request","event":%q,"id":"1","data":%s}`, name, data))
}

// quote is text as JSON, with every byte that text may have.
func quote(text string) string {
	b, err := json.Marshal(text)
	if err != nil {
		return `""` // Text always has JSON.
	}
	return string(b)
}

// neverAnswered is for what must always be refused.
func neverAnswered(a *attack, r reply) {
	if r.Type == "response" {
		a.breach("an answer to what must be refused: " + r.Event)
	}
}

func strangeJSON(a *attack, n int) []byte {
	const head = `{"type":"request","event":"subscribe","id":"1","data":{"channel":`
	public := quote(a.army.cfg.Public[0])
	switch n % 10 {
	case 0:
		return peer.Message(head + public + `,"x":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + "}}")
	case 1:
		return peer.Message(strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000))
	case 2:
		return peer.Message(head + public + `,"channel":` + quote(a.army.cfg.Forbidden[0]) + `}}`)
	case 3:
		return peer.Message(`{"type":"ping","type":"request","event":"subscribe","id":"1","data":{"channel":` + public + `}}`)
	case 4:
		return peer.Message(head + `"workflow:\ud800"}}`)
	case 5:
		return peer.Message(head + public + `,"since":{"seq":1e999999999}}}`)
	case 6:
		var b strings.Builder
		for i := range 2000 {
			fmt.Fprintf(&b, `,"k%d":%d`, i, i)
		}
		return peer.Message(head + `""` + b.String() + "}}")
	case 7:
		return peer.Message(strings.Repeat("[", 60_000))
	case 8:
		return peer.Message(`{"type":"request","event":"subscribe","id":` + quote(strings.Repeat("i", 5000)) + `,"data":{"channel":` + public + `}}`)
	}
	return peer.Message("\x00{}" + strings.Repeat(" ", 1000))
}

// names mean something to others than the edge.
var names = []string{
	">", "*", "workflow:>", "workflow:*.>", "workflow:member-0.>", "workflow:*:member-0", "workflow:%2A", "workflow:%3E", "workflow:member%2D0",
	"ev.mahavishnu.workflow.member-0", "live.mahavishnu.>", "ev.>", "$JS.API.STREAM.INFO.IND_MAHAVISHNU", "$KV.IND_REVOCATIONS.>", "_INBOX.>",
	"workflow:$KV.IND_REVOCATIONS.all", "workflow:a.b.c", "workflow:a\r\nPUB live.mahavishnu.workflow.x 2\r\nhi\r\n", "workflow:a\tb", "workflow:\x00",
	"workflow:\u202e0-rebmem", "workflow: member-0", "workflow:member-0 ", "Workflow:member-0", "workflow:MEMBER-0", "workflow::member-0",
	"workflow:member-0\u200b", "workflow:../member-0", "workflow:" + strings.Repeat("a", 201), "workflow:" + strings.Repeat("\U0001F600", 60),
	":", "workflow:", "workflow", "", "pool:*", "global.", "dhruva:adapter:1", "workflow:<script>alert(1)</script>",
	"workflow:\x1b[2J", "mahavishnu.workflow.member-0", "workflow:{}", "element:a/b", "worker:*",
}

func injection(a *attack, n int) []byte {
	name := quote(names[a.dice(len(names))])
	if n%2 == 0 {
		return request("history", `{"channel":`+name+`,"limit":10}`)
	}
	return request("subscribe", `{"channel":`+name+`,"since":"start"}`)
}

func forbidden(a *attack, n int) []byte {
	list := a.army.cfg.Forbidden
	name := quote(list[a.dice(len(list))])
	switch n % 6 {
	case 0:
		return request("subscribe", `{"channel":`+name+`,"since":"start"}`)
	case 1:
		return request("history", `{"channel":`+name+`,"limit":1000}`)
	case 2:
		return request("subscribe", `{"room":`+name+`}`)
	case 3:
		return request("publish", `{"event":"workflow.completed","payload":{"workflow_id":"member-0","result":{}}}`)
	case 4:
		return peer.Message(`{"type":"event","event":"workflow.completed","data":{"workflow_id":"member-0","result":{}}}`)
	}
	return request("refresh_token", `{"token":`+quote(a.army.cfg.Foreign)+`}`)
}

// public is one of the public channels, as JSON.
func (a *attack) public(n int) string { return quote(a.army.cfg.Public[n%len(a.army.cfg.Public)]) }

func history(a *attack, n int) []byte {
	return request("history", `{"channel":`+a.public(n)+`,"limit":50}`)
}

func wholeHistory(a *attack, n int) []byte {
	return request("history", `{"channel":`+a.public(n)+`,"limit":1000,"since":"start"}`)
}

// everything subscribes to all public channels from the start.
func everything(a *attack) []byte {
	var list []string
	for i := range a.army.cfg.Public {
		list = append(list, `{"channel":`+a.public(i)+`,"since":"start"}`)
	}
	return request("subscribe", `{"channels":[`+strings.Join(list, ",")+`]}`)
}

// subscribeChurn makes the edge open a feed for every other message. All channels are
// of a kind that the weak token covers; the spelling of some is close to one that only
// admins may read.
func subscribeChurn(a *attack, n int) []byte {
	name := quote(fmt.Sprintf("pool:%d-%d", a.round, n/2))
	if n/2%20 == 0 {
		name = quote([]string{"pool:payroll.", "pool:%70ayroll", "pool:payroll\u200b", "pool:Payroll", "pool:payroll/"}[n/40%5])
	}
	if n%2 == 0 {
		return request("subscribe", `{"channel":`+name+`}`)
	}
	return request("unsubscribe", `{"channel":`+name+`}`)
}
