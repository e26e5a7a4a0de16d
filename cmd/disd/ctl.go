package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"disd/internal/config"
)

const ctlUsage = `Usage: disd ctl <command>, of a running emulator

  fault add RULE…                     RULE is key=value,… or JSON or @FILE
  fault list | fault rm ID… | fault rm --all
  clock [show | freeze [TIME] | advance D | set TIME | run SPEED | resume]
  reset [--project P]
  snapshot NAME | snapshots | restore NAME
  records PROJECT/STREAM | requests
`

// ctl uses the controls of a running emulator and prints what they answer.
func ctl(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var c client
	flags := pflag.NewFlagSet("ctl", pflag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { fmt.Fprint(stderr, ctlUsage, flags.FlagUsages()) }
	c.addFlags(flags)
	if endpoint := os.Getenv("DISD_ENDPOINT"); endpoint != "" {
		c.endpoint = endpoint
	}
	project := flags.String("project", "", "of a reset")
	all := flags.Bool("all", false, "with fault rm, all rules")
	if err := flags.Parse(args); err != nil {
		return config.Misuse(err)
	}
	calls, err := ctlCalls(flags.Args(), *project, *all)
	if err != nil {
		return config.Misuse(err)
	}
	if err := c.open(); err != nil {
		return err
	}
	c.http.Timeout = 150 * time.Second // an advance may take two minutes
	for _, call := range calls {
		var answer json.RawMessage
		_, err := c.call(ctx, call.method, "/_disd/test"+call.path, call.body, &answer)
		if r := isRefusal(err); r != nil && r.code == "APIGW.0101" {
			return errors.New("the server has no controls: start it with --emulator")
		}
		if err != nil {
			return err
		}
		fmt.Fprintln(stdout, string(answer))
	}
	return nil
}

// A ctlCall is one control call.
type ctlCall struct {
	method, path string
	body         any
}

var errCtl = errors.New("not a command of disd ctl:\n" + strings.TrimSpace(ctlUsage))

func ctlCalls(args []string, project string, all bool) ([]ctlCall, error) {
	word := func(i int) string {
		if i < len(args) {
			return args[i]
		}
		return ""
	}
	one := func(method, path string, body any) ([]ctlCall, error) { return []ctlCall{{method, path, body}}, nil }
	switch name := word(0); {
	case name == "fault":
		return ctlFaults(word(1), args[min(2, len(args)):], all)
	case name == "clock":
		return ctlClock(word(1), word(2), len(args))
	case name == "reset" && len(args) == 1:
		body := map[string]any{}
		if project != "" {
			body["project"] = project
		}
		return one(http.MethodPost, "/reset", body)
	case name == "snapshot" && len(args) == 2:
		return one(http.MethodPost, "/snapshots", map[string]string{"name": args[1]})
	case name == "snapshots" && len(args) == 1:
		return one(http.MethodGet, "/snapshots", nil)
	case name == "restore" && len(args) == 2:
		return one(http.MethodPost, "/snapshots/"+url.PathEscape(args[1])+"/restore", nil)
	case name == "records" && len(args) == 2:
		owner, stream, ok := strings.Cut(args[1], "/")
		if ok {
			return one(http.MethodGet, "/streams/"+url.PathEscape(owner)+"/"+url.PathEscape(stream)+"/records", nil)
		}
	case name == "requests" && len(args) == 1:
		return one(http.MethodGet, "/requests", nil)
	}
	return nil, errCtl
}

func ctlClock(verb, value string, n int) ([]ctlCall, error) {
	members := map[string]string{"freeze": "at", "advance": "by", "set": "to", "run": "speed", "resume": ""}
	member, known := members[verb]
	switch {
	case n == 1 || verb == "show" && n == 2:
		return []ctlCall{{http.MethodGet, "/clock", nil}}, nil
	case !known || n > 3 || (n == 2) != (value == "") || value == "" && (verb == "advance" || verb == "set" || verb == "run") || value != "" && member == "":
		return nil, errCtl
	}
	body := map[string]any{}
	if value != "" {
		body[member] = value
	}
	if verb == "run" {
		speed, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return nil, errCtl
		}
		body[member] = speed
	}
	return []ctlCall{{http.MethodPost, "/clock/" + verb, body}}, nil
}

func ctlFaults(verb string, args []string, all bool) (calls []ctlCall, err error) {
	switch {
	case verb == "list" && len(args) == 0:
		return []ctlCall{{http.MethodGet, "/faults", nil}}, nil
	case verb == "rm" && all && len(args) == 0:
		return []ctlCall{{http.MethodDelete, "/faults", nil}}, nil
	case len(args) == 0 || verb != "add" && verb != "rm" || all:
		return nil, errCtl
	}
	for _, arg := range args {
		if verb == "rm" {
			calls = append(calls, ctlCall{http.MethodDelete, "/faults/" + url.PathEscape(arg), nil})
			continue
		}
		rule, err := ctlRule(arg)
		if err != nil {
			return nil, err
		}
		calls = append(calls, ctlCall{http.MethodPost, "/faults", rule})
	}
	return calls, nil
}

// ctlRule reads a rule: JSON, the file behind @, or key=value,… in which a repeated
// key makes a list and dots reach inside.
func ctlRule(arg string) (any, error) {
	if name, isFile := strings.CutPrefix(arg, "@"); isFile {
		content, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		arg = string(content)
	}
	if strings.HasPrefix(strings.TrimSpace(arg), "{") {
		if !json.Valid([]byte(arg)) {
			return nil, errors.New("the rule is not JSON")
		}
		return json.RawMessage(arg), nil
	}
	rule := make(map[string]any)
	for pair := range strings.SplitSeq(arg, ",") {
		key, value, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, fmt.Errorf("%q is not key=value", pair)
		}
		path, at := strings.Split(key, "."), rule
		for _, name := range path[:len(path)-1] {
			inner, ok := at[name].(map[string]any)
			if !ok {
				inner = make(map[string]any)
				at[name] = inner
			}
			at = inner
		}
		last := path[len(path)-1]
		switch old := at[last].(type) {
		case nil:
			at[last] = looksLike(value)
		case []any:
			at[last] = append(old, looksLike(value))
		default:
			at[last] = []any{old, looksLike(value)}
		}
	}
	return rule, nil
}

// looksLike makes numbers and true of what looks like them.
func looksLike(value string) any {
	if n, err := strconv.ParseInt(value, 10, 64); err == nil {
		return n
	}
	if f, err := strconv.ParseFloat(value, 64); err == nil {
		return f
	}
	if value == "true" {
		return true
	}
	return value
}
