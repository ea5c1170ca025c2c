package demo

import (
	"math"
	"time"

	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/excalidraw"
)

// draw lets two people draw what the act is about: their cursors move all the time
// that they are there.
func (a *act) draw(from time.Duration) {
	diagram, room := "d-"+a.topic, "room-"+a.topic
	s := a.story(from)
	s.then(time.Second, excalidraw.UserJoined{RoomID: room, UserID: a.user.id, Name: a.user.name, Color: a.user.color})
	joined := s.at
	s.then(1500*time.Millisecond, excalidraw.UserJoined{RoomID: room, UserID: a.friend.id, Name: a.friend.name, Color: a.friend.color})
	joinedToo := s.at

	element := func(name string) string { return "el-" + name + "-" + a.retry }
	for i, name := range []string{"client", "edge", "log"} {
		s.then(2*time.Second, excalidraw.ElementAdded{
			DiagramID: diagram, ElementID: element(name), Type: "rectangle", UserID: a.user.id,
			Props: map[string]any{"x": 60 + 220*i, "y": 80, "width": 160, "height": 90, "label": name},
		})
		s.then(800*time.Millisecond, excalidraw.SelectionChanged{RoomID: room, UserID: a.user.id, ElementIDs: []string{element(name)}})
		s.then(500*time.Millisecond, excalidraw.ElementUpdated{
			DiagramID: diagram, ElementID: element(name), UserID: a.user.id, Changes: map[string]any{"y": 100 + a.rng.IntN(60)},
		})
	}
	s.then(1500*time.Millisecond, excalidraw.ElementAdded{
		DiagramID: diagram, ElementID: element("note"), Type: "text", UserID: a.friend.id,
		Props: map[string]any{"x": 300, "y": 240, "text": a.broken + " or " + a.healthy + "?"},
	})
	s.then(700*time.Millisecond, excalidraw.SelectionChanged{RoomID: room, UserID: a.friend.id, ElementIDs: []string{element("note"), element("edge")}})
	s.then(3*time.Second, excalidraw.ElementDeleted{DiagramID: diagram, ElementID: element("note"), UserID: a.friend.id})
	s.wait(time.Second)
	s.publish(excalidraw.DiagramSaved{
		DiagramID: diagram, StorageKey: "diagrams/" + diagram + "/" + a.session + ".json", Timestamp: s.clock(),
	})
	s.then(700*time.Millisecond, excalidraw.DiagramLocked{DiagramID: diagram, UserID: a.user.id, Reason: "review of " + a.branch})
	s.then(1500*time.Millisecond, excalidraw.UserLeft{RoomID: room, UserID: a.friend.id})
	leftToo := s.at
	s.then(1200*time.Millisecond, excalidraw.UserLeft{RoomID: room, UserID: a.user.id})
	left := s.at
	s.then(300*time.Millisecond, notice(schema.Excalidraw, "info", "room is empty and was archived", map[string]any{"room_id": room}))

	a.moveCursor(room, a.user, joined, left)
	a.moveCursor(room, a.friend, joinedToo, leftToo)
}

// moveCursor lets a person's cursor wander on a smooth curve.
func (a *act) moveCursor(room string, p person, from, until time.Duration) {
	phase := a.rng.Float64() * 2 * math.Pi
	s := a.story(from)
	for s.wait(400 * time.Millisecond); s.at < until; s.wait(400 * time.Millisecond) {
		angle := phase + s.at.Seconds()/3
		s.publish(excalidraw.CursorMoved{
			RoomID: room, UserID: p.id, Color: p.color,
			X: math.Round(360 + 300*math.Cos(angle)), Y: math.Round(200 + 140*math.Sin(2*angle)),
		})
	}
}
