package server_test

import (
	"fmt"
	"strings"
	"testing"
)

func TestEmulatorFaults(t *testing.T) {
	const fault = controls + "/faults"
	ready := func(t *testing.T) *emulated {
		e := emulator(t)
		e.stream("p", "s")
		return e
	}
	upload := func(e *emulated, n int) (int, string) {
		return e.do("POST", "/v2/p/records", fmt.Sprintf(`{"stream_name":"s","records":[%s]}`,
			strings.TrimSuffix(strings.Repeat(`{"data":"eA==","partition_id":"0"},`, n), ",")))
	}
	stored := func(e *emulated, n int) {
		t.Helper()
		e.want("POST", controls+"/wait", fmt.Sprintf(`{"timeout":"1s","records":{"project":"p","stream":"s","count":%d}}`, n), 200)
		e.want("POST", controls+"/wait", fmt.Sprintf(`{"timeout":"1ms","records":{"project":"p","stream":"s","count":%d}}`, n+1), 409, "CTL.NotReached")
	}
	t.Run("CTL-18", func(t *testing.T) {
		e := ready(t)
		e.want("POST", fault, `{"operation":"SendRecords","error":"DIS.5000","count":2}`, 201, `"id":"f1"`, `"state":"armed"`)
		e.want("POST", fault, `{"operation":"E19","error":"DIS.4301","count":1}`, 201, `"id":"f2"`)
		for i, want := range []string{"DIS.5000", "DIS.5000", "DIS.4301", "sequence_number"} {
			if _, answer := upload(e, 1); !strings.Contains(answer, want) {
				t.Errorf("answer %d is %s, want %s", i, answer, want)
			}
		}
		e.want("GET", fault+"/f1", "", 200, `"state":"spent"`, `"matched":2`, `"fired":2`, `"request_id"`)
		e.want("GET", fault+"/f1/wait?fired=2", "", 200)
		e.want("GET", fault+"/f1/wait?fired=3&timeout=1ms", "", 409, "CTL.NotReached")
		stored(e, 1)
		e.want("DELETE", fault, "", 200, `"id":"f1"`, `"id":"f2"`)
		e.want("GET", fault+"/f1", "", 404, "CTL.NotFound")
	})
	t.Run("CTL-21", func(t *testing.T) {
		e := ready(t)
		e.want("POST", fault, `{"operation":"SendRecords","error":"DIS.5000","effect":"after","count":1}`, 201)
		if status, answer := upload(e, 1); status != 500 || !strings.Contains(answer, "DIS.5000") {
			t.Errorf("%d %s", status, answer)
		}
		stored(e, 1)
		e.want("POST", fault, `{"operation":"SendRecords","abort":"close","count":1}`, 201)
		if status, answer := upload(e, 1); status != 0 {
			t.Errorf("%d %s", status, answer)
		}
		stored(e, 1)
	})
	t.Run("CTL-22", func(t *testing.T) {
		e := ready(t)
		e.want("POST", fault, `{"operation":"SendRecords","stream":"s","partition":0,"records":{"last":2,"error":"DIS.4303"},"count":1}`, 201)
		if _, answer := upload(e, 3); !strings.Contains(answer, `"failed_record_count":2`) || strings.Count(answer, "DIS.4303") < 2 {
			t.Errorf("%s", answer)
		}
		if _, answer := upload(e, 1); !strings.Contains(answer, `"sequence_number":"1"`) {
			t.Errorf("numbers are not dense: %s", answer)
		}
	})
	t.Run("CTL-23", func(t *testing.T) {
		e := ready(t)
		upload(e, 3)
		at := e.cursor("p", "s", "TRIM_HORIZON")
		e.want("POST", fault, `{"operation":["GetRecords","GetCursor"],"hide":{"records":2}}`, 201)
		if answer := e.want("GET", "/v2/p/records?partition-cursor="+at, "", 200); strings.Count(answer, "sequence_number") != 1 {
			t.Errorf("%s", answer)
		}
	})
	t.Run("CTL-24", func(t *testing.T) {
		e := ready(t)
		e.want("POST", fault, `{"operation":"ShowStream","body":{"truncate":"40%"},"count":1}`, 201)
		if status, answer := e.do("GET", "/v2/p/streams/s", ""); status != 200 || !strings.Contains(answer, "EOF") {
			t.Errorf("%d %s", status, answer)
		}
	})
	t.Run("CTL-13", func(t *testing.T) {
		e := ready(t)
		for body, want := range map[string]string{
			`{"operation":"SendRecords"}`:                                              "does nothing",
			`{"operation":"SendRecord","error":"DIS.5000"}`:                            "did you mean SendRecords?",
			`{"operation":"SendRecords","error":"DIS.4303"}`:                           "use records",
			`{"operation":"SendRecords","error":"DIS.9999"}`:                           "no error of the API",
			`{"operation":"SendRecords","error":"DIS.5000","cuont":1}`:                 "cuont: unknown, did you mean count?",
			`{"operation":"SendRecords","error":"DIS.5000","probability":0.5}`:         "come together",
			`{"operation":"SendRecords","error":"DIS.5000","observe":true}`:            "more than one thing",
			`{"faults":[{"operation":"E20","observe":true},{"operation":"E20"}]}`:      "faults[1]: does nothing",
			`{"operation":"SendRecords","error":"DIS.5000","partition":0}`:             "use records",
			`{"operation":"ListStreams","error":"DIS.5000","stream":"no such/stream"}`: "form of no stream",
		} {
			e.want("POST", fault, body, 400, "CTL.Invalid", want)
		}
		e.want("GET", fault, "", 200, `{"faults":[]}`)
	})
	t.Run("CTL-14", func(t *testing.T) {
		e := ready(t)
		e.want("POST", fault, `{"operation":"SendRecords","stream":"odrers","error":"DIS.5000"}`, 201, `"state":"waiting"`)
	})
	t.Run("CTL-72", func(t *testing.T) {
		e := ready(t)
		upload(e, 2)
		e.do("GET", "/v2/p/streams/nothing", "")
		e.want("GET", controls+"/requests?operation=SendRecords", "", 200, `"count":1`, `"stream":"s"`, `"records":2`, `"partitions":["shardId-0000000000"]`, `"status":200`)
		e.want("GET", controls+"/requests?code=DIS.4301", "", 200, `"count":1`, `"operation":"ShowStream"`)
		e.want("GET", controls+"/requests/wait?operation=SendRecords&count=1", "", 200, `"count":1`)
		e.want("GET", controls+"/requests/wait?operation=SendRecords&count=2&timeout=1ms", "", 409, "CTL.NotReached")
		e.want("DELETE", controls+"/requests", "", 200)
		e.want("GET", controls+"/requests", "", 200, `"count":0`)
	})
}
