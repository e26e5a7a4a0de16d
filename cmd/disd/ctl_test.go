package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestCtlCalls(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"clock", "GET /clock null"},
		{"clock freeze", "POST /clock/freeze {}"},
		{"clock advance 26h", `POST /clock/advance {"by":"26h"}`},
		{"clock run 60", `POST /clock/run {"speed":60}`},
		{"clock advance", ""},
		{"clock frezee", ""},
		{"reset", "POST /reset {}"},
		{"restore one", "POST /snapshots/one/restore null"},
		{"records p/s", "GET /streams/p/s/records null"},
		{"fault add operation=E19,records.last=2,records.error=DIS.4303,count=1",
			`POST /faults {"count":1,"operation":"E19","records":{"error":"DIS.4303","last":2}}`},
		{"fault add stream=a,stream=b,observe=true", `POST /faults {"observe":true,"stream":["a","b"]}`},
		{"fault rm f1", "DELETE /faults/f1 null"},
		{"fault add operation", ""},
		{"nothing", ""},
	} {
		calls, err := ctlCalls(strings.Fields(tt.args), "", false)
		if (err != nil) != (tt.want == "") {
			t.Errorf("CTL-94: %s: %v", tt.args, err)
			continue
		}
		if err != nil {
			continue
		}
		body, err := json.Marshal(calls[0].body)
		if got := calls[0].method + " " + calls[0].path + " " + string(body); err != nil || got != tt.want {
			t.Errorf("CTL-92: %s: %s, want %s", tt.args, got, tt.want)
		}
	}
}
