package sinks

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"disd/test/servers"
)

// A tsdb is a metric of a real OpenTSDB.
type tsdb struct {
	*servers.Server
	metric string
}

func newTSDB(t *testing.T) *tsdb {
	t.Helper()
	return &tsdb{server(t, "opentsdb"), strings.NewReplacer("/", ".", " ", "", "-", "").Replace(t.Name())}
}

func (s *tsdb) options() []string {
	return []string{"--transfer-cloudtable-clusters", `[{"name":"c","id":"1","opentsdb":{"url":"http://` + s.Get("OPENTSDB_HTTP") + `","timeout":"20s"}}]`}
}

func (s *tsdb) task() (string, object) {
	return "CLOUDTABLE", object{
		"cloudtable_cluster_name": "c", "cloudtable_cluster_id": "1", "obs_backup_bucket_path": "b",
		"opentsdb_schema": []object{{
			"metric":    []object{{"type": "Constant", "value": s.metric}},
			"timestamp": object{"type": "Timestamp", "value": "at"},
			"value":     object{"type": "Bigint", "value": "n"},
			"tags":      []object{{"name": "host", "type": "String", "value": "host"}},
		}},
	}
}

const epoch = 1_500_000_000_000 // ms

func (*tsdb) record(n int64) string {
	return fmt.Sprintf(`{"n":%d,"at":%d,"host":"h %d"}`, n, epoch+n*1000, n%3)
}

func (*tsdb) row(n int64) string { return fmt.Sprintf("h_%d %d %d", n%3, epoch+n*1000, n) }

func (s *tsdb) rows(t *testing.T) (rows []string) {
	t.Helper()
	url := fmt.Sprintf("http://%s/api/query?start=%d&end=%d&ms=true&m=none:%s%%7Bhost=*%%7D", s.Get("OPENTSDB_HTTP"), epoch-1, epoch+1_000_000_000, s.metric)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "No such name") {
		return nil // nothing was put yet
	}
	var series []struct {
		Tags map[string]string
		DPs  map[string]json.Number
	}
	if err := json.Unmarshal(text, &series); err != nil {
		t.Fatalf("%.500s: %v", text, err)
	}
	for _, one := range series {
		for at, value := range one.DPs {
			rows = append(rows, one.Tags["host"]+" "+at+" "+value.String())
		}
	}
	return rows
}

func (s *tsdb) crash(t *testing.T) {
	if err := s.Kill("PID_TSD"); err != nil {
		t.Fatal(err)
	}
}

func (*tsdb) revive(t *testing.T) { reviveTSDB(t) }

// reviveTSDB starts what was ended of OpenTSDB, or of the HBase below it.
func reviveTSDB(t *testing.T) {
	t.Helper()
	if err := server(t, "opentsdb").Revive(); err != nil {
		t.Fatal(err)
	}
}

func TestOpenTSDB(t *testing.T) {
	t.Run("TSDB-16 ends", func(t *testing.T) { ends(t, newTSDB(t)) })
}
