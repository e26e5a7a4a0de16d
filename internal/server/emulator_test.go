package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"disd/internal/config"
	"disd/internal/server"
)

// An emulated server that a test talks to.
type emulated struct {
	*testing.T
	url string
}

func emulator(t *testing.T, edit ...func(*config.Config)) *emulated {
	t.Helper()
	c := config.Default()
	c.Engine, c.Emulator.Enabled, c.EmptyWait = "memory", true, 0
	for _, f := range edit {
		f(c)
	}
	e, err := server.OpenEmulator(c, server.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	h := httptest.NewServer(e.Handler())
	t.Cleanup(func() {
		h.Close()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return &emulated{t, h.URL}
}

// do sends a request and returns its answer.
func (e *emulated) do(method, path, body string) (int, string) {
	e.Helper()
	r, err := http.NewRequestWithContext(e.Context(), method, e.url+path, strings.NewReader(body))
	if err != nil {
		e.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return resp.StatusCode, err.Error()
	}
	return resp.StatusCode, string(answer)
}

// want sends a request whose answer must have a status and parts.
func (e *emulated) want(method, path, body string, status int, parts ...string) string {
	e.Helper()
	got, answer := e.do(method, path, body)
	if got != status {
		e.Fatalf("%s %s %s: %d %s, want %d", method, path, body, got, answer, status)
	}
	for _, part := range parts {
		if !strings.Contains(answer, part) {
			e.Errorf("%s %s %s: %s, want %s in it", method, path, body, answer, part)
		}
	}
	return answer
}

const controls = "/_disd/test"

func (e *emulated) stream(project, name string) {
	e.Helper()
	e.want("POST", "/v2/"+project+"/streams", fmt.Sprintf(`{"stream_name":%q,"partition_count":1}`, name), 201)
}

func (e *emulated) put(project, stream string, n int) string {
	e.Helper()
	var records []string
	for range n {
		records = append(records, `{"data":"eA==","partition_id":"0"}`)
	}
	return e.want("POST", "/v2/"+project+"/records", fmt.Sprintf(`{"stream_name":%q,"records":[%s]}`, stream, strings.Join(records, ",")), 200)
}

func (e *emulated) cursor(project, stream, kind string) string {
	e.Helper()
	var v struct {
		Cursor string `json:"partition_cursor"`
	}
	answer := e.want("GET", "/v2/"+project+"/cursors?stream-name="+stream+"&partition-id=0&cursor-type="+kind, "", 200)
	if err := json.Unmarshal([]byte(answer), &v); err != nil {
		e.Fatal(err)
	}
	return v.Cursor
}

func TestEmulatorClock(t *testing.T) {
	t.Run("CTL-42", func(t *testing.T) {
		e := emulator(t)
		e.want("POST", controls+"/clock/freeze", `{}`, 200, `"mode":"frozen"`)
		e.stream("p", "s")
		e.put("p", "s", 1)
		at := e.cursor("p", "s", "TRIM_HORIZON")
		read := "/v2/p/records?partition-cursor=" + at
		e.want("POST", controls+"/clock/advance", `{"by":"5m"}`, 200)
		e.want("GET", read, "", 200, `"sequence_number":"0"`)
		e.want("POST", controls+"/clock/advance", `{"by":"1ms"}`, 200)
		e.want("GET", read, "", 400, "DIS.4225")
	})
	t.Run("CTL-34", func(t *testing.T) {
		e := emulator(t)
		e.want("POST", controls+"/clock/freeze", `{}`, 200)
		e.stream("p", "s")
		e.put("p", "s", 3)
		e.want("POST", controls+"/clock/advance", `{"by":"24h"}`, 200)
		e.want("GET", controls+"/streams/p/s/records", "", 200, `"sequence_number":"2"`)
		e.want("POST", controls+"/clock/advance", `{"by":"1ms"}`, 200, `"retention":1`)
		e.want("GET", controls+"/streams/p/s/records", "", 200, `"records":[]`)
	})
	t.Run("CTL-37", func(t *testing.T) {
		e := emulator(t)
		for i := range 20 {
			e.stream("p", fmt.Sprint("s", i))
		}
		var v struct {
			Took int `json:"took_ms"`
		}
		for _, by := range []string{"72h", "365d"} {
			answer := e.want("POST", controls+"/clock/advance", `{"by":"`+by+`"}`, 200)
			if err := json.Unmarshal([]byte(answer), &v); err != nil {
				t.Fatal(err)
			}
			t.Logf("%s took %d ms", by, v.Took)
		}
	})
	t.Run("CTL-38", func(t *testing.T) {
		e := emulator(t)
		e.want("POST", controls+"/clock/set", `{"to":"2001-01-01T00:00:00Z"}`, 409, "CTL.Conflict")
		e.want("POST", controls+"/clock/freeze", `{"at":"2001-01-01T00:00:00Z"}`, 409, "CTL.Conflict")
		e.want("POST", controls+"/clock/set", `{"to":"2101-01-01T00:00:00Z"}`, 200, `"mode":"running"`, `"now":"2101-01-01T00:00:00.`)
		e.want("POST", controls+"/clock/run", `{"speed":60}`, 200, `"speed":60`)
		e.want("POST", controls+"/clock/resume", ``, 200, `"speed":1`, `"now":"2101`)
	})
	t.Run("CTL-5", func(t *testing.T) {
		e := emulator(t)
		e.want("POST", controls+"/clock/advance", `{"by":5}`, 400, "CTL.Invalid", "by: must be a text with a unit")
		e.want("POST", controls+"/clock/advance", `{"by":"5 minutes"}`, 400, "CTL.Invalid")
		e.want("POST", controls+"/clock/advance", `{"bz":"5m"}`, 400, "bz: unknown, did you mean by?")
		e.want("POST", controls+"/clock/advance", `{"by":"5m","by":"6m"}`, 400, "by: repeated")
		e.want("POST", controls+"/clock/advance", `{}`, 400, "needs either by or to")
	})
}

func TestEmulatorGone(t *testing.T) {
	t.Run("CTL-1", func(t *testing.T) {
		c := config.Default()
		c.Engine = "memory"
		s, err := server.Open(c, server.Options{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		h := httptest.NewServer(s.Handler())
		defer h.Close()
		e := &emulated{t, h.URL}
		for _, path := range []string{controls, controls + "/clock", controls + "/faults", "/_disd/TEST/clock", "/x/.." + controls} {
			for _, method := range []string{"GET", "POST", "DELETE"} {
				e.want(method, path, "", 404, "APIGW.0101")
			}
		}
	})
}

func TestEmulatorReset(t *testing.T) {
	t.Run("CTL-46", func(t *testing.T) {
		e := emulator(t)
		e.want("POST", controls+"/clock/freeze", `{}`, 200)
		e.stream("p", "s")
		e.put("p", "s", 3)
		old := e.cursor("p", "s", "TRIM_HORIZON")
		e.want("POST", "/v2/p/apps", `{"app_name":"a"}`, 201)
		e.want("POST", controls+"/reset", `{}`, 200, `"streams":1,"apps":1,"tasks":0,"records":3`)
		e.want("GET", "/v2/p/streams/s", "", 400, "DIS.4301")
		e.want("GET", "/v2/p/apps/a", "", 400, "DIS.4332")
		e.want("GET", controls+"/clock", "", 200, `"mode":"wall"`)
		e.stream("p", "s")
		e.put("p", "s", 1)
		e.want("GET", "/v2/p/records?partition-cursor="+old, "", 400, "DIS.4301") // CTL-49
		e.want("GET", controls+"/streams/p/s/records", "", 200, `"sequence_number":"0"`)
	})
	t.Run("CTL-48", func(t *testing.T) {
		e := emulator(t)
		for _, project := range []string{"p", "q"} {
			e.stream(project, "s")
			e.put(project, "s", 1)
			e.want("POST", "/v2/"+project+"/apps", `{"app_name":"a"}`, 201)
			e.want("POST", "/v2/"+project+"/checkpoints", `{"app_name":"a","checkpoint_type":"LAST_READ","stream_name":"s","partition_id":"0","sequence_number":"1"}`, 201)
		}
		before := e.want("GET", "/v2/q/streams/s", "", 200)
		e.want("POST", controls+"/reset", `{"project":"p"}`, 200, `"streams":1,"apps":1,"tasks":0,"records":1`)
		e.want("POST", controls+"/reset", `{"project":"p"}`, 200, `"streams":0,"apps":0,"tasks":0,"records":0`)
		e.want("GET", "/v2/p/streams/s", "", 400, "DIS.4301")
		e.want("GET", "/v2/p/apps/a", "", 400, "DIS.4332")
		if after := e.want("GET", "/v2/q/streams/s", "", 200); after != before {
			t.Errorf("another project changed: %s, was %s", after, before)
		}
		e.want("GET", "/v2/q/checkpoints?app_name=a&stream_name=s&partition_id=0&checkpoint_type=LAST_READ", "", 200, `"sequence_number":"1"`)
	})
	t.Run("CTL-49", func(t *testing.T) {
		e := emulator(t)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		bad := make(chan string, 100)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for ctx.Err() == nil {
				e.do("POST", "/v2/p/streams", `{"stream_name":"s","partition_count":1}`)
				status, answer := e.do("POST", "/v2/p/records", `{"stream_name":"s","records":[{"data":"eA=="}]}`)
				if status != 200 && !strings.Contains(answer, "DIS.4301") && ctx.Err() == nil {
					select {
					case bad <- fmt.Sprint(status, answer):
					default:
					}
				}
			}
		}()
		for range 30 {
			e.want("POST", controls+"/reset", `{}`, 200)
			time.Sleep(2 * time.Millisecond)
		}
		stop()
		<-done
		select {
		case got := <-bad:
			t.Errorf("a request was answered %s", got)
		default:
		}
	})
}

func TestEmulatorSnapshot(t *testing.T) {
	t.Run("CTL-56", func(t *testing.T) {
		e := emulator(t)
		e.want("POST", controls+"/clock/freeze", `{}`, 200)
		e.stream("p", "s")
		e.put("p", "s", 2)
		at := e.cursor("p", "s", "TRIM_HORIZON")
		e.want("POST", controls+"/snapshots", `{"name":"one"}`, 201, `"streams":1,"records":2`)
		e.want("POST", controls+"/snapshots", `{"name":"one"}`, 409, "CTL.Conflict")
		e.want("GET", controls+"/snapshots", "", 200, `"name":"one"`)
		before := e.want("GET", "/v2/p/streams/s", "", 200)
		for range 2 {
			e.put("p", "s", 1)
			e.stream("p", "later")
			e.want("POST", controls+"/clock/advance", `{"by":"1h"}`, 200)
			e.want("POST", controls+"/snapshots/one/restore", "", 200)
			if after := e.want("GET", "/v2/p/streams/s", "", 200); after != before {
				t.Errorf("restored to %s, was %s", after, before)
			}
			e.want("GET", "/v2/p/streams/later", "", 400, "DIS.4301")
			e.want("GET", "/v2/p/records?partition-cursor="+at, "", 200, `"sequence_number":"1"`)
		}
		e.want("DELETE", controls+"/snapshots/one", "", 200)
		e.want("POST", controls+"/snapshots/one/restore", "", 404, "CTL.NotFound")
	})
}

func TestEmulatorSeed(t *testing.T) {
	seed := `{"projects":[{"id":"p","streams":[{"stream_name":"orders","partition_count":2,
		"records":[{"text":"hello","partition_id":"0","age":"2h"},{"json":{"id":7},"partition_id":"1"}]}],
		"apps":[{"app_name":"billing","checkpoints":[{"stream_name":"orders","partition_id":"0","sequence_number":"1"}]}]}],
		"faults":[{"operation":"SendRecords","error":"DIS.5000","count":1}]}`
	t.Run("CTL-53", func(t *testing.T) {
		e := emulator(t)
		e.want("POST", controls+"/clock/freeze", `{}`, 200)
		e.want("POST", controls+"/seed", seed, 200, `"streams":1,"apps":1,"tasks":0,"records":2,"faults":1`)
		e.want("POST", controls+"/seed", seed, 409, "CTL.Conflict", "projects[0].streams[0]: stream orders of project p exists")
		e.want("POST", controls+"/seed?existing=skip", seed, 200, `"streams":0`)
		e.want("POST", controls+"/seed?existing=replace", seed, 200, `"streams":1`)
		records := e.want("GET", controls+"/streams/p/orders/records", "", 200, `"text":"hello"`, `"json":{"id":7}`)
		var v struct {
			Records []struct {
				At int64 `json:"append_time_ms"`
			} `json:"records"`
		}
		if err := json.Unmarshal([]byte(records), &v); err != nil || len(v.Records) != 2 || v.Records[1].At-v.Records[0].At != 2*3600*1000 {
			t.Errorf("records %s, %v", records, err)
		}
	})
	t.Run("CTL-51", func(t *testing.T) {
		e := emulator(t)
		e.want("POST", controls+"/seed", `{"projects":[{"id":"p","streams":[{"stream_name":"s","partition_cuont":1}]}]}`, 400,
			"projects[0].streams[0].partition_cuont: unknown, did you mean partition_count?")
		e.want("POST", controls+"/seed", `{"projects":[{"id":"p","streams":[{"stream_name":"s","partition_count":1},{"stream_name":"t","partition_count":1,"data_duration":1}]}]}`, 400,
			"projects[0].streams[1]", "DIS.4200")
		e.want("GET", "/v2/p/streams/s", "", 400, "DIS.4301") // nothing of it remains
	})
}
