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
	"disd/internal/transfer/kind"
)

// A Cluster is what a task names by dws_cluster_name and dws_cluster_id.
type Cluster struct {
	Name    string `yaml:"name"`
	ID      string `yaml:"id"`
	Address string `yaml:"address"` // host:port
	SSLMode string `yaml:"sslmode"` // disable, require, verify-ca or verify-full (default), as PostgreSQL defines them
	CAFile  string `yaml:"ca_file"` // PEM; default the authorities of the system
}

// A Key is what a task names by kms_user_key_name and kms_user_key_id.
type Key struct {
	Name string `yaml:"name"`
	ID   string `yaml:"id"`
}

// Options of the kind.
type Options struct {
	Clusters []Cluster
	Keys     []Key

	// Timeout is how long a database may make no progress with a statement:
	// neither take nor answer a byte. Default 5 min.
	Timeout time.Duration
}

// An opener is a kind.Opener for tables of clusters.
type opener struct {
	clusters map[[2]string]*pgconn.Config // by name and id
	keys     []Key
}

// Kind returns the kind of destination. It does not connect.
func Kind(opts Options) (kind.Kind, error) {
	o, err := open(opts)
	return kind.Kind{
		Type:   kind.DWS,
		Fields: fields, Decode: kind.Decoder[settings](fields),
		ErrorDir: "dws_error", Ext: extension, GivesUp: true, Opener: o, Missing: kind.ErrDWSCluster,
	}, err
}

func open(opts Options) (*opener, error) {
	if opts.Timeout == 0 {
		opts.Timeout = 5 * time.Minute
	}
	o := &opener{make(map[[2]string]*pgconn.Config), opts.Keys}
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

// Check implements kind.Opener. What has no error code of its own is a
// field.Error (E28-N2).
func (o *opener) Check(ctx context.Context, t kind.Target) error {
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
	s := of(t)
	if key := (Key{s.KeyName, s.KeyID}); !slices.Contains(o.keys, key) {
		return &kind.DestinationError{Err: kind.ErrKMSKey, Name: key.Name + " with the id " + key.ID}
	}
	return layout.checkNamed()
}

// reason returns why a task cannot be created: the error itself when it is one
// for the caller, else that the cluster does not work.
func reason(err error) error {
	var field *field.Error
	if errors.As(err, &field) || errors.Is(err, kind.ErrDWSCluster) {
		return err
	}
	return &kind.DestinationError{Err: kind.ErrDWSCluster, Name: err.Error()}
}

// Open implements kind.Opener. Each batch makes a connection of its own.
func (o *opener) Open(context.Context, kind.Target) (kind.Sink, error) { return &sink{opener: o}, nil }

// blamed are the members of a descriptor that a refusal is about, by SQLSTATE.
var blamed = map[string]string{
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
	if !errors.As(err, &e) || blamed[e.Code] == "" {
		return err
	}
	return refused(blamed[e.Code], e.Message)
}

func refused(name, reason string) error {
	return fmt.Errorf("%w: %w", kind.ErrRefused, field.Invalid(name, reason))
}
