// Package config is everything that an operator can set: the options with their
// defaults, read from a file, the environment and flags, and checked.
package config

import (
	"path/filepath"
	"time"

	"disd/internal/auth"
	"disd/internal/quota"
	"disd/internal/transfer/destinations"
)

// A Config is everything an operator can set. configs/disd.yaml describes each
// option; options below is the list of them.
type Config struct {
	Listen       string        `yaml:"listen"`
	DataDir      string        `yaml:"data_dir"`
	Engine       string        `yaml:"engine"`
	Sync         string        `yaml:"sync"`
	SyncInterval time.Duration `yaml:"sync_interval"`
	EmptyWait    time.Duration `yaml:"empty_wait"`

	Auth struct {
		Mode        auth.Mode           `yaml:"mode"`
		Domains     []auth.DomainConfig `yaml:"domains"`
		KeyFile     string              `yaml:"key_file"`
		ClockWindow time.Duration       `yaml:"clock_window"`
		PathPrefix  string              `yaml:"path_prefix"`
		MaxFailures int                 `yaml:"max_failures"`
		Explain     bool                `yaml:"explain"`
	} `yaml:"auth"`
	TLS struct {
		Mode     string   `yaml:"mode"`
		CertFile string   `yaml:"cert_file"`
		KeyFile  string   `yaml:"key_file"`
		Hosts    []string `yaml:"hosts"`
	} `yaml:"tls"`
	Console struct {
		Hosts []string `yaml:"hosts"`
	} `yaml:"console"`
	Audit struct {
		File string `yaml:"file"`
		Size int64  `yaml:"size"`
		Keep int    `yaml:"keep"`
	} `yaml:"audit"`
	Quota struct {
		Mode         quota.Mode `yaml:"mode"`
		ControlCalls int        `yaml:"control_calls"`
	} `yaml:"quota"`
	Limits struct {
		Body        int64 `yaml:"body"`
		Bodies      int64 `yaml:"bodies"`
		Answers     int64 `yaml:"answers"`
		Pending     int64 `yaml:"pending"`
		Connections int   `yaml:"connections"`
	} `yaml:"limits"`
	Storage struct {
		CommitLog int64 `yaml:"commit_log"`
		Segment   int64 `yaml:"segment"`
		Memory    int64 `yaml:"memory"`
	} `yaml:"storage"`
	Groups struct {
		SessionTimeout time.Duration `yaml:"session_timeout"`
	} `yaml:"groups"`
	Transfer struct {
		OBS struct {
			Directory string        `yaml:"directory"`
			Endpoint  string        `yaml:"endpoint"`
			Region    string        `yaml:"region"`
			AccessKey string        `yaml:"access_key"`
			SecretKey string        `yaml:"secret_key"`
			PathStyle bool          `yaml:"path_style"`
			Signature string        `yaml:"signature"`
			Part      int           `yaml:"part"`
			Timeout   time.Duration `yaml:"timeout"`
		} `yaml:"obs"`
		destinations.Options `yaml:",inline"`

		Agencies []Agency `yaml:"agencies"`
		Zone     string   `yaml:"zone"`
		FileName string   `yaml:"file_name"`

		BatchRecords int  `yaml:"batch_records"`
		BatchBytes   int  `yaml:"batch_bytes"`
		Workers      int  `yaml:"workers"`
		Manifest     bool `yaml:"manifest"`
	} `yaml:"transfer"`
	Profiling bool `yaml:"profiling"`
	Log       struct {
		Level  string `yaml:"level"`
		Format string `yaml:"format"`
	} `yaml:"log"`

	Emulator struct {
		Enabled bool   `yaml:"enabled"`
		Expose  bool   `yaml:"expose"`
		Seed    string `yaml:"seed"`
		Journal int    `yaml:"journal"`
	} `yaml:"emulator"`

	// File is the configuration file that was read, "" for none.
	File string `yaml:"-"`

	// origins says by key where an option was set: "disd.yaml:3", "--listen" or
	// "DISD_LISTEN". What is not there has its default.
	origins map[string]string
}

// An Agency is what a task names by agency_name: credentials for what stands in
// for OBS.
type Agency struct {
	Name      string   `yaml:"name"`
	Projects  []string `yaml:"projects"`   // ids of those that may use it; none for all
	AccessKey string   `yaml:"access_key"` // default the server's own
	SecretKey string   `yaml:"secret_key"`
}

// LogsDir is where the engine keeps records.
func (c *Config) LogsDir() string { return filepath.Join(c.DataDir, "logs") }

// CatalogFile is where metadata is kept.
func (c *Config) CatalogFile() string { return filepath.Join(c.DataDir, "catalog.db") }

// CertsDir is where tls.mode auto keeps its certificates.
func (c *Config) CertsDir() string { return filepath.Join(c.DataDir, "tls") }

// KeyFile is the file with the key that encrypts secrets, "" for a key that is
// forgotten at exit.
func (c *Config) KeyFile() string {
	if c.Auth.KeyFile == "" && c.Engine != "memory" {
		return filepath.Join(c.DataDir, "identity.key")
	}
	return c.Auth.KeyFile
}

// BucketsDir is the directory whose directories are buckets, "" for none.
func (c *Config) BucketsDir() string {
	switch dir := c.Transfer.OBS.Directory; {
	case c.Transfer.OBS.Endpoint != "":
		return ""
	case dir == "" && c.Engine != "memory":
		return filepath.Join(c.DataDir, "obs")
	default:
		return dir
	}
}
