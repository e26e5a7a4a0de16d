package dws_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"disd/internal/transfer"
	"disd/internal/transfer/dws"
	"disd/internal/transfer/filestore"
	"disd/internal/transfer/sinktest"
	"disd/test/postgres"
)

// A bench is a database server and a bucket.
type bench struct {
	*postgres.Server
	opener *dws.Opener
	dir    string // of the bucket
	store  transfer.Store
	schema int
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{Server: postgres.Start(t, "synchronous_commit=off"), dir: filepath.Join(t.TempDir(), "b")}
	if err := os.Mkdir(b.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	b.store = filestore.Open(filestore.Options{Dir: filepath.Dir(b.dir)})
	opener, err := dws.New(dws.Options{
		Clusters: []dws.Cluster{{Name: "c", ID: "1", Address: b.Address, SSLMode: "disable"}},
		Keys:     []dws.Key{{Name: "k", ID: "2"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	b.opener = opener
	return b
}

// target makes a table with columns in a schema of its own, and a task with more
// members that writes to it.
func (b *bench) target(t *testing.T, columns string, members map[string]any) transfer.Target {
	t.Helper()
	b.schema++
	schema := "s" + strconv.Itoa(b.schema)
	b.Query(t, "", `CREATE SCHEMA `+schema+`; CREATE TABLE `+schema+`.t (`+columns+`)`)
	all := map[string]any{
		"task_name": "t", "agency_name": "a", "dws_cluster_name": "c", "dws_cluster_id": "1", "dws_database_name": "postgres",
		"dws_schema": schema, "dws_table_name": "t", "dws_delimiter": ",", "user_name": postgres.User, "user_password": "hidden",
		"kms_user_key_name": "k", "kms_user_key_id": "2", "obs_bucket_path": "b", "file_prefix": "x",
	}
	for name, v := range members {
		all[name] = v
	}
	raw, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	d, err := transfer.Parse(transfer.DWS, raw)
	if err != nil {
		t.Fatal(err)
	}
	return transfer.Target{
		TaskID: schema, TaskName: "t", Stream: transfer.Stream{Name: "s", DataType: "CSV"}, Descriptor: d,
		Password: postgres.Password, Store: b.store,
	}
}

func TestSink(t *testing.T) {
	b := newBench(t)
	sinktest.Run(t, func(t *testing.T) sinktest.Destination {
		target := b.target(t, "a text, b text", nil)
		table := target.TaskID + ".t"
		return sinktest.Destination{
			Opener: b.opener, Target: target,
			Rows: func() (rows []string) {
				for _, row := range b.Query(t, "", "SELECT a || ',' || b FROM "+table) {
					rows = append(rows, row[0])
				}
				return rows
			},
			Vanish: func() { b.Query(t, "", "DROP TABLE "+table) },
		}
	})
	var left []string
	filepath.WalkDir(b.dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			left = append(left, path)
		}
		return err
	})
	if len(left) > 0 {
		t.Errorf("staging files are left: %v", left)
	}
}
