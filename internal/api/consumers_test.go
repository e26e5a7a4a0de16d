package api_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"disd/internal/partition"
	"disd/internal/quota"
)

// TestGroup is E43 to E46 on the wire, a group of two that forms, moves and ends.
// The coordinator itself is tested in its package.
func TestGroup(t *testing.T) {
	b := newBench(t)
	b.want(201, "POST", "/p/streams", `{"stream_name":"s1","partition_count":3}`)
	b.want(201, "POST", "/p/apps", `{"app_name":"g1"}`)
	id := b.want(200, "GET", "/p/streams/s1", "").member(t, "stream_id").(string)
	join := func(client, extra string) string {
		return fmt.Sprintf(`{"groupId":"g1","clientId":%q,%s"accelerateAssignEnabled":false,"rebalanceTimeoutMs":20000}`, client, extra)
	}
	const s1 = `"interestedStream":["s1"],`
	commit := func(client string, generation int) string {
		return fmt.Sprintf(`{"app_name":"g1","stream_name":"s1","partition_id":"0","sequence_number":"0","client_id":%q,"generation_id":%d}`, client, generation)
	}
	for i, step := range []struct {
		rule, method, path, body, want string
	}{
		{"G-3", "POST", "apps/none/consumers", join("A", s1), `{"state":"GROUP_NOT_EXIST"}`},
		{"G-3", "POST", "apps/none/consumers/A/heartbeats", `{"generation":-1}`, `{"state":"GROUP_NOT_EXIST"}`},
		{"G-3", "POST", "apps/none/consumers/A/partitions", `{"generation":-1}`, `{"state":"GROUP_NOT_EXIST"}`},
		{"E46-R1", "DELETE", "apps/none/consumers/A", ``, ``},
		{"E45-R1", "POST", "apps/g1/consumers/A/heartbeats", `{"groupId":"g1","clientId":"A","generation":-1}`, `{"state":"JOINING"}`},
		{"G-4", "POST", "apps/g1/consumers/A/partitions", `{"groupId":"g1","clientId":"A","generation":-1}`, `{"state":"REJOIN"}`},
		{"G-16", "POST", "checkpoints", commit("A", 1), "DIS.4702"},
		{"E43, G-8", "POST", "apps/g1/consumers/", join("A", s1), `{"state":"OK","subscription":["s1"],"syncDelayedTimeMs":0}`},
		{"E44", "POST", "apps/g1/consumers/A/partitions/", `{"groupId":"g1","clientId":"A","generation":-1}`, `{"state":"OK","generation":1,"assignment":{"s1":[0,1,2]}}`},
		{"E44-R1", "POST", "apps/g1/consumers/A/partitions", `{"generation":1}`, `{"state":"OK","generation":1,"assignment":{"s1":[0,1,2]}}`},
		{"E45", "POST", "apps/g1/consumers/A/heartbeats", `{"generation":1}`, `{"state":"STABLE"}`},
		{"G-16", "POST", "checkpoints", commit("A", 1), ""},
		{"G-16", "POST", "checkpoints", commit("A", 7), "DIS.4703"},
		{"G-17", "POST", "checkpoints", `{"app_name":"g1","stream_name":"s1","partition_id":"0","sequence_number":"0"}`, ""},
		{"G-12", "POST", "apps/g1/consumers", join("B", `"interestedStream":["nothing"],`), `{"state":"ERR_SUBSCRIPTION"}`},
		{"G-12", "POST", "apps/g1/consumers", join("B", `"interestedStreamIdList":["0000000000000000000"],`), `{"state":"ERR_SUBSCRIPTION"}`},
		{"E43-R2", "POST", "apps/g1/consumers", join("", s1), "DIS.4200"},
		{"E43-R2", "POST", "apps/g1/consumers", join("B", ""), "DIS.4200"},
		{"E43-R3", "POST", "apps/g1/consumers", join(strings.Repeat("B", 1025), s1), "DIS.4200"},
		{"E45", "POST", "apps/g1/consumers/A/heartbeats", `{"clientId":"A"}`, "DIS.4200"},
		{"G-13", "POST", "apps/g1/consumers", join("B", `"streamPattern":"s.*","interestedStream":[],`), `{"state":"OK","subscription":["s1"],"syncDelayedTimeMs":`},
		{"G-4", "POST", "apps/g1/consumers/A/heartbeats", `{"generation":1}`, `{"state":"JOINING"}`},
		{"G-4", "POST", "apps/g1/consumers/B/partitions", `{"generation":-1}`, `{"state":"WAITING"}`},
		{"G-16 the old generation", "POST", "checkpoints", commit("A", 1), ""},
		{"E43 by id", "POST", "apps/g1/consumers", join("A", `"interestedStreamIdList":["`+id+`"],`), `{"state":"OK","subscription":["` + id + `"],"syncDelayedTimeMs":`},
		{"G-4", "POST", "apps/g1/consumers/B/heartbeats", `{"generation":-1}`, `{"state":"SYNCING"}`},
		{"G-16", "POST", "checkpoints", commit("A", 1), "DIS.4701"},
		{"G-14", "POST", "apps/g1/consumers/A/partitions", `{"generation":1}`, `{"state":"OK","generation":2,"assignment":{"` + id + `":[`},
		{"G-14", "POST", "apps/g1/consumers/B/partitions", `{"generation":-1}`, `{"state":"OK","generation":2,"assignment":{"s1":[`},
		{"G-19", "DELETE", "apps/g1", ``, "DIS.4331"},
		{"E46", "DELETE", "apps/g1/consumers/B/", ``, ``},
		{"G-10", "POST", "apps/g1/consumers/B/heartbeats", `{"generation":-1}`, `{"state":"JOINING"}`},
	} {
		a := b.do(step.method, "/p/"+step.path, step.body)
		b.clock.advance(100 * time.Millisecond) // a member hears of a round a second after its last sync
		got := a.body
		if a.status >= 400 {
			got = a.code(t)
		}
		if got != step.want && !(strings.HasSuffix(step.want, ":") || strings.HasSuffix(step.want, "[")) || !strings.HasPrefix(got, step.want) {
			t.Fatalf("step %d, %s: %s %s %s\ngot  %s\nwant %s", i, step.rule, step.method, step.path, step.body, got, step.want)
		}
	}
}

// TestGroupQuota is E43-R1 and G-19.
func TestGroupQuota(t *testing.T) {
	b := newBench(t, quotas(quota.Enforce, partition.Quotas{}), func(s *setup) { s.Quotas.Members = 3 })
	b.want(201, "POST", "/p/streams", `{"stream_name":"s1","partition_count":1}`)
	b.want(201, "POST", "/p/apps", `{"app_name":"g1"}`)
	for i := range 4 {
		a := b.do("POST", "/p/apps/g1/consumers", fmt.Sprintf(`{"clientId":"%d","interestedStream":["s1"]}`, i))
		if i < 3 && a.status != 200 || i == 3 && (a.status != 400 || a.code(t) != "DIS.4339") {
			t.Errorf("member %d: %d %s", i, a.status, a.body)
		}
	}
}
