// Package opentsdb is the kind of destination that is CloudTable OpenTSDB (4.7). Each
// record becomes points, which are named by metric, tags and time, so that writing
// them again changes nothing.
package opentsdb

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"disd/internal/field"
	"disd/internal/storage"
	"disd/internal/transfer/jsontext"
	"disd/internal/transfer/kind"
)

var fields = kind.CommonFields(
	kind.Field{Name: "cloudtable_cluster_name", Required: true},
	kind.Field{Name: "cloudtable_cluster_id", Required: true},
	kind.Field{Name: "opentsdb_schema", Shape: kind.List, Fault: kind.ErrOpenTSDBSchema, Fields: []kind.Field{
		{Name: "metric", Shape: kind.List, Required: true, Fields: []kind.Field{
			{Name: "type", Required: true, Valid: kind.OneOf(constant, "String")},
			{Name: "value", Required: true, Valid: kind.IsWord('.')},
		}},
		{Name: "timestamp", Shape: kind.Object, Required: true, Whole: kind.FormatNeeded("timestamp", "type", "format"), Fields: []kind.Field{
			{Name: "type", Required: true, Valid: kind.OneOf("Timestamp", "String")},
			{Name: "value", Required: true, Valid: kind.IsWord('_')},
			{Name: "format", Valid: kind.OneOf(kind.TimestampFormats...)},
		}},
		{Name: "value", Shape: kind.Object, Required: true, Fields: []kind.Field{
			{Name: "type", Required: true, Valid: kind.IsValueType},
			{Name: "value", Required: true, Valid: kind.IsWord('_')},
		}},
		{Name: "tags", Shape: kind.List, Required: true, Fields: []kind.Field{
			{Name: "name", Required: true, Valid: kind.IsWord('_')},
			{Name: "type", Required: true, Valid: kind.IsValueType},
			{Name: "value", Required: true, Valid: kind.IsWord('_')},
		}},
	}},
	kind.Field{Name: "obs_backup_bucket_path", Valid: kind.IsBucket},
	kind.Field{Name: "backup_file_prefix", Valid: kind.IsPrefix},
	kind.Field{Name: "retry_duration", Valid: kind.IsRetry},
)

// textTime is the type of a time that has a format.
const textTime = "String"

// constant is the type of a part of a metric that is no attribute.
const constant = "Constant"

// A Cluster is what a task names by cloudtable_cluster_name and
// cloudtable_cluster_id.
type Cluster struct {
	Name, ID string
	Server
}

// A Server is how a cluster is reached. What is zero has its default.
type Server struct {
	URL      string        `yaml:"url"`     // http or https, with a path prefix or without
	CAFile   string        `yaml:"ca_file"` // PEM, for https; default the authorities of the system
	User     string        `yaml:"user"`    // Basic, for a proxy in front
	Password string        `yaml:"password"`
	MaxTags  int           `yaml:"max_tags"` // tsd.storage.max_tags, default 8
	UTF8     bool          `yaml:"utf8"`     // the server keeps any letter
	Request  int           `yaml:"request"`  // bytes of a request, at least 4096; default 1 MiB
	Requests int           `yaml:"requests"` // of one batch at the same time, default 4
	Timeout  time.Duration `yaml:"timeout"`  // of a request, 2 s to 1 h; default 1 min
}

// Kind returns the kind of destination. It is one of two of its type, and connects
// to nothing.
func Kind(list []Cluster) (kind.Kind, error) {
	all := make(clusters)
	for _, c := range list {
		client, err := c.client()
		if err != nil {
			return kind.Kind{}, fmt.Errorf("cluster %s: opentsdb.%w", c.Name, err)
		}
		all[[2]string{c.Name, c.ID}] = client
	}
	decode := kind.Decoder[settings](fields)
	return kind.Kind{
		Type:    kind.CloudTable,
		Variant: "opentsdb_schema", Fault: kind.ErrOpenTSDBSchema,
		Fields: fields,
		Decode: func(d kind.Descriptor) (kind.Settings, error) {
			decoded, err := decode(d)
			if err != nil {
				return nil, err
			}
			s := decoded.(*settings)
			if c := all[[2]string{s.ClusterName, s.ClusterID}]; c != nil {
				s.utf8 = c.utf8
			}
			return s, nil
		},
		ErrorDir: "opentsdb_error", Ext: ".txt", GivesUp: true,
		Opener: all, Missing: kind.ErrCloudTableCluster,
	}, nil
}

