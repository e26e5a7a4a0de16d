// Package dws delivers transfer tasks to databases that speak the PostgreSQL
// protocol, such as DWS: every batch is one COPY into a table, in one
// transaction with a note of how far the task has come, so that it is there
// exactly once (4.4).
package dws

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"disd/internal/field"
	"disd/internal/transfer"
)

// A Cluster is what a task names by dws_cluster_name and dws_cluster_id.
type Cluster struct {
	Name    string `mapstructure:"name"`
	ID      string `mapstructure:"id"`
	Address string `mapstructure:"address"` // host:port
	SSLMode string `mapstructure:"sslmode"` // disable, require, verify-ca or verify-full (default), as PostgreSQL defines them
	CAFile  string `mapstructure:"ca_file"` // PEM; default the authorities of the system
}

// A Key is what a task names by kms_user_key_name and kms_user_key_id.
type Key struct {
	Name string `mapstructure:"name"`
	ID   string `mapstructure:"id"`
}

// Options of an Opener.
type Options struct {
	Clusters []Cluster
	Keys     []Key

	// Timeout is how long a database may make no progress with a statement:
	// neither take nor answer a byte. Default 5 min.
	Timeout time.Duration
}

// An Opener is a transfer.Opener for tables of clusters.
type Opener struct {
	clusters map[[2]string]*pgconn.Config // by name and id
	keys     []Key
}

// New returns what reaches the tables of clusters. It does not connect.
func New(opts Options) (*Opener, error) {
	if opts.Timeout == 0 {
		opts.Timeout = 5 * time.Minute
	}
	o := &Opener{make(map[[2]string]*pgconn.Config), opts.Keys}
	for _, c := range opts.Clusters {
		config, err := c.config()
		if err != nil {
			return nil, fmt.Errorf("DWS cluster %q: %w", c.Name, err)
		}
		config.DialFunc = watch(config.DialFunc, opts.Timeout)
		key := [2]string{c.Name, c.ID}
		if c.Name == "" || c.ID == "" || o.clusters[key] != nil {
			return nil, fmt.Errorf("DWS cluster %q: needs a name and an id of its own", c.Name)
		}
		o.clusters[key] = config
	}
	return o, nil
}

var sslModes = []string{"disable", "require", "verify-ca", "verify-full"}

func (c *Cluster) config() (*pgconn.Config, error) {
	host, port, err := net.SplitHostPort(c.Address)
	if err != nil {
		return nil, err
	}
	mode := c.SSLMode
	if mode == "" {
		mode = "verify-full"
	}
	if !slices.Contains(sslModes, mode) {
		return nil, fmt.Errorf("sslmode is %q, must be one of %s", mode, strings.Join(sslModes, ", "))
	}
	settings := [][2]string{
		{"host", host}, {"port", port}, {"sslmode", mode}, {"sslrootcert", c.CAFile}, {"connect_timeout", "10"},
		{"application_name", "disd"}, {"client_encoding", "UTF8"},
		// The session of a connection that broke unnoticed holds the lock that
		// the next attempt waits for, until the database misses its client.
		{"tcp_keepalives_idle", "30"}, {"tcp_keepalives_interval", "10"}, {"tcp_keepalives_count", "3"},
	}
	var text []string
	for _, s := range settings {
		if s[1] != "" {
			text = append(text, s[0]+"='"+strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s[1])+"'")
		}
	}
	return pgconn.ParseConfig(strings.Join(text, " "))
}

// Check implements transfer.Opener. What has no error code of its own is a
// field.Error (E28-N2).
func (o *Opener) Check(ctx context.Context, t transfer.Target) error {
	c, err := o.connect(ctx, t)
	if err != nil {
		return reason(err)
	}
	defer c.close()
	layout, err := readLayout(ctx, c, t)
	if err != nil {
		return reason(err)
	}
	if err := c.checkRights(ctx, layout); err != nil {
		return reason(err)
	}
	d := t.Descriptor
	if key := (Key{d.Text("kms_user_key_name"), d.Text("kms_user_key_id")}); !slices.Contains(o.keys, key) {
		return &transfer.DestinationError{Err: transfer.ErrKMSKey, Name: key.Name + " with the id " + key.ID}
	}
	return layout.checkNamed()
}

// reason returns why a task cannot be created: the error itself when it is one
// for the caller, else that the cluster does not work.
func reason(err error) error {
	var field *field.Error
	if errors.As(err, &field) || errors.Is(err, transfer.ErrDWSCluster) {
		return err
	}
	return &transfer.DestinationError{Err: transfer.ErrDWSCluster, Name: err.Error()}
}

// Open implements transfer.Opener. Each batch makes a connection of its own.
func (o *Opener) Open(context.Context, transfer.Target) (transfer.Sink, error) { return &sink{o}, nil }

// fields are the members of a descriptor that a refusal is about, by SQLSTATE.
var fields = map[string]string{
	"28P01": "user_password", // invalid password; also of a user who does not exist
	"28000": "user_name",     // may not log in
	"3D000": "dws_database_name",
	"3F000": "dws_schema",
	"42P01": "dws_table_name",
	"42703": "dws_table_columns",
	"42501": "user_name", // insufficient privilege
}

// refusal makes of a database's error one that says which field is to blame,
// and that trying again will not help. Other errors stay as they are.
func refusal(err error) error {
	var e *pgconn.PgError
	if !errors.As(err, &e) || fields[e.Code] == "" {
		return err
	}
	return refused(fields[e.Code], e.Message)
}

func refused(name, reason string) error {
	return fmt.Errorf("%w: %w", transfer.ErrRefused, field.Invalid(name, reason))
}
