package sinks

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
	"testing"

	"disd/test/servers"
)

// A hdfs is a directory in a real HDFS.
type hdfs struct {
	*servers.Server
	root string
}

func newHDFS(t *testing.T) *hdfs {
	h := &hdfs{server(t, "hdfs"), "/" + strings.ReplaceAll(t.Name(), "/", "-")}
	h.do(t, http.MethodPut, h.root, "MKDIRS", nil)
	return h
}

func (h *hdfs) options() []string {
	return []string{"--transfer-mrs-clusters", `[{"name":"c","id":"1","user":"` + h.Get("HDFS_USER") + `","addresses":["` + h.Get("HDFS_WEB") + `"]}]`}
}

func (h *hdfs) task() (string, object) {
	return "MRS", object{"mrs_cluster_name": "c", "mrs_cluster_id": "1", "mrs_hdfs_path": h.root, "hdfs_prefix_folder": "f", "obs_bucket_path": "b"}
}

func (*hdfs) record(n int64) string { return fmt.Sprintf(`{"n":%d}`, n) }
func (*hdfs) row(n int64) string    { return fmt.Sprintf(`{"n":%d}`, n) }

// do asks WebHDFS and decodes the answer into v, unless v is nil.
func (h *hdfs) do(t *testing.T, method, at, op string, v any) {
	t.Helper()
	if v == nil {
		v = new(any)
	}
	if err := json.Unmarshal(h.get(t, method, at, op), v); err != nil {
		t.Fatal(err)
	}
}

func (h *hdfs) get(t *testing.T, method, at, op string) []byte {
	t.Helper()
	u := url.URL{Scheme: "http", Host: h.Get("HDFS_WEB"), Path: "/webhdfs/v1" + at, RawQuery: "recursive=true&user.name=" + h.Get("HDFS_USER") + "&op=" + op}
	req, err := http.NewRequestWithContext(t.Context(), method, u.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s, %v, %s", op, at, resp.Status, err, body)
	}
	return body
}

// files returns the files below a directory by their paths.
func (h *hdfs) files(t *testing.T, dir string) map[string]string {
	t.Helper()
	var list struct {
		FileStatuses struct {
			FileStatus []struct{ PathSuffix, Type string }
		}
	}
	h.do(t, http.MethodGet, dir, "LISTSTATUS", &list)
	files := make(map[string]string)
	for _, f := range list.FileStatuses.FileStatus {
		at := path.Join(dir, f.PathSuffix)
		if f.Type == "FILE" {
			files[at] = string(h.get(t, http.MethodGet, at, "OPEN"))
			continue
		}
		for name, content := range h.files(t, at) {
			files[name] = content
		}
	}
	return files
}

func (h *hdfs) rows(t *testing.T) (rows []string) {
	for at, content := range h.files(t, h.root) {
		if strings.Contains(at, "/.disd/") {
			continue // on its way
		}
		for line := range strings.Lines(content) {
			rows = append(rows, strings.TrimSuffix(line, "\n"))
		}
	}
	return rows
}

func (h *hdfs) crash(t *testing.T) {
	for _, daemon := range []string{"PID_NAMENODE", "PID_DATANODE0"} {
		if err := h.Kill(daemon); err != nil {
			t.Fatal(err)
		}
	}
}

func (h *hdfs) revive(t *testing.T) {
	if err := h.Revive(); err != nil {
		t.Fatal(err)
	}
}

func TestHDFS(t *testing.T) {
	t.Run("HDFS-10 ends", func(t *testing.T) {
		h := newHDFS(t)
		ends(t, h)
		for at := range h.files(t, h.root) {
			if strings.Contains(at, "/.disd/") {
				t.Errorf("HDFS-10: a hidden file is left: %s", at)
			}
		}
	})
}
