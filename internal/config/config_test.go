package config

import (
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"
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

// TestExampleIsTheDefault holds configs/disd.yaml against the defaults, key by
// key.
func TestExampleIsTheDefault(t *testing.T) {
	const example = "../../configs/disd.yaml"
	v := viper.New()
	v.SetConfigFile(example)
	if err := v.ReadInConfig(); err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for _, key := range v.AllKeys() {
		documented[key] = true
	}
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
	got.authExplicit = def.authExplicit // the file names it, the defaults do not
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
