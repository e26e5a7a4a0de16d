// Package config is everything that an operator can set: the options with their
// defaults, read from a file, the environment and flags, and checked.
package config

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // the image has no time zones

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/pflag"
	"github.com/spf13/viper"
	"go.yaml.in/yaml/v3"

	"disd/internal/auth"
	"disd/internal/quota"
	"disd/internal/transfer"
	"disd/internal/transfer/destinations"
	"disd/internal/transfer/kind"
)

// A Config is everything an operator can set. configs/disd.yaml describes each
// option; options below is the list of them.
type Config struct {
	Listen       string        `mapstructure:"listen"`
	DataDir      string        `mapstructure:"data_dir"`
	Engine       string        `mapstructure:"engine"`
	Sync         string        `mapstructure:"sync"`
	SyncInterval time.Duration `mapstructure:"sync_interval"`
	EmptyWait    time.Duration `mapstructure:"empty_wait"`

	Auth struct {
		Mode        auth.Mode           `mapstructure:"mode"`
		Domains     []auth.DomainConfig `mapstructure:"domains"`
		KeyFile     string              `mapstructure:"key_file"`
		ClockWindow time.Duration       `mapstructure:"clock_window"`
		PathPrefix  string              `mapstructure:"path_prefix"`
		MaxFailures int                 `mapstructure:"max_failures"`
		Explain     bool                `mapstructure:"explain"`
	} `mapstructure:"auth"`
	TLS struct {
		Mode     string   `mapstructure:"mode"`
		CertFile string   `mapstructure:"cert_file"`
		KeyFile  string   `mapstructure:"key_file"`
		Hosts    []string `mapstructure:"hosts"`
	} `mapstructure:"tls"`
	Console struct {
		Hosts []string `mapstructure:"hosts"`
	} `mapstructure:"console"`
	Audit struct {
		File string `mapstructure:"file"`
		Size int64  `mapstructure:"size"`
		Keep int    `mapstructure:"keep"`
	} `mapstructure:"audit"`
	Quota struct {
		Mode         quota.Mode `mapstructure:"mode"`
		ControlCalls int        `mapstructure:"control_calls"`
	} `mapstructure:"quota"`
	Limits struct {
		Body        int64 `mapstructure:"body"`
		Bodies      int64 `mapstructure:"bodies"`
		Answers     int64 `mapstructure:"answers"`
		Pending     int64 `mapstructure:"pending"`
		Connections int   `mapstructure:"connections"`
	} `mapstructure:"limits"`
	Storage struct {
		CommitLog int64 `mapstructure:"commit_log"`
		Segment   int64 `mapstructure:"segment"`
		Memory    int64 `mapstructure:"memory"`
	} `mapstructure:"storage"`
	Groups struct {
		SessionTimeout time.Duration `mapstructure:"session_timeout"`
	} `mapstructure:"groups"`
	Transfer struct {
		OBS struct {
			Directory string        `mapstructure:"directory"`
			Endpoint  string        `mapstructure:"endpoint"`
			Region    string        `mapstructure:"region"`
			AccessKey string        `mapstructure:"access_key"`
			SecretKey string        `mapstructure:"secret_key"`
			PathStyle bool          `mapstructure:"path_style"`
			Signature string        `mapstructure:"signature"`
			Part      int           `mapstructure:"part"`
			Timeout   time.Duration `mapstructure:"timeout"`
		} `mapstructure:"obs"`
		destinations.Options `mapstructure:",squash"`

		Agencies []Agency `mapstructure:"agencies"`
		Zone     string   `mapstructure:"zone"`
		FileName string   `mapstructure:"file_name"`

		BatchRecords int  `mapstructure:"batch_records"`
		BatchBytes   int  `mapstructure:"batch_bytes"`
		Workers      int  `mapstructure:"workers"`
		Manifest     bool `mapstructure:"manifest"`
	} `mapstructure:"transfer"`
	Emulator struct {
		Enabled bool   `mapstructure:"enabled"`
		Expose  bool   `mapstructure:"expose"`
		Seed    string `mapstructure:"seed"`
		Journal int    `mapstructure:"journal"`
	} `mapstructure:"emulator"`
	Profiling bool `mapstructure:"profiling"`
	Log       struct {
		Level  string `mapstructure:"level"`
		Format string `mapstructure:"format"`
	} `mapstructure:"log"`

	// authExplicit reports whether auth.mode was set, by whatever means.
	authExplicit bool
}

