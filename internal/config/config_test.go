package config

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"disd/internal/quota"
)

func load(t *testing.T, args ...string) (*Config, error) {
	t.Helper()
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	AddFlags(flags)
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	return Load(flags)
}

func flatten(keys map[string]bool, prefix string, section map[string]any) {
	for name, v := range section {
		if sub, ok := v.(map[string]any); ok {
			flatten(keys, prefix+name+".", sub)
		} else {
			keys[prefix+name] = true
		}
	}
}

// TestExampleIsTheDefault holds configs/disd.yaml against the defaults, key by
// key.
func TestExampleIsTheDefault(t *testing.T) {
	const example = "../../configs/disd.yaml"
	raw, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	var file map[string]any
	if err := yaml.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	flatten(documented, "", file)
	for _, o := range options {
		if !documented[o.key] {
			t.Errorf("%s is not in the example", o.key)
		}
		delete(documented, o.key)
	}
	for key := range documented {
		t.Errorf("the example has an unknown key %s", key)
	}
	def := Default()
	got, err := load(t, "--config", example)
	if err != nil {
		t.Fatal(err)
	}
	got.origins, got.File = nil, "" // which the defaults have not
	if !reflect.DeepEqual(got, def) {
		t.Errorf("the example says\n%+v\nthe defaults are\n%+v", got, def)
	}
}

