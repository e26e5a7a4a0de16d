package dws

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"disd/internal/field"
	"disd/internal/transfer/kind"
)

// A session is a connection to a database.
type session struct{ conn *pgconn.PgConn }

// connect opens a session as the task's user, in the task's database.
func (o *opener) connect(ctx context.Context, t kind.Target) (*session, error) {
	s := of(t)
	base := o.clusters[[2]string{s.ClusterName, s.ClusterID}]
	if base == nil {
		return nil, fmt.Errorf("%w: %w", kind.ErrRefused,
			&kind.DestinationError{Err: kind.ErrDWSCluster, Name: s.ClusterName + " with the id " + s.ClusterID + " is not configured"})
	}
	config := base.Copy()
	config.Database, config.User, config.Password = s.Database, s.User, t.Secret
	conn, err := pgconn.ConnectConfig(ctx, config)
	var e *pgconn.PgError
	switch {
	case err == nil:
		return &session{conn}, nil
	case errors.As(err, &e) && e.Code == "42501":
		return nil, refused("dws_database_name", e.Message) // may not connect to it
	}
	return nil, refusal(err)
}

// close ends the session. What it had not committed is undone.
func (c *session) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	c.conn.Close(ctx) //nolint:errcheck // nothing is left to be written
}

// query runs one statement and returns its rows as text, NULL as "".
func (c *session) query(ctx context.Context, sql string, args ...any) (rows [][]string, err error) {
	values := make([][]byte, len(args))
	for i, arg := range args {
		values[i] = fmt.Append(nil, arg)
	}
	result := c.conn.ExecParams(ctx, sql, values, nil, nil, nil).Read()
	if result.Err != nil {
		return nil, refusal(result.Err)
	}
	for _, row := range result.Rows {
		texts := make([]string, len(row))
		for i := range row {
			texts[i] = string(row[i])
		}
		rows = append(rows, texts)
	}
	return rows, nil
}

// run runs statements one after the other.
func (c *session) run(ctx context.Context, statements ...string) error {
	for _, sql := range statements {
		if _, err := c.query(ctx, sql); err != nil {
			return err
		}
	}
	return nil
}

// exists reports whether a schema has a table of that name.
func (c *session) exists(ctx context.Context, schema, table string) (bool, error) {
	rows, err := c.query(ctx, `SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = $1 AND c.relname = $2`, schema, table)
	return len(rows) > 0, err
}

// create makes a table unless it exists. IF NOT EXISTS would not do: it demands
// the right to create tables also where there is nothing to create.
func (c *session) create(ctx context.Context, schema, table, columns string) error {
	if there, err := c.exists(ctx, schema, table); err != nil || there {
		return err
	}
	_, err := c.query(ctx, "CREATE TABLE "+quote(schema, table)+" "+columns)
	if err != nil {
		if there, _ := c.exists(ctx, schema, table); there {
			return nil // another partition was quicker
		}
	}
	return err
}

// quote makes an SQL identifier of a name and those it belongs to.
func quote(names ...string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = `"` + strings.NewReplacer(`"`, `""`, "\x00", "").Replace(name) + `"`
	}
	return strings.Join(quoted, ".")
}

// A layout is the table of a task, and what of it is loaded.
type layout struct {
	schema, table string
	all           []string // columns of the table, in order
	named         []string // by dws_table_columns; none for all
}

// readLayout looks at the table of a task.
func readLayout(ctx context.Context, c *session, t kind.Target) (*layout, error) {
	s := of(t)
	l := &layout{schema: s.Schema, table: s.Table}
	for name := range strings.SplitSeq(s.Columns, ",") {
		if name = strings.TrimSpace(name); name != "" {
			l.named = append(l.named, name)
		}
	}
	rows, err := c.query(ctx, `SELECT column_name FROM information_schema.columns
		WHERE table_schema = $1 AND table_name = $2 AND is_generated = 'NEVER' ORDER BY ordinal_position`, l.schema, l.table)
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		l.all = append(l.all, row[0])
	}
	if len(l.all) > 0 {
		return l, nil
	}
	rows, err = c.query(ctx, `SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1`, l.schema)
	if err == nil && len(rows) == 0 {
		return nil, refused("dws_schema", "the database has no schema "+l.schema)
	}
	if err == nil {
		err = refused("dws_table_name", "the schema has no table "+l.table+", or none that the user may use")
	}
	return nil, err
}

// columns are those that are loaded.
func (l *layout) columns() []string {
	if len(l.named) > 0 {
		return l.named
	}
	return l.all
}

// checkNamed looks for the columns to load in the table (DWS-3).
func (l *layout) checkNamed() error {
	for _, name := range l.named {
		if !slices.Contains(l.all, name) {
			return &field.Error{Field: "dws_table_columns", Reason: "the table has no column " + name}
		}
	}
	return nil
}

// checkRights looks whether the user may do what deliveries need.
func (c *session) checkRights(ctx context.Context, l *layout) error {
	rows, err := c.query(ctx, `SELECT has_table_privilege($1, 'INSERT'), has_schema_privilege($2, 'CREATE')`,
		quote(l.schema, l.table), l.schema)
	if err != nil {
		return err
	}
	if rows[0][0] != "t" {
		return &field.Error{Field: "user_name", Reason: "may not insert into the table"}
	}
	there, err := c.exists(ctx, l.schema, progressTable)
	if err == nil && !there && rows[0][1] != "t" {
		err = &field.Error{Field: "user_name", Reason: "may not create the table " + progressTable + " in the schema"}
	}
	return err
}
