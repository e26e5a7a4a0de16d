// Package mrs is the kind of destination that is a directory in the HDFS of an MRS
// cluster (4.5), or in any HDFS that speaks WebHDFS. Each batch becomes one file,
// which gets its name by a rename that never overwrites.
package mrs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path"
	"slices"
	"strings"
	"time"
	"unicode"

	"disd/internal/transfer/kind"
	"disd/internal/transfer/patience"
)

var fields = kind.CommonFields(
	kind.Field{Name: "mrs_cluster_name", Required: true},
	kind.Field{Name: "mrs_cluster_id", Required: true},
	kind.Field{Name: "mrs_hdfs_path", Required: true},
	kind.Field{Name: "hdfs_prefix_folder", Valid: isFolder},
	kind.Field{Name: "obs_bucket_path", Required: true, Valid: kind.IsBucket},
	kind.Field{Name: "file_prefix", Valid: kind.IsPrefix},
	kind.Field{Name: "retry_duration", Valid: kind.IsRetry},
	kind.Field{Name: "destination_file_type", Valid: kind.OneOf("text")},
)

// isFolder accepts a directory below the path (HDFS-5).
func isFolder(s string) string {
	if reason := kind.AtMost(50)(s); reason != "" {
		return reason
	}
	return badPath(s)
}

// badPath says what HDFS does not take in a path.
func badPath(s string) (reason string) {
	for _, element := range strings.Split(s, "/") {
		if element == "." || element == ".." || strings.ContainsFunc(element, func(r rune) bool { return r == ':' || unicode.IsControl(r) }) {
			return "must not have . or .. as an element, a colon or a control character"
		}
	}
	return ""
}

// A Cluster is what a task names by mrs_cluster_name and mrs_cluster_id (HDFS-1).
type Cluster struct {
	Name      string            `yaml:"name"`
	ID        string            `yaml:"id"`
	Addresses []string          `yaml:"addresses"` // host:port of the name nodes, in any order, or of HttpFS
	User      string            `yaml:"user"`      // as whom files are written
	TLS       bool              `yaml:"tls"`       // also to the data nodes
	CAFile    string            `yaml:"ca_file"`   // PEM; default the authorities of the system
	Hosts     map[string]string `yaml:"hosts"`     // addresses of data nodes by their names
}

// Options of the kind.
type Options struct {
	Clusters []Cluster
	Timeout  time.Duration // how long a request may make no progress; 1 s to 1 h
}

// Kind returns the kind of destination. It connects to nothing.
func Kind(opts Options) (kind.Kind, error) {
	clusters := make(clients)
	for i, c := range opts.Clusters {
		at := fmt.Sprintf("clusters[%d]", i)
		client, err := c.client(opts.Timeout)
		if err != nil {
			return kind.Kind{}, fmt.Errorf("%s.%w", at, err)
		}
		if clusters[[2]string{c.Name, c.ID}] != nil {
			return kind.Kind{}, fmt.Errorf("%s: name %q and id %q are there twice", at, c.Name, c.ID)
		}
		clusters[[2]string{c.Name, c.ID}] = client
	}
	return kind.Kind{
		Type:   kind.MRS,
		Fields: fields, Decode: kind.Decoder[settings](fields),
		ErrorDir: "mrs_error", Ext: ".txt", GivesUp: true,
		Opener: clusters, Missing: kind.ErrMRSCluster, Fetch: clusters.fetch,
	}, nil
}

