package security

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestQuotasOfAccounts: an account has its own quota, and the operator sees who
// exceeded which.
func TestQuotasOfAccounts(t *testing.T) {
	t.Attr("rules", "C-71 Q-20")
	s := launch(t, "--engine", "memory", "--quota-mode", "enforce", "--quota-control-calls", "4",
		"--auth-domains", `[{"name":"a","projects":[{"name":"r","id":"p1"}]},{"name":"b","projects":[{"name":"r","id":"p2"}]}]`)
	c := client{T: t, url: s.URL}
	answer := func(method, path, body string) string {
		t.Helper()
		resp := c.call("", "", method, path, body)
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for _, tt := range []struct{ project, name, want string }{{"p1", "s", ""}, {"p2", "s", ""}, {"p1", "t", "DIS.4308"}} {
		if got := answer(http.MethodPost, "/v2/"+tt.project+"/streams", `{"stream_name":"`+tt.name+`","partition_count":50}`); !strings.Contains(got, tt.want) || tt.want == "" && got != "" {
			t.Errorf("%+v: %s", tt, got)
		}
	}
	refused := false
	for range 100 {
		refused = refused || strings.Contains(answer(http.MethodDelete, "/v2/p2/streams/none", ""), "DIS.4305")
	}
	report := answer(http.MethodGet, "/_disd/quota", "")
	if !refused || !strings.Contains(report, `{"quota":"calls","project":"p2","count":`) ||
		!strings.Contains(report, `{"quota":"partitions","project":"p1","name":"t","count":1,`) {
		t.Errorf("refused %v, report %s", refused, report)
	}
	metrics := answer(http.MethodGet, "/_disd/metrics", "")
	if !strings.Contains(metrics, `disd_quota_exceeded_total{quota="partitions"} 1`) || !strings.Contains(metrics, `disd_quota_exceeded_total{quota="calls"}`) {
		t.Error("the metrics do not have the quotas")
	}
}
