package directget

import (
	"encoding/json"
	"testing"
)

func TestAnAnswerWithoutALeaderIsNotBelieved(t *testing.T) {
	for text, want := range map[string]bool{
		`{"leader":"n1","replicas":[{"name":"n2"},{"name":"n3"}]}`:               true,
		`{"replicas":[{"name":"n1"},{"name":"n2"},{"name":"n3"}]}`:               false,
		`{"leader":"n2","replicas":[{"name":"n1"},{"name":"n2"},{"name":"n3"}]}`: false,
		`{}`: false,
	} {
		var c clusterInfo
		if err := json.Unmarshal([]byte(text), &c); err != nil {
			t.Fatal(err)
		}
		if c.led() != want {
			t.Errorf("%s: led %v", text, !want)
		}
	}
}
