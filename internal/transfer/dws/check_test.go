package dws_test

import (
	"errors"
	"net"
	"strings"
	"testing"

	"disd/internal/field"
	"disd/internal/transfer/dws"
	"disd/internal/transfer/kind"
	"disd/test/postgres"
)

func clustered(t *testing.T, clusters ...dws.Cluster) kind.Kind {
	t.Helper()
	k, err := dws.Kind(dws.Options{Clusters: clusters, Keys: []dws.Key{{Name: "k", ID: "2"}}})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestRefusals takes away, one by one, what a task needs: it cannot be created
// then, and one that exists stops or tries again.
func TestRefusals(t *testing.T) {
	t.Attr("rules", "TC-R6 E28-N2")
	b := newBench(t)
	for _, sql := range []string{
		"CREATE ROLE reader LOGIN PASSWORD 'p'", "CREATE ROLE writer LOGIN PASSWORD 'p'", "CREATE ROLE locked PASSWORD 'p'",
		"CREATE DATABASE closed", "REVOKE CONNECT ON DATABASE closed FROM public",
	} {
		b.Query(t, "", sql)
	}
	grant := func(sql string) func(string) {
		return func(schema string) { b.Query(t, "", strings.ReplaceAll(sql, "SCHEMA", "SCHEMA "+schema)) }
	}
	const transient, final, never = "transient", "final", "delivered"
	for _, tt := range []struct {
		name      string
		members   map[string]any
		password  string
		prepare   func(schema string)
		field     string // of the FieldError
		err       error
		delivered string
	}{
		{name: "cluster name", members: map[string]any{"dws_cluster_name": "d"}, err: kind.ErrDWSCluster, delivered: final},
		{name: "cluster id", members: map[string]any{"dws_cluster_id": "2"}, err: kind.ErrDWSCluster, delivered: final},
		{name: "cluster down", members: map[string]any{"dws_cluster_name": "down"}, err: kind.ErrDWSCluster, delivered: transient},
		{name: "not its certificate", members: map[string]any{"dws_cluster_name": "strange"}, err: kind.ErrDWSCluster, delivered: transient},
		{name: "encrypted", members: map[string]any{"dws_cluster_name": "secure"}, delivered: never},
		{name: "encrypted, unverified", members: map[string]any{"dws_cluster_name": "require"}, delivered: never},
		{name: "database", members: map[string]any{"dws_database_name": "nope"}, field: "dws_database_name", delivered: final},
		{name: "database closed to the user", members: map[string]any{"dws_database_name": "closed", "user_name": "writer"}, password: "p",
			field: "dws_database_name", delivered: final},
		{name: "schema", members: map[string]any{"dws_schema": "nope"}, field: "dws_schema", delivered: final},
		{name: "table", members: map[string]any{"dws_table_name": `t"; DROP TABLE t`}, field: "dws_table_name", delivered: final},
		{name: "user", members: map[string]any{"user_name": "nobody"}, field: "user_password", delivered: final},
		{name: "user may not log in", members: map[string]any{"user_name": "locked"}, password: "p", field: "user_name", delivered: final},
		{name: "password", password: "wrong", field: "user_password", delivered: final},
		{name: "may not use the table", members: map[string]any{"user_name": "reader"}, password: "p", field: "dws_table_name", delivered: final},
		{name: "may not insert", members: map[string]any{"user_name": "reader"}, password: "p",
			prepare: grant("GRANT USAGE, CREATE ON SCHEMA TO reader; GRANT SELECT ON ALL TABLES IN SCHEMA TO reader"), field: "user_name", delivered: final},
		{name: "may not create", members: map[string]any{"user_name": "writer"}, password: "p",
			prepare: grant("GRANT USAGE ON SCHEMA TO writer; GRANT INSERT ON ALL TABLES IN SCHEMA TO writer"), field: "user_name", delivered: final},
		{name: "need not create", members: map[string]any{"user_name": "writer"}, password: "p", prepare: func(schema string) {
			b.Query(t, "", `CREATE TABLE `+schema+`.`+dws.ProgressTable+` `+dws.ProgressColumns+`; GRANT USAGE ON SCHEMA `+schema+` TO writer;
				GRANT SELECT, INSERT, UPDATE ON `+schema+`.`+dws.ProgressTable+` TO writer; GRANT INSERT ON `+schema+`.t TO writer`)
		}, delivered: never},
		{name: "key name", members: map[string]any{"kms_user_key_name": "x"}, err: kind.ErrKMSKey, delivered: never},
		{name: "key id", members: map[string]any{"kms_user_key_id": "x"}, err: kind.ErrKMSKey, delivered: never},
		{name: "column", members: map[string]any{"dws_table_columns": "a, x"}, field: "dws_table_columns", delivered: final},
		{name: "good", delivered: never},
	} {
		t.Run(tt.name, func(t *testing.T) {
			target := b.target(t, "a text, b text", tt.members)
			if tt.password != "" {
				target.Secret = tt.password
			}
			if tt.prepare != nil {
				tt.prepare(target.TaskID)
			}
			down, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			down.Close()
			b.kind = clustered(t,
				dws.Cluster{Name: "c", ID: "1", Address: b.Address, SSLMode: "disable"},
				dws.Cluster{Name: "secure", ID: "1", Address: b.Address, CAFile: b.CA},
				dws.Cluster{Name: "strange", ID: "1", Address: b.Address},
				dws.Cluster{Name: "require", ID: "1", Address: b.Address, SSLMode: "require"},
				dws.Cluster{Name: "down", ID: "1", Address: down.Addr().String(), SSLMode: "disable"},
			)
			err = b.kind.Opener.Check(t.Context(), target)
			var field *field.Error
			switch {
			case tt.field != "" && (!errors.As(err, &field) || field.Field != tt.field):
				t.Errorf("got %v, want one about %s", err, tt.field)
			case tt.field == "" && !errors.Is(err, tt.err):
				t.Errorf("got %v, want %v", err, tt.err)
			}
			_, delivered := b.deliver(t, batch(target, 0, 0, "1,2"))
			got := never
			switch {
			case errors.Is(delivered, kind.ErrRefused):
				got = final
			case delivered != nil:
				got = transient
			}
			if got != tt.delivered {
				t.Errorf("delivery is %s: %v, want %s", got, delivered, tt.delivered)
			}
			for _, err := range []error{err, delivered} {
				if err != nil && strings.Contains(err.Error(), postgres.Password) {
					t.Errorf("the password is in %v", err)
				}
			}
		})
	}
}

func TestClusters(t *testing.T) {
	good := dws.Cluster{Name: "c", ID: "1", Address: "db.example.com:5432"}
	for name, wrong := range map[string]func(c *dws.Cluster){
		"no name":      func(c *dws.Cluster) { c.Name = "" },
		"no id":        func(c *dws.Cluster) { c.ID = "" },
		"no port":      func(c *dws.Cluster) { c.Address = "db.example.com" },
		"port":         func(c *dws.Cluster) { c.Address = "db.example.com:x" },
		"unknown mode": func(c *dws.Cluster) { c.SSLMode = "prefer" },
		"no file":      func(c *dws.Cluster) { c.CAFile = "/none" },
		"named twice":  func(*dws.Cluster) {},
	} {
		second := good
		wrong(&second)
		if _, err := dws.Kind(dws.Options{Clusters: []dws.Cluster{good, second}}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	clustered(t, good, dws.Cluster{Name: "c", ID: "2", Address: "[::1]:5432", SSLMode: "verify-ca"})
}