func TestPrecedence(t *testing.T) {
	file := filepath.Join(t.TempDir(), "disd.yaml")
	if err := os.WriteFile(file, []byte("listen: 127.0.0.1:1\ndata_dir: from-file\nsync: off\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DISD_DATA_DIR", "from-env")
	t.Setenv("DISD_SYNC", "interval")
	for variable, args := range map[string][]string{
		file:           nil,
		"":             {"--config", file},
		file + ".none": {"--config", file},
	} {
		t.Setenv("DISD_CONFIG", variable)
		c, err := load(t, append(args, "--sync", "always")...)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := [3]string{c.Listen, c.DataDir, c.Sync}, [3]string{"127.0.0.1:1", "from-env", "always"}; got != want {
			t.Errorf("listen, data_dir, sync = %q, want %q", got, want)
		}
	}
	t.Setenv("DISD_CONFIG", file+".none")
	if _, err := load(t); err == nil {
		t.Error("a file that is not there is no error")
	}
}

func TestRefusedConfigurations(t *testing.T) {
	for _, test := range []struct {
		name string
		file string
		args []string
		env  []string // names and values
		want string   // in the error, "" for none
	}{
		{name: "unknown key in the file", file: "lisen: 127.0.0.1:1\n", want: "lisen"},
		{name: "unknown key in a section", file: "log:\n  colour: red\n", want: "colour"},
		{name: "unknown flag", args: []string{"--lisen", "x"}, want: "lisen"},
		{name: "unknown engine", args: []string{"--engine", "tape"}, want: "engine"},
		{name: "unknown sync", args: []string{"--sync", "never"}, want: "sync"},
		{name: "not a number", args: []string{"--limits-body", "big"}, want: "limits-body"},
		{name: "body too small", args: []string{"--limits-body", "1"}, want: "limits.body"},
		{name: "no port", args: []string{"--listen", "127.0.0.1"}, want: "listen"},
		{name: "everybody, not said", args: []string{"--listen", "0.0.0.0:1"}, want: "auth.mode"},
		{name: "everybody by an empty host, not said", args: []string{"--listen", ":1"}, want: "auth.mode"},
		{name: "everybody, said by flag", args: []string{"--listen", ":1", "--auth-mode", "open"}},
		{name: "everybody, said in the file", file: "auth: {mode: open}\n", args: []string{"--listen", ":1"}},
		{name: "everybody, said in the environment", env: []string{"DISD_AUTH_MODE", "open"}, args: []string{"--listen", ":1"}},
		{name: "misspelt variables", env: []string{"DISD_AUTH_MOD", "required", "DISD_LISEN", ""}, want: "DISD_AUTH_MOD, DISD_LISEN"},
		{name: "a flag's name as a variable", env: []string{"DISD_DATA-DIR", "x"}, want: "DISD_DATA-DIR"},
		{name: "variables of the commands", env: []string{"DISD_AK", "x", "DISD_SK", "x", "DISD_PASSWORD", "x"}},
		{name: "variables of a Kubernetes service", env: []string{
			"DISD_PORT", "tcp://10.0.0.1:20004", "DISD_PORT_20004_TCP_ADDR", "10.0.0.1", "DISD_SERVICE_HOST", "10.0.0.1",
			"DISD_SERVICE_PORT", "20004", "DISD_SERVICE_PORT_DIS", "20004", "DISD_METRICS_SERVICE_HOST", "10.0.0.1",
		}},
		{name: "not a list", args: []string{"--transfer-agencies", "{}"}, want: "transfer.agencies"},
		{name: "unknown key in a list", args: []string{"--transfer-dws-clusters", `[{"host":"x"}]`}, want: "transfer.dws.clusters"},
		{name: "a list in the environment", env: []string{"DISD_TRANSFER_KMS_KEYS", `[{"name":"k","id":"1"}]`}},
		{name: "no key for the store", args: []string{"--transfer-obs-endpoint", "http://127.0.0.1:1", "--transfer-obs-access-key", "a"}, want: "secret_key"},
		{name: "two places for buckets", args: []string{"--transfer-obs-directory", "x", "--transfer-obs-endpoint", "http://127.0.0.1:1"}, want: "exclude"},
		{name: "unknown signature", args: []string{"--transfer-obs-signature", "v5"}, want: "transfer.obs.signature"},
		{name: "an agency without a name", args: []string{"--transfer-agencies", `[{}]`}, want: "transfer.agencies"},
		{name: "half a key", args: []string{"--transfer-agencies", `[{"name":"a","access_key":"x"}]`}, want: "both keys"},
		{name: "the other half", args: []string{"--transfer-agencies", `[{"name":"a","secret_key":"x"}]`}, want: "both keys"},
		{name: "keys for no store", args: []string{"--transfer-agencies", `[{"name":"a","access_key":"x","secret_key":"y"}]`}, want: "no object store"},
		{name: "unknown zone", args: []string{"--transfer-zone", "Mars/Base"}, want: "transfer.zone"},
		{name: "unknown name in a template", args: []string{"--transfer-file-name", "{nothing}"}, want: "transfer.file_name"},
		{name: "loopback by name", args: []string{"--listen", "localhost:1"}},
		{name: "loopback of IPv6", args: []string{"--listen", "[::1]:1"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			args := test.args
			if test.file != "" {
				file := filepath.Join(t.TempDir(), "disd.yaml")
				if err := os.WriteFile(file, []byte(test.file), 0o600); err != nil {
					t.Fatal(err)
				}
				args = append(args, "--config", file)
			}
			for i := 0; i < len(test.env); i += 2 {
				t.Setenv(test.env[i], test.env[i+1])
			}
			_, err := load(t, args...)
			if test.want == "" {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one about %s", err, test.want)
			}
		})
	}
}

// TestTextsAreTakenAsWritten: what YAML would read as a number, a date or a truth value
// is a text where a text is wanted, in the file, in the environment and as a flag.
func TestTextsAreTakenAsWritten(t *testing.T) { // 02-yaml-scalars
	for _, text := range []string{
		"plain", "123456", "0123456", "00012345", "1e5", "0x1F", "1_000", "true", "False", "yes", "off", "12345678901234567890123", "0.10", ".inf", "2024-01-01",
	} {
		list := `{name: acme, id: ` + text + `, projects: [{id: ` + text + `, name: ` + text + `}], users: [{name: u, password: ` + text + `, access_keys: [{ak: ` + text + `, sk: ` + text + `}]}]}`
		c, err := load(t, "--config", write(t, "auth: {domains: ["+list+"], path_prefix: "+text+"}\ntransfer: {obs: {region: "+text+"}}\ntls: {hosts: ["+text+", "+text+"]}\n"))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		d := c.Auth.Domains[0]
		got := []string{
			c.Auth.PathPrefix, c.Transfer.OBS.Region, d.ID, d.Projects[0].ID, d.Projects[0].Name, d.Users[0].Password,
			d.Users[0].AccessKeys[0].AK, d.Users[0].AccessKeys[0].SK, c.TLS.Hosts[0], c.TLS.Hosts[1],
		}
		for i, g := range got {
			if g != text {
				t.Errorf("%s in the file, number %d, is %q", text, i, g)
			}
		}
		t.Setenv("DISD_TRANSFER_OBS_REGION", text)
		c, err = load(t, "--auth-path-prefix", text)
		os.Unsetenv("DISD_TRANSFER_OBS_REGION")
		if err != nil || c.Transfer.OBS.Region != text || c.Auth.PathPrefix != text {
			t.Errorf("%s: %+v, %v", text, c, err)
		}
	}
	t.Setenv("DISD_TRANSFER_KMS_KEYS", `[{"name":12345678901234567890,"id":1e5}]`) // JSON that is sloppy in the same way
	if c, err := load(t); err != nil || c.Transfer.KMSKeys[0].Name != "12345678901234567890" || c.Transfer.KMSKeys[0].ID != "1e5" {
		t.Errorf("%+v, %v", c, err)
	}
}

func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestValuesAreReadAlike writes each value in the file, in the environment and as a
// flag.
func TestValuesAreReadAlike(t *testing.T) {
	for _, tt := range []struct {
		key, value string
		want       any    // nil when it is refused
		refused    string // what the error says
	}{
		{"limits.body", "67108864", int64(64 << 20), ""},
		{"limits.body", "64MiB", int64(64 << 20), ""},
		{"limits.body", "65536KiB", int64(64 << 20), ""},
		{"limits.body", "131072KiB", int64(128 << 20), ""},
		{"limits.body", "64 MiB", int64(64 << 20), ""},
		{"limits.body", "64MB", nil, "such as 64MiB"},
		{"limits.body", "64mib", nil, "such as 64MiB"},
		{"limits.body", "0100000000", nil, "such as 64MiB"},
		{"limits.body", "1e8", nil, "such as 64MiB"},
		{"limits.body", "67_108_864", nil, "such as 64MiB"},
		{"limits.body", "0x4000000", nil, "such as 64MiB"},
		{"limits.body", "99999999999999999999", nil, "too large"},
		{"limits.body", "99999999TiB", nil, "too large"},
		{"limits.body", "MiB", nil, "such as 64MiB"},
		{"limits.body", "true", nil, "such as 64MiB"},
		{"limits.body", "1", nil, "must be from"},
		{"limits.connections", "100", 100, ""},
		{"limits.connections", "0100", nil, "whole number"},
		{"limits.connections", "1KiB", nil, "whole number"},
		{"limits.connections", "1.0", nil, "whole number"},
		{"limits.connections", "12:30", nil, "whole number"},
		{"storage.commit_log", "1048577", nil, "multiple of 4096"},
		{"empty_wait", "1s", time.Second, ""},
		{"empty_wait", "1", nil, "duration such as"},
		{"profiling", "true", true, ""},
		{"profiling", "yes", nil, "true or false"},
		{"profiling", "1", nil, "true or false"},
		{"log.level", "off", nil, "must be one of"},
		{"quota.mode", "off", quota.Off, ""},
		{"tls.hosts", "a,b", []string{"a", "b"}, ""},
	} {
		check := func(place string, c *Config, err error) {
			t.Helper()
			switch {
			case tt.want == nil && (err == nil || !strings.Contains(err.Error(), tt.refused) || !strings.Contains(err.Error(), place+": "+tt.key+" ")):
				t.Errorf("%s: %s: %s: %v, want %s", place, tt.key, tt.value, err, tt.refused)
			case tt.want != nil && err != nil:
				t.Errorf("%s: %s: %s is refused: %v", place, tt.key, tt.value, err)
			case tt.want != nil:
				if got := field(reflect.ValueOf(c).Elem(), tt.key).Interface(); !reflect.DeepEqual(got, tt.want) {
					t.Errorf("%s: %s: %s is %v, want %v", place, tt.key, tt.value, got, tt.want)
				}
			}
			if err != nil && regexp.MustCompile(`\b(int|int64|string|bool|strconv|float64|map\[|reflect|yaml|config)\b`).MatchString(strings.ReplaceAll(err.Error(), "c.yaml", "")) {
				t.Errorf("%s: %s: %s: the error has a type of Go: %v", place, tt.key, tt.value, err)
			}
		}
		section, name, nested := strings.Cut(tt.key, ".")
		text := "# a comment\n" + section + ": " + tt.value + "\n"
		line := 2
		if nested {
			text, line = "# a comment\n"+section+":\n  "+name+": "+tt.value+"\n", 3
		}
		file := write(t, text)
		c, err := load(t, "--config", file)
		check(fmt.Sprint(file, ":", line), c, err)
		o, _ := find(tt.key)
		c, err = load(t, "--"+o.flag()+"="+tt.value)
		check("--"+o.flag(), c, err)
		t.Run(tt.key+" "+tt.value, func(t *testing.T) {
			t.Setenv(o.variable(), tt.value)
			c, err := load(t)
			check(o.variable(), c, err)
		})
	}
}

// TestErrorsOfTheFile are those with a line.
func TestErrorsOfTheFile(t *testing.T) { // CLI-21
	for _, tt := range []struct{ text, want string }{
		{"listen: a\nlisen: b\n", "c.yaml:2: unknown option lisen: did you mean listen?"},
		{"log:\n  colour: red\n", "c.yaml:2: unknown option log.colour"},
		{"log:\n  leval: info\n", "c.yaml:2: unknown option log.leval: did you mean log.level?"},
		{"log: info\n", "c.yaml:1: log has options of its own, not a value"},
		{"[]\n", "c.yaml:1: the file has options of its own, not a value"},
		{"sync: off\n\nsync: always\n", "c.yaml:3: sync is there twice"},
		{"log:\n  level: info\nlog:\n  format: text\n", "c.yaml:3: log is there twice"},
		{"listen:\n", `c.yaml:1: listen has no value: write ""`},
		{"listen: ~\n", `c.yaml:1: listen has no value: write ""`},
		{"listen: [a]\n", "c.yaml:1: listen must be one value"},
		{"listen: {a: b}\n", "c.yaml:1: listen must be one value"},
		{"listen: !!binary YQ==\n", "c.yaml:1: listen has a tag"},
		{"auth:\n  domains: acme\n", "c.yaml:2: auth.domains must be a list"},
		{"auth:\n  domains:\n    - acme\n", "c.yaml:3: auth.domains[0] must have members: id, name"},
		{"auth:\n  domains:\n    - name: a\n      user: b\n", "c.yaml:4: unknown auth.domains[0].user: did you mean users?"},
		{"auth:\n  domains:\n    - name: a\n      name: b\n", "c.yaml:4: auth.domains[0].name is there twice"},
		{"auth:\n  domains:\n    - name: a\n      users: [{name: x, programmatic: perhaps}]\n", `c.yaml:4: auth.domains[0].users[0].programmatic is "perhaps", must be true or false`},
		{"auth:\n  domains:\n    - name: a\n      users: [{name: x, role: king}]\n", "c.yaml:3: auth.domains: "},
		{"listen: a\n---\nlisten: b\n", "there is a second document"},
		{"listen: [\n", "c.yaml:"},
		{"a: b\nc: d: e\n", "c.yaml:2: "},
		{"listen: 0.0.0.0:1\n", "c.yaml:1: listen is 0.0.0.0:1, beyond this machine"},
		{"", ""}, {"# nothing\n", ""}, {"log:\n  # nothing\n", ""},
		{"x: &a info\n", "unknown option x"},
		{"listen: &l 127.0.0.1:1\nauth: {path_prefix: *l}\n", ""},
	} {
		_, err := load(t, "--config", write(t, tt.text))
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%q: %v, want %s", tt.text, err, tt.want)
		}
	}
	_, err := load(t, "--config", write(t, "lisen: a\nsync: never\nengine: tape\n"), "--limits-body", "x")
	for _, want := range []string{"c.yaml:1", "--limits-body"} { // all that is wrong at once
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s too", err, want)
		}
	}
}

// TestEveryFieldIsAnOption: what the configuration has can be set.
func TestEveryFieldIsAnOption(t *testing.T) {
	var walk func(prefix string, typ reflect.Type)
	walk = func(prefix string, typ reflect.Type) {
		for _, f := range reflect.VisibleFields(typ) {
			name := f.Tag.Get("yaml")
			if f.Anonymous || !f.IsExported() || name == "-" {
				continue
			}
			o, section := find(prefix + name)
			if name == "" || o == nil && !section {
				t.Errorf("%s%s cannot be set", prefix, f.Name)
			} else if section {
				walk(prefix+name+".", f.Type)
			}
		}
	}
	walk("", reflect.TypeFor[Config]())
}