// client checks a cluster of the configuration. The error begins with the key.
func (c *Cluster) client() (*client, error) {
	u, err := url.Parse(c.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("url: %q is not of http or https with a host", c.URL)
	case u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return nil, errors.New("url: must have no query, fragment or user")
	case c.CAFile != "" && u.Scheme != "https":
		return nil, errors.New("ca_file: has no effect without https")
	case c.Password != "" && c.User == "":
		return nil, errors.New("password: has no effect without user")
	}
	s := c.Server
	s.MaxTags, s.Request, s.Requests = cmp.Or(s.MaxTags, 8), cmp.Or(s.Request, 1<<20), cmp.Or(s.Requests, 4)
	s.Timeout = cmp.Or(s.Timeout, time.Minute)
	switch {
	case s.MaxTags < 1:
		return nil, errors.New("max_tags: must be at least 1")
	case s.Request < 4096:
		return nil, errors.New("request: must be at least 4096")
	case s.Requests < 1 || s.Requests > 100:
		return nil, errors.New("requests: must be from 1 to 100")
	case s.Timeout < 2*time.Second || s.Timeout > time.Hour:
		return nil, errors.New("timeout: must be from 2s to 1h")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil
	transport.MaxIdleConnsPerHost = s.Requests
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca_file: %s has no certificate in PEM", c.CAFile)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	made := &client{
		url: strings.TrimRight(c.URL, "/"), user: s.User, password: s.Password,
		timeout: s.Timeout, requests: s.Requests, maxTags: s.MaxTags, utf8: s.UTF8,
		// Redirects are not followed (TSDB-18).
		http: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
	made.size.Store(int64(s.Request))
	return made, nil
}

type settings struct {
	kind.Common
	kind.InBackupBucket
	ClusterName string    `json:"cloudtable_cluster_name"`
	ClusterID   string    `json:"cloudtable_cluster_id"`
	Schema      []element `json:"opentsdb_schema"`

	utf8 bool // the cluster keeps any letter
}

// An element makes one point of a record.
type element struct {
	Metric    []attribute `json:"metric"`
	Timestamp timestamp   `json:"timestamp"`
	Value     attribute   `json:"value"`
	Tags      []tag       `json:"tags"`
}

// An attribute of a record, or a constant, with its type.
type attribute struct {
	Type  jsontext.Type `json:"type"`
	Value string        `json:"value"`
}

type timestamp struct {
	attribute
	Format string `json:"format"`
}

type tag struct {
	Name string `json:"name"`
	attribute
}

// Place implements kind.Settings.
func (s *settings) Place() []string { return []string{s.ClusterName, s.ClusterID} }

// Valid implements kind.Settings (TSDB-3).
func (s *settings) Valid() error {
	for i := range s.Schema {
		there := make(map[string]bool)
		for _, t := range s.Schema[i].Tags {
			if there[t.Name] {
				return fmt.Errorf("%w: %w", kind.ErrOpenTSDBSchema, field.Invalid("opentsdb_schema.tags.name", t.Name+" is there twice"))
			}
			there[t.Name] = true
		}
	}
	return nil
}

// tags says that no element has more tags than a cluster takes (TSDB-3).
func (s *settings) tags(most int) error {
	for i := range s.Schema {
		if n := len(s.Schema[i].Tags); n > most {
			return fmt.Errorf("%w: %w", kind.ErrOpenTSDBSchema, field.Invalid("opentsdb_schema.tags", "has "+strconv.Itoa(n)+" elements, the cluster takes "+strconv.Itoa(most)))
		}
	}
	return nil
}

// Suits implements kind.Settings (CT-8).
func (s *settings) Suits(st kind.Stream) error {
	err := field.First(st.Needs(kind.JSON), st.HasAttributes("value", s.attributes()...))
	if err != nil {
		return fmt.Errorf("%w: %w", kind.ErrOpenTSDBSchema, err)
	}
	return nil
}

func (s *settings) attributes() (names []string) {
	for i := range s.Schema {
		e := &s.Schema[i]
		for _, m := range e.Metric {
			if m.Type != constant {
				names = append(names, m.Value)
			}
		}
		names = append(names, e.Timestamp.Value, e.Value.Value)
		for _, t := range e.Tags {
			names = append(names, t.Value)
		}
	}
	return names
}

// Form implements kind.Settings: it says which records make no points.
func (s *settings) Form(b *kind.Batch) (kind.Form, error) {
	return form{schema: s.Schema, rules: s.rules(b)}, nil
}

// rules are the same whenever the batch is sent.
func (s *settings) rules(b *kind.Batch) rules { return rules{b.Generated.Location(), s.utf8} }

type form struct {
	kind.Any
	schema []element
	rules  rules
}

// Add implements kind.Form.
func (f form) Add(r storage.Record) error {
	_, err := points(f.schema, r.Data, f.rules)
	return err
}