// client checks a cluster of the configuration. The error begins with the key.
func (c *Cluster) client(timeout time.Duration) (*client, error) {
	switch {
	case c.Name == "" || c.ID == "":
		return nil, errors.New("name: it and id are needed")
	case len(c.Addresses) == 0:
		return nil, errors.New("addresses: at least one is needed")
	case c.User == "":
		return nil, errors.New("user: is needed")
	case c.CAFile != "" && !c.TLS:
		return nil, errors.New("ca_file: has no effect without tls")
	}
	for i, address := range c.Addresses {
		if host, port, err := net.SplitHostPort(address); err != nil || host == "" || port == "" {
			return nil, fmt.Errorf("addresses: %q is not host:port", address)
		}
		if slices.Contains(c.Addresses[:i], address) {
			return nil, fmt.Errorf("addresses: %s is there twice", address)
		}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil
	client := &client{
		name: c.Name, id: c.ID, addresses: c.Addresses, user: c.User, scheme: "http", hosts: make(map[string]string),
		http: &http.Client{
			Transport:     patience.Transport{RoundTripper: transport, Timeout: timeout},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	for name, address := range c.Hosts {
		client.hosts[strings.ToLower(name)] = address
	}
	if c.TLS {
		client.scheme = "https"
		transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca_file: %s has no certificate in PEM", c.CAFile)
		}
		transport.TLSClientConfig.RootCAs = pool
	}
	return client, nil
}

type settings struct {
	kind.Common
	kind.InBucket
	ClusterName string `json:"mrs_cluster_name"`
	ClusterID   string `json:"mrs_cluster_id"`
	Path        string `json:"mrs_hdfs_path"`
	Folder      string `json:"hdfs_prefix_folder"`
	FileType    string `json:"destination_file_type"` // text, as absent
}

// Place implements kind.Settings.
func (s *settings) Place() []string { return []string{s.ClusterName, s.ClusterID} }

// dir is where the files lie.
func (s *settings) dir() string { return path.Join(s.Path, s.Folder) }

// Directory implements kind.Settings: names are claimed in HDFS, not in the bucket
// (HDFS-8).
func (s *settings) Directory() (root, dir string) { return "hdfs " + s.ClusterID, s.dir() }

// Valid implements kind.Settings (HDFS-5).
func (s *settings) Valid() error {
	if !strings.HasPrefix(s.Path, "/") {
		return &kind.DestinationError{Err: kind.ErrHDFSPath, Name: s.Path + " does not begin with /"}
	}
	if reason := badPath(s.Path); reason != "" {
		return &kind.DestinationError{Err: kind.ErrHDFSPath, Name: s.Path + " " + reason}
	}
	return nil
}

// Suits implements kind.Settings: a stream of any data type will do (HDFS-6).
func (*settings) Suits(kind.Stream) error { return nil }

// Form implements kind.Settings.
func (*settings) Form(*kind.Batch) (kind.Form, error) { return kind.Any{}, nil }

// clients are the clusters of the configuration, by name and id.
type clients map[[2]string]*client

// find returns the cluster that settings name.
func (c clients) find(s *settings) (*client, error) {
	client := c[[2]string{s.ClusterName, s.ClusterID}]
	if client == nil {
		return nil, &kind.DestinationError{Err: kind.ErrMRSCluster, Name: s.ClusterName + " with the id " + s.ClusterID}
	}
	return client, nil
}

// Check implements kind.Opener (HDFS-4, HDFS-5).
func (c clients) Check(ctx context.Context, t kind.Target) error {
	s := t.Settings.(*settings)
	client, err := c.find(s)
	if err != nil {
		return err
	}
	root, err := client.stat(ctx, s.Path)
	var answer *exceptionError
	switch {
	case errors.Is(err, errGone):
		return noPath(s.Path, err.Error())
	case errors.As(err, &answer) && answer.Status == http.StatusForbidden && answer.Exception != "":
		return noPath(s.Path, err.Error())
	case err != nil:
		return &kind.DestinationError{Err: kind.ErrMRSCluster, Name: err.Error()}
	case root.Type != "DIRECTORY":
		return noPath(s.Path, "it is no directory")
	}
	if err := client.mayWrite(ctx, s.Path); err != nil {
		return noPath(s.Path, err.Error())
	}
	return nil
}

func noPath(path, reason string) error {
	return &kind.DestinationError{Err: kind.ErrHDFSPath, Name: path + ": " + reason}
}

// Open implements kind.Opener.
func (c clients) Open(_ context.Context, t kind.Target) (kind.Sink, error) {
	s := t.Settings.(*settings)
	client, err := c.find(s)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", kind.ErrRefused, err)
	}
	return &sink{cluster: client, root: s.Path, dir: s.dir(), hidden: path.Join(s.dir(), ".disd", t.TaskID)}, nil
}

// fetch opens a file for disd verify-dump.
func (c clients) fetch(ctx context.Context, f kind.File) (io.ReadCloser, error) {
	for key, client := range c {
		if key[1] != f.Cluster {
			continue
		}
		content, err := client.open(ctx, f.Path)
		if threw(err, "FileNotFoundException") {
			err = fmt.Errorf("%w: %w", fs.ErrNotExist, err)
		}
		return content, err
	}
	return nil, fmt.Errorf("no cluster with the id %s is configured", f.Cluster)
}