// An Agency is what a task names by agency_name: credentials for what stands in
// for OBS.
type Agency struct {
	Name      string   `mapstructure:"name"`
	Projects  []string `mapstructure:"projects"`   // ids of those that may use it; none for all
	AccessKey string   `mapstructure:"access_key"` // default the server's own
	SecretKey string   `mapstructure:"secret_key"`
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

// Keys lists the options as the file spells them.
func Keys() []string {
	keys := make([]string, len(options))
	for i, o := range options {
		keys[i] = o.key
	}
	return keys
}

// An option is one key of the configuration. Its flag has dashes, its
// environment variable capitals behind DISD_.
type option struct {
	key   string
	def   any
	usage string
}

var options = []option{
	{"listen", "127.0.0.1:20004", "address to serve on, host:port; port 0 takes a free one"},
	{"data_dir", "./disd-data", "directory for everything that must survive"},
	{"engine", "local", "where records are kept: local (files) or memory (lost at exit)"},
	{"sync", "always", "what an acknowledgement waits for: always (stable storage), interval or off"},
	{"sync_interval", 100 * time.Millisecond, "with sync=interval, the longest time without a sync"},
	{"empty_wait", 200 * time.Millisecond, "how long a download without records is held back, 0s to 5s"},
	{"auth.mode", "open", "open accepts any credentials, required only valid ones"},
	{"auth.domains", "", "accounts with their projects, users and access keys; as a flag or in the environment a JSON array"},
	{"auth.key_file", "", "file with the key that encrypts secrets and tokens (default identity.key in data_dir)"},
	{"auth.clock_window", 15 * time.Minute, "how far the date of a signature may be from now; 0s for any"},
	{"auth.path_prefix", "", "path under which a proxy serves disd, which some clients do not sign"},
	{"auth.max_failures", 0, "failed authentications of one address in 5 minutes, after which it is refused for as long; 0 for any number"},
	{"auth.explain", false, "log what was computed for a signature that is refused"},
	{"tls.mode", "off", "off, auto (an own certificate authority in data_dir) or files"},
	{"tls.cert_file", "", "with tls.mode=files, the certificate chain (PEM)"},
	{"tls.key_file", "", "with tls.mode=files, its key (PEM)"},
	{"tls.hosts", []string{"localhost", "127.0.0.1", "::1"}, "with tls.mode=auto, names and addresses of this server"},
	{"console.hosts", []string{}, "names by which an open server on a loopback address may be reached beside local ones, such as that of a proxy"},
	{"audit.file", "", "file for who changed what, as JSON lines; empty for none"},
	{"audit.size", int64(64 << 20), "bytes at which the audit log is begun anew"},
	{"audit.keep", 10, "older audit logs kept"},
	{"quota.mode", "off", "quotas of the cloud: off, warn (count only) or enforce"},
	{"quota.control_calls", 0, "calls of one project a second beside GET, data, consumer groups and logins; 0 for any number"},
	{"limits.body", int64(64 << 20), "largest request body in bytes"},
	{"limits.bodies", int64(256 << 20), "bytes of all request bodies in memory at one time"},
	{"limits.answers", int64(256 << 20), "bytes of all downloads in memory at one time, beyond which they are small"},
	{"limits.pending", int64(64 << 20), "bytes of records waiting to be written, beyond which uploads are refused with DIS.4303"},
	{"limits.connections", 10000, "open connections at one time"},
	{"storage.commit_log", int64(64 << 20), "size in bytes of one commit log file"},
	{"storage.segment", int64(64 << 20), "size in bytes of one segment file"},
	{"storage.memory", int64(1 << 30), "with engine=memory, bytes of records beyond which uploads are refused"},
	{"groups.session_timeout", 60 * time.Second, "how long a member of a consumer group may be silent, at least 45s"},
	{"transfer.obs.directory", "", "directory whose directories are the buckets of OBS tasks (default obs in data_dir)"},
	{"transfer.obs.endpoint", "", "URL of an S3 or OBS object store, whose buckets are used instead of directories"},
	{"transfer.obs.region", "us-east-1", "region of the object store"},
	{"transfer.obs.access_key", "", "access key for the object store"},
	{"transfer.obs.secret_key", "", "secret key for the object store"},
	{"transfer.obs.path_style", false, "put the bucket into the path although the object store has a name"},
	{"transfer.obs.signature", "v4", "form of signature that the object store knows: v4 or v2"},
	{"transfer.obs.part", 16 << 20, "bytes above which an object is sent in parts of that size"},
	{"transfer.obs.timeout", time.Minute, "how long a request to the object store may make no progress"},
	{"transfer.dws.clusters", "", "databases that DWS tasks may name, with their addresses; as a flag or in the environment a JSON array"},
	{"transfer.dws.timeout", 5 * time.Minute, "how long a statement may make no progress in a database"},
	{"transfer.mrs.clusters", "", "HDFS clusters that MRS tasks may name, with their addresses; as a flag or in the environment a JSON array"},
	{"transfer.mrs.timeout", time.Minute, "how long a request to an HDFS cluster may make no progress"},
	{"transfer.cloudtable.clusters", "", "HBase and OpenTSDB clusters that CloudTable tasks may name; as a flag or in the environment a JSON array"},
	{"transfer.kms_keys", "", "keys that DWS tasks may name; as a flag or in the environment a JSON array"},
	{"transfer.agencies", "", "agencies that tasks may name, with their access keys; as a flag or in the environment a JSON array"},
	{"transfer.batch_records", 100_000, "records that transfer tasks deliver without waiting for deliver_time_interval, and never more at once"},
	{"transfer.batch_bytes", 64 << 20, "the same in bytes of data"},
	{"transfer.manifest", false, "write a manifest of each batch beside it, for disd verify-dump"},
	{"transfer.workers", 4, "batches of all transfer tasks that are on their way at the same time; beside them, as many to destinations that are stuck"},
	{"transfer.zone", "UTC", "time zone of the directories that transfer tasks name by time"},
	{"transfer.file_name", kind.DefaultFileName, "names of the files that transfer tasks write, without extension; docs/transfer.md has the rules"},
	{"emulator.enabled", false, "offer tests faults, a clock, snapshots and more under /_disd/test; engine is memory then, unless it is set"},
	{"emulator.expose", false, "with emulator.enabled, other machines may use that too"},
	{"emulator.seed", "", "with emulator.enabled, a file (YAML) of what is there at the start"},
	{"emulator.journal", 10_000, "with emulator.enabled, how many requests are kept to be looked at; 0 for none"},
	{"profiling", false, "serve profiles of the process under /_disd/pprof/"},
	{"log.level", "info", "debug, info, warn or error"},
	{"log.format", "text", "text or json"},
}

// AddFlags declares a flag for every option, and one for the file.
func AddFlags(flags *pflag.FlagSet) {
	flags.String("config", "", "configuration file (YAML), default $DISD_CONFIG")
	for _, o := range options {
		name := flagName(o.key)
		switch def := o.def.(type) {
		case string:
			flags.String(name, def, o.usage)
		case bool:
			flags.Bool(name, def, o.usage)
		case int:
			flags.Int(name, def, o.usage)
		case int64:
			flags.Int64(name, def, o.usage)
		case []string:
			flags.StringSlice(name, def, o.usage)
		case time.Duration:
			flags.Duration(name, def, o.usage)
		}
	}
}

// notOptions are environment variables that begin like an option's and are none:
// the commands' own, and those that Kubernetes sets for a service whose name begins
// with disd.
var notOptions = regexp.MustCompile(`^DISD_(CONFIG|AK|SK|PASSWORD|ENDPOINT|BINARY|TEST_ENDPOINT|(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_\w+)?))$`)

// checkEnvironment refuses variables that are of no option. A misspelt
// DISD_AUTH_MODE must not leave the server open to everybody.
func checkEnvironment(environment []string) error {
	known := make(map[string]bool)
	for _, o := range options {
		known[variable(o.key)] = true
	}
	var unknown []string
	for _, v := range environment {
		name, _, _ := strings.Cut(v, "=")
		if strings.HasPrefix(name, "DISD_") && !known[name] && !notOptions.MatchString(name) {
			unknown = append(unknown, name)
		}
	}
	if unknown == nil {
		return nil
	}
	slices.Sort(unknown)
	return fmt.Errorf("unknown in the environment: %s", strings.Join(unknown, ", "))
}

// Default returns the options as they are when nothing is set.
func Default() *Config {
	c, err := decode(withDefaults())
	if err != nil {
		panic(err) // a default that is not of its option's type
	}
	return c
}

// Load merges defaults, file, environment and flags, later ones winning. The flags
// are those of AddFlags, parsed; there may be others among them. What cannot be
// used is a MisuseError.
func Load(flags *pflag.FlagSet) (*Config, error) {
	c, err := merge(flags)
	if err == nil {
		err = c.Check()
	}
	if err != nil {
		return nil, MisuseError{err}
	}
	return c, nil
}

// A MisuseError is a mistake of whoever started the program: options or arguments
// that cannot be used.
type MisuseError struct{ error }

// Unwrap returns what is wrong.
func (e MisuseError) Unwrap() error { return e.error }

// Misuse returns err, if there is one, as a MisuseError.
func Misuse(err error) error {
	if err == nil {
		return nil
	}
	return MisuseError{err}
}

func merge(flags *pflag.FlagSet) (*Config, error) {
	if err := checkEnvironment(os.Environ()); err != nil {
		return nil, err
	}
	v := withDefaults()
	v.SetEnvPrefix("DISD")
	v.SetEnvKeyReplacer(strings.NewReplacer(".", "_"))
	for _, o := range options {
		if err := errors.Join(v.BindEnv(o.key, variable(o.key)), v.BindPFlag(o.key, flags.Lookup(flagName(o.key)))); err != nil {
			return nil, err
		}
	}
	file, _ := flags.GetString("config")
	if file = cmp.Or(file, os.Getenv("DISD_CONFIG")); file != "" {
		if err := readFile(v, file); err != nil {
			return nil, fmt.Errorf("read configuration: %w", err)
		}
	}
	c, err := decode(v)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	c.authExplicit = isExplicit(v, flags, "auth.mode", "auth-mode") || c.Emulator.Enabled && c.Emulator.Expose
	if c.Emulator.Enabled && !isExplicit(v, flags, "engine", "engine") {
		c.Engine = "memory" // CTL-2
	}
	return c, nil
}

// readFile reads a configuration file. In it, emulator: true is short for
// emulator: {enabled: true} (CTL-2).
func readFile(v *viper.Viper, name string) error {
	content, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	var all map[string]any
	if err := yaml.Unmarshal(content, &all); err != nil {
		return err
	}
	if on, short := all["emulator"].(bool); short {
		all["emulator"] = map[string]any{"enabled": on}
	}
	return v.MergeConfigMap(all)
}

func withDefaults() *viper.Viper {
	v := viper.New()
	for _, o := range options {
		v.SetDefault(o.key, o.def)
	}
	return v
}

func decode(v *viper.Viper) (*Config, error) {
	var c Config
	hook := mapstructure.ComposeDecodeHookFunc(
		mapstructure.StringToTimeDurationHookFunc(), listFromText, mapstructure.StringToSliceHookFunc(","))
	return &c, v.UnmarshalExact(&c, viper.DecodeHook(hook))
}

func flagName(key string) string {
	if key == "emulator.enabled" {
		return "emulator"
	}
	return strings.NewReplacer("_", "-", ".", "-").Replace(key)
}

// variable is the name of an option in the environment.
func variable(key string) string {
	if key == "emulator.enabled" {
		return "DISD_EMULATOR"
	}
	return "DISD_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// listFromText reads a list of structures that a flag or the environment gives as
// JSON.
func listFromText(_, to reflect.Type, data any) (any, error) {
	text, ok := data.(string)
	if !ok || to.Kind() != reflect.Slice || to.Elem().Kind() != reflect.Struct {
		return data, nil
	}
	if text == "" {
		return []any{}, nil
	}
	var list []any
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return nil, fmt.Errorf("a JSON array is needed: %w", err)
	}
	return list, nil
}

// isExplicit reports whether a key has a value other than by default.
func isExplicit(v *viper.Viper, flags *pflag.FlagSet, key, flag string) bool {
	bare := viper.New()
	return v.InConfig(key) || flags.Changed(flag) || bare.BindEnv(key, variable(key)) == nil && bare.IsSet(key)
}

// Check returns what is wrong with the values, all of it.
func (c *Config) Check() error {
	return errors.Join(
		among("engine", c.Engine, "local", "memory"),
		among("sync", c.Sync, "always", "interval", "off"),
		among("auth.mode", c.Auth.Mode, auth.ModeOpen, auth.ModeRequired),
		inRange("auth.clock_window", c.Auth.ClockWindow, 0, 24*time.Hour),
		inRange("auth.max_failures", c.Auth.MaxFailures, 0, 1<<30),
		among("tls.mode", c.TLS.Mode, "off", "auto", "files"),
		c.checkTLS(),
		inRange("groups.session_timeout", c.Groups.SessionTimeout, 45*time.Second, time.Hour),
		inRange("audit.size", c.Audit.Size, 1<<20, 1<<40),
		inRange("audit.keep", c.Audit.Keep, 1, 1000),
		among("quota.mode", c.Quota.Mode, quota.Off, quota.Warn, quota.Enforce),
		inRange("quota.control_calls", c.Quota.ControlCalls, 0, 1<<30),
		among("log.level", c.Log.Level, "debug", "info", "warn", "error"),
		among("log.format", c.Log.Format, "text", "json"),
		inRange("empty_wait", c.EmptyWait, 0, 5*time.Second),
		inRange("sync_interval", c.SyncInterval, time.Millisecond, time.Hour),
		inRange("limits.body", c.Limits.Body, 6<<20, 1<<30),
		inRange("limits.bodies", c.Limits.Bodies, c.Limits.Body, 1<<40),
		inRange("limits.answers", c.Limits.Answers, 64<<20, 1<<40),
		inRange("limits.pending", c.Limits.Pending, 1<<20, 1<<40),
		inRange("limits.connections", c.Limits.Connections, 1, 1<<20),
		inRange("emulator.journal", c.Emulator.Journal, 0, 1_000_000),
		c.checkEmulator(),
		c.checkOBS(),
		c.checkAgencies(),
		c.checkNames(),
		inRange("transfer.batch_records", c.Transfer.BatchRecords, 1, 10_000_000),
		inRange("transfer.batch_bytes", c.Transfer.BatchBytes, 1<<20, 1<<30),
		inRange("transfer.workers", c.Transfer.Workers, 1, 1000),
		inRange("storage.commit_log", c.Storage.CommitLog, 1<<20, 1<<32),
		inRange("storage.segment", c.Storage.Segment, 1<<20, 1<<32),
		inRange("storage.memory", c.Storage.Memory, 1<<20, 1<<40),
		c.checkExposure(),
	)
}

func (c *Config) checkTLS() error {
	if c.TLS.Mode == "files" && (c.TLS.CertFile == "" || c.TLS.KeyFile == "") {
		return errors.New("tls.mode files needs tls.cert_file and tls.key_file")
	}
	if c.TLS.Mode == "auto" && c.Engine == "memory" {
		return errors.New("tls.mode auto keeps its certificates in data_dir, which engine memory has none of: use tls.mode files")
	}
	return nil
}

func (c *Config) checkEmulator() error {
	e := &c.Emulator
	if !e.Enabled && (e.Expose || e.Seed != "") {
		return errors.New("emulator.expose and emulator.seed need emulator.enabled")
	}
	return nil
}

func (c *Config) checkOBS() error {
	o := c.Transfer.OBS
	if o.Endpoint != "" && o.Directory != "" {
		return errors.New("transfer.obs.endpoint and transfer.obs.directory exclude each other")
	}
	if o.Endpoint != "" && (o.AccessKey == "" || o.SecretKey == "") {
		return errors.New("transfer.obs.endpoint needs transfer.obs.access_key and transfer.obs.secret_key: tasks never write without credentials")
	}
	return errors.Join(
		among("transfer.obs.signature", o.Signature, "v4", "v2"),
		inRange("transfer.obs.part", o.Part, 5<<20, 1<<30),
		inRange("transfer.obs.timeout", o.Timeout, time.Second, time.Hour),
		inRange("transfer.dws.timeout", c.Transfer.DWS.Timeout, time.Second, 24*time.Hour),
		inRange("transfer.mrs.timeout", c.Transfer.MRS.Timeout, time.Second, time.Hour),
		c.checkDestinations(),
	)
}

// checkDestinations finds what is wrong with the clusters before anything is served.
func (c *Config) checkDestinations() error {
	_, err := destinations.All(c.Transfer.Options)
	return err
}

func (c *Config) checkAgencies() error {
	var errs []error
	for _, a := range c.Transfer.Agencies {
		switch {
		case a.Name == "" || (a.AccessKey == "") != (a.SecretKey == ""):
			errs = append(errs, fmt.Errorf("transfer.agencies: agency %q needs a name, and both keys or none", a.Name))
		case a.AccessKey != "" && c.Transfer.OBS.Endpoint == "":
			errs = append(errs, fmt.Errorf("transfer.agencies: agency %q has keys, and there is no object store that they could be for", a.Name))
		}
	}
	return errors.Join(errs...)
}

// checkNames checks what names the files of transfer tasks.
func (c *Config) checkNames() error {
	var errs []error
	if _, err := time.LoadLocation(c.Transfer.Zone); err != nil {
		errs = append(errs, fmt.Errorf("transfer.zone: %w", err))
	}
	if err := transfer.CheckFileName(c.Transfer.FileName); err != nil {
		errs = append(errs, fmt.Errorf("transfer.file_name: %w", err))
	}
	return errors.Join(errs...)
}

func among[T ~string](key string, value T, allowed ...T) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return fmt.Errorf("%s is %q, must be one of %s", key, value, strings.Join(texts(allowed), ", "))
}

