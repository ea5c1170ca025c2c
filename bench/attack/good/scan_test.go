//go:build linux

package good

import (
	"encoding/json"
	"testing"

	"github.com/bodhisattva/indranet/bench/attack/stage"
)

func TestEventsAreReadAlikeBothWays(t *testing.T) {
	want := stage.Body{Mark: stage.Members.Mark(), C: 7, N: 12, SentNS: 123456789, Text: "xx"}
	body, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	for text, quick := range map[string]bool{
		`{"type":"event","room":"workflow:a","seq":9,"prev":3,"event":"e","id":"i","data":{"workflow_id":"a","result":` + string(body) + `}}`: true,
		`{"type":"event","room":"pool:p","seq":9,"prev":3,"event":"e","data":{"pool_id":"p","metrics":` + string(body) + `}}`:                 true,
		` {"data":{"result":` + string(body) + `},"room":"r","prev":3,"seq":9,"type":"event"}`:                                                false,
		`{"type":"event","room":"a\"b","seq":9,"prev":3,"data":{"result":` + string(body) + `}}`:                                              false,
	} {
		var slow message
		if err := json.Unmarshal([]byte(text), &slow); err != nil {
			t.Fatal(err)
		}
		b, ok := slow.parseEvent()
		if !ok || b != want || slow.Seq != 9 || slow.Prev != 3 {
			t.Errorf("%s: %+v, %+v", text, slow, b)
		}
		m, b, ok := scanEvent([]byte(text))
		if b.Text = want.Text; ok != quick || ok && (b != want || m.Room != slow.Room || m.Seq != 9 || m.Prev != 3) {
			t.Errorf("%s: %t, %+v, %+v", text, ok, m, b)
		}
	}
	for _, text := range []string{
		``, `{}`, `{"type":"event","event":"welcome","data":{}}`, `{"type":"event","room":"a","seq":9`, `{"type":"event","room":"a","seq":9,"prev":3,"data":{}}`,
		`{"type":"event","room":"a","seq":99999999999999999999,"prev":3,"data":{"result":` + string(body) + `}}`,
	} {
		if m, b, ok := scanEvent([]byte(text)); ok {
			t.Errorf("%s is %+v, %+v", text, m, b)
		}
	}
}
