package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/pflag"

	"disd/internal/config"
)

// An act is one administrative command, "disd keys create".
type act struct {
	noun, verb   string
	method, path string // {} stands for the argument
	argument     string // what the command needs behind the verb, "" for nothing
	members      []string
	fixed        map[string]any // members that are not flags
	usage        string
}

var acts = []act{
	{noun: "domains", verb: "create", method: "POST", path: "/_disd/domains", members: []string{"name"}, usage: "make an account"},
	{noun: "projects", verb: "create", method: "POST", path: "/_disd/projects", members: []string{"domain", "name"}, usage: "make a project of an account"},
	{noun: "users", verb: "create", method: "POST", path: "/_disd/users", members: []string{"domain", "name", "role", "password"}, usage: "make a user of an account; its password is read from $DISD_PASSWORD"},
	{noun: "users", verb: "password", method: "PUT", path: "/_disd/users", members: []string{"domain", "user", "password"}, usage: "set a user's password, read from $DISD_PASSWORD"},
	{noun: "users", verb: "delete", method: "DELETE", path: "/_disd/users", members: []string{"domain", "user"}, usage: "remove a user with its keys"},
	{noun: "keys", verb: "create", method: "POST", path: "/_disd/keys", members: []string{"domain", "user", "description"}, usage: "make an access key and print it with its secret"},
	{noun: "keys", verb: "list", method: "GET", path: "/_disd/keys", usage: "list access keys"},
	{noun: "keys", verb: "disable", method: "PUT", path: "/_disd/keys/{}", argument: "AK", fixed: map[string]any{"active": false}, usage: "refuse an access key from now on"},
	{noun: "keys", verb: "enable", method: "PUT", path: "/_disd/keys/{}", argument: "AK", fixed: map[string]any{"active": true}, usage: "accept it again"},
	{noun: "keys", verb: "delete", method: "DELETE", path: "/_disd/keys/{}", argument: "AK", usage: "remove an access key"},
	{noun: "streams", verb: "freeze", method: "PUT", path: "/_disd/projects/{}", argument: "PROJECT_ID/streams/NAME", fixed: map[string]any{"frozen": true}, usage: "set a stream's state to FROZEN"},
	{noun: "streams", verb: "thaw", method: "PUT", path: "/_disd/projects/{}", argument: "PROJECT_ID/streams/NAME", fixed: map[string]any{"frozen": false}, usage: "set it back to RUNNING"},
}

// administer runs the act that the arguments name, reporting whether there is one.
func administer(ctx context.Context, args []string, stdout, stderr io.Writer) (known bool, err error) {
	for _, a := range acts {
		if len(args) >= 2 && args[0] == a.noun && args[1] == a.verb {
			return true, a.run(ctx, args[2:], stdout, stderr)
		}
		known = known || len(args) > 0 && args[0] == a.noun
	}
	if !known {
		return false, nil
	}
	if len(args) == 1 || slices.Contains([]string{"-h", "--help", "help"}, args[1]) {
		fmt.Fprintf(stdout, "Usage: disd %s <verb> [flags]\n\n%s", args[0], usageOf(args[0]))
		return true, nil
	}
	return true, config.Misuse(fmt.Errorf("%q is not one of:\n%s", strings.Join(args, " "), actsUsage()))
}

func actsUsage() string { return usageOf("") }

// usageOf lists the acts of a noun, "" for all.
func usageOf(noun string) string {
	var b strings.Builder
	for _, a := range acts {
		if noun != "" && a.noun != noun {
			continue
		}
		fmt.Fprintf(&b, "  %-34s %s\n", strings.Join([]string{a.noun, a.verb, a.argument}, " "), a.usage)
	}
	return b.String()
}

func (a *act) run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var c client
	flags := pflag.NewFlagSet(a.noun+" "+a.verb, pflag.ContinueOnError)
	flags.SetOutput(stderr)
	c.addFlags(flags)
	for _, m := range a.members {
		if m != "password" {
			flags.String(m, "", m)
		}
	}
	if err := flags.Parse(args); err != nil {
		return config.Misuse(err)
	}
	path, err := a.target(flags.Args())
	if err != nil {
		return config.Misuse(err)
	}
	if err := c.open(); err != nil {
		return err
	}
	var out map[string]any
	var into any
	if a.method == "GET" || a.method == "POST" {
		into = &out
	}
	if _, err := c.call(ctx, a.method, path, a.body(flags), into); err != nil {
		return err
	}
	return show(stdout, out)
}

// target is the path with the argument in it.
func (a *act) target(args []string) (string, error) {
	switch {
	case a.argument == "" && len(args) == 0:
		return a.path, nil
	case a.argument != "" && len(args) == 1:
		return strings.ReplaceAll(a.path, "{}", strings.ReplaceAll(url.PathEscape(args[0]), "%2F", "/")), nil
	case a.argument == "":
		return "", fmt.Errorf("%s %s takes no argument", a.noun, a.verb)
	}
	return "", fmt.Errorf("%s %s needs one argument, %s", a.noun, a.verb, a.argument)
}

// body is what the flags and the command itself say, nil for nothing.
func (a *act) body(flags *pflag.FlagSet) any {
	body := map[string]any{}
	for k, v := range a.fixed {
		body[k] = v
	}
	for _, m := range a.members {
		if m == "password" {
			body[m] = os.Getenv("DISD_PASSWORD")
			continue
		}
		body[m], _ = flags.GetString(m)
	}
	if len(body) == 0 {
		return nil
	}
	return body
}

// show prints an answer: a list as a table, anything else as lines.
func show(w io.Writer, out map[string]any) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if keys, ok := out["keys"].([]any); ok {
		fmt.Fprintln(t, "AK\tDOMAIN\tUSER\tACTIVE\tCREATED\tDESCRIPTION")
		for _, k := range keys {
			m, _ := k.(map[string]any)
			fmt.Fprintf(t, "%v\t%v\t%v\t%v\t%v\t%v\n", m["ak"], m["domain"], m["user"], m["active"], orBlank(m["created"]), orBlank(m["description"]))
		}
		return t.Flush()
	}
	for _, name := range []string{"id", "name", "ak", "sk", "domain", "user"} {
		if v, ok := out[name]; ok {
			fmt.Fprintf(t, "%s\t%v\n", name, v)
		}
	}
	return t.Flush()
}

func orBlank(v any) any {
	if v == nil {
		return ""
	}
	return v
}
