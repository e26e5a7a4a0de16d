package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"disd/internal/transfer/kind"
)

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
	def   any // of the type that texts are read as
	usage string
}

// A size is a number of bytes, which may be written as 64MiB.
type size int64

// A list has structures, which a flag or the environment gives as a JSON array.
type list struct{}

// flag is the name of the option's flag, without dashes.
func (o *option) flag() string {
	return strings.NewReplacer("_", "-", ".", "-").Replace(strings.TrimSuffix(o.key, ".enabled"))
}

// variable is the name of its environment variable.
func (o *option) variable() string {
	return "DISD_" + strings.ToUpper(strings.ReplaceAll(strings.TrimSuffix(o.key, ".enabled"), ".", "_"))
}

var options = []option{
	{"listen", "127.0.0.1:20004", "address to serve on, host:port; port 0 takes a free one"},
	{"data_dir", "./disd-data", "directory for everything that must survive"},
	{"engine", "local", "where records are kept: local (files) or memory (lost at exit)"},
	{"sync", "always", "what an acknowledgement waits for: always (stable storage), interval or off"},
	{"sync_interval", 100 * time.Millisecond, "with sync=interval, the longest time without a sync"},
	{"empty_wait", 200 * time.Millisecond, "how long a download without records is held back, 0s to 5s"},
	{"auth.mode", "open", "open accepts any credentials, required only valid ones"},
	{"auth.domains", list{}, "accounts with their projects, users and access keys; as a flag or in the environment a JSON array"},
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
	{"audit.size", size(64 << 20), "bytes at which the audit log is begun anew"},
	{"audit.keep", 10, "older audit logs kept"},
	{"quota.mode", "off", "quotas of the cloud: off, warn (count only) or enforce"},
	{"quota.control_calls", 0, "calls of one project a second beside GET, data, consumer groups and logins; 0 for any number"},
	{"limits.body", size(64 << 20), "largest request body in bytes"},
	{"limits.bodies", size(256 << 20), "bytes of all request bodies in memory at one time"},
	{"limits.answers", size(256 << 20), "bytes of all downloads in memory at one time, beyond which they are small"},
	{"limits.pending", size(64 << 20), "bytes of records waiting to be written, beyond which uploads are refused with DIS.4303"},
	{"limits.connections", 10000, "open connections at one time"},
	{"storage.commit_log", size(64 << 20), "size in bytes of one commit log file"},
	{"storage.segment", size(64 << 20), "size in bytes of one segment file"},
	{"storage.memory", size(1 << 30), "with engine=memory, bytes of records beyond which uploads are refused"},
	{"groups.session_timeout", 60 * time.Second, "how long a member of a consumer group may be silent, at least 45s"},
	{"transfer.obs.directory", "", "directory whose directories are the buckets of OBS tasks (default obs in data_dir)"},
	{"transfer.obs.endpoint", "", "URL of an S3 or OBS object store, whose buckets are used instead of directories"},
	{"transfer.obs.region", "us-east-1", "region of the object store"},
	{"transfer.obs.access_key", "", "access key for the object store"},
	{"transfer.obs.secret_key", "", "secret key for the object store"},
	{"transfer.obs.path_style", false, "put the bucket into the path although the object store has a name"},
	{"transfer.obs.signature", "v4", "form of signature that the object store knows: v4 or v2"},
	{"transfer.obs.part", size(16 << 20), "bytes above which an object is sent in parts of that size"},
	{"transfer.obs.timeout", time.Minute, "how long a request to the object store may make no progress"},
	{"transfer.dws.clusters", list{}, "databases that DWS tasks may name, with their addresses; as a flag or in the environment a JSON array"},
	{"transfer.dws.timeout", 5 * time.Minute, "how long a statement may make no progress in a database"},
	{"transfer.mrs.clusters", list{}, "HDFS clusters that MRS tasks may name, with their addresses; as a flag or in the environment a JSON array"},
	{"transfer.mrs.timeout", time.Minute, "how long a request to an HDFS cluster may make no progress"},
	{"transfer.cloudtable.clusters", list{}, "HBase and OpenTSDB clusters that CloudTable tasks may name; as a flag or in the environment a JSON array"},
	{"transfer.kms_keys", list{}, "keys that DWS tasks may name; as a flag or in the environment a JSON array"},
	{"transfer.agencies", list{}, "agencies that tasks may name, with their access keys; as a flag or in the environment a JSON array"},
	{"transfer.batch_records", 100_000, "records that transfer tasks deliver without waiting for deliver_time_interval, and never more at once"},
	{"transfer.batch_bytes", size(64 << 20), "the same in bytes of data"},
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
	for i := range options {
		o := &options[i]
		f := flags.VarPF(&text{option: o, value: written(o.def)}, o.flag(), "", o.usage)
		if o.def == false {
			f.NoOptDefVal = "true"
		}
	}
}

// A text is the value of a flag as it was written.
type text struct {
	option *option
	value  string
}

func (t *text) String() string { return t.value }

func (t *text) Set(value string) error {
	t.value = value
	return nil // it is read with the others, which may also be wrong
}

// Type is what the help calls a value.
func (t *text) Type() string {
	switch t.option.def.(type) {
	case bool:
		return "bool"
	case int:
		return "int"
	case size:
		return "size"
	case time.Duration:
		return "duration"
	case []string:
		return "strings"
	case list:
		return "JSON"
	}
	return "string"
}

// written is a default as it would be written.
func written(def any) string {
	switch def := def.(type) {
	case []string:
		return strings.Join(def, ",")
	case list:
		return ""
	case time.Duration:
		return shortDuration(def)
	case size:
		return def.String()
	}
	return fmt.Sprint(def)
}

// shortDuration leaves out what is nothing: 1m, not 1m0s.
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// notOptions are environment variables that begin like an option's and are none:
// the commands' own, and those that Kubernetes sets for a service whose name begins
// with disd.
var notOptions = regexp.MustCompile(`^DISD_(CONFIG|AK|SK|PASSWORD|ENDPOINT|BINARY|TEST_ENDPOINT|(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_\w+)?))$`)

// checkEnvironment refuses variables that are of no option. A misspelt
// DISD_AUTH_MODE must not leave the server open to everybody.
func checkEnvironment(environment []string) error {
	known := make(map[string]bool)
	for i := range options {
		known[options[i].variable()] = true
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