func texts[T ~string](list []T) (out []string) {
	for _, v := range list {
		out = append(out, string(v))
	}
	return out
}

func inRange[T int | int64 | time.Duration](key string, value, low, high T) error {
	if value < low || value > high {
		return fmt.Errorf("%s is %v, must be from %v to %v", key, value, low, high)
	}
	return nil
}

// checkExposure refuses to serve everybody by accident (design D14).
func (c *Config) checkExposure() error {
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if isLoopback(host) {
		return nil
	}
	if c.Emulator.Enabled && !c.Emulator.Expose {
		return fmt.Errorf("listen is %s, beyond this machine, where everybody could use the controls of the emulator: set emulator.expose if that is what you want", c.Listen)
	}
	if c.Auth.Mode != auth.ModeOpen || c.authExplicit {
		return nil
	}
	return fmt.Errorf("listen is %s, beyond this machine, where auth.mode open lets anybody read and write: set auth.mode explicitly if that is what you want", c.Listen)
}

// OpenHere reports a server that lets everybody in, on this machine only. Pages that
// are open in a browser of the machine must not be able to use it (CON-40).
func (c *Config) OpenHere() bool {
	host, _, _ := net.SplitHostPort(c.Listen) // checkExposure has seen it
	return c.Auth.Mode == auth.ModeOpen && isLoopback(host)
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
