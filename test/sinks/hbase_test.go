package sinks

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"disd/test/servers"
)

// A hbase is a table of a real HBase, with a family of one version and one of many.
type hbase struct {
	*servers.Server
	table string
}

func newHBase(t *testing.T) *hbase {
	t.Helper()
	h := &hbase{servers.At(server(t, "opentsdb").Get("HBASE_READY")), strings.NewReplacer("/", "_", " ", "_").Replace(t.Name())}
	h.rest(t, http.MethodPut, "/"+h.table+"/schema", `{"name":"`+h.table+`","ColumnSchema":[{"name":"one"},{"name":"many","VERSIONS":"100"}]}`, nil)
	return h
}

// rest asks the REST gateway and decodes the answer into v, unless v is nil.
func (h *hbase) rest(t *testing.T, method, path, body string, v any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+h.Get("HBASE_REST")+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		t.Fatal(err)
	case resp.StatusCode == http.StatusNotFound && v != nil: // an empty table
	case resp.StatusCode >= 300:
		t.Fatalf("%s %s: %s, %s", method, path, resp.Status, text)
	case v != nil:
		if err := json.Unmarshal(text, v); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
}

func (h *hbase) options() []string {
	return []string{"--transfer-cloudtable-clusters", `[{"name":"c","id":"1","hbase":{"thrift":["` + h.Get("HBASE_THRIFT") + `"],"timeout":"20s"}}]`}
}

func (h *hbase) task() (string, object) {
	column := func(family, name, kind string) object {
		return object{"column_family_name": family, "column_name": name, "value": name, "type": kind}
	}
	return "CLOUDTABLE", object{
		"cloudtable_cluster_name": "c", "cloudtable_cluster_id": "1", "cloudtable_table_name": h.table,
		"cloudtable_schema": object{
			"row_key": []object{{"value": "n", "type": "Bigint"}},
			"columns": []object{column("one", "s", "String"), column("many", "n", "Bigint"), column("one", "d", "Double"), column("one", "b", "Boolean"), column("one", "x", "Decimal"), column("one", "at", "Timestamp"), column("one", "o", "String")},
		},
		"obs_backup_bucket_path": "b",
	}
}

func (*hbase) record(n int64) string {
	return fmt.Sprintf(`{"n":%d,"s":"s%d","d":%d.50,"b":true,"x":"1.%d0","at":%d,"o":{"a": [%d]}}`, n, n, n, n, n, n)
}

func (*hbase) row(n int64) string {
	return fmt.Sprintf(`%d many:n=%d one:at=%d one:b=true one:d=%d.5 one:o={"a": [%d]} one:s=s%d one:x=1.%d0`, n, n, n, n, n, n, n)
}

// rows returns each row with all its cells. A cell that has several versions is there
// several times.
func (h *hbase) rows(t *testing.T) (rows []string) {
	var answer struct {
		Row []struct {
			Key  string `json:"key"`
			Cell []struct {
				Column string `json:"column"`
				Value  string `json:"$"`
			}
		}
	}
	h.rest(t, http.MethodGet, "/"+h.table+"/*?v=100", "", &answer)
	for _, r := range answer.Row {
		row := plain(t, r.Key)
		for _, c := range r.Cell {
			row += " " + plain(t, c.Column) + "=" + plain(t, c.Value)
		}
		rows = append(rows, row)
	}
	return rows
}

func plain(t *testing.T, encoded string) string {
	t.Helper()
	text, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (h *hbase) crash(t *testing.T) {
	for _, daemon := range []string{"PID_MASTER", "PID_THRIFT"} {
		if err := h.Kill(daemon); err != nil {
			t.Fatal(err)
		}
	}
}

// revive also waits for the table: OpenTSDB may answer before HBase does.
func (h *hbase) revive(t *testing.T) {
	reviveTSDB(t)
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(200 * time.Millisecond) {
		resp, err := http.Get("http://" + h.Get("HBASE_REST") + "/" + h.table + "/none")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusNotFound { // the row
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("HBase does not serve: %v", err)
		}
	}
}

func TestHBase(t *testing.T) {
	t.Run("HBASE-14 ends", func(t *testing.T) { ends(t, newHBase(t)) })
}
