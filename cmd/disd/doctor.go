package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/pflag"

	"disd/internal/config"
)

// A doctor checks from a client's place what keeps a client from working, and
// says what to change.
type doctor struct {
	client
	region, project string
	out             io.Writer
	ill             bool
}

func diagnose(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	d := doctor{out: stdout}
	flags := pflag.NewFlagSet("doctor", pflag.ContinueOnError)
	flags.SetOutput(stderr)
	d.addFlags(flags)
	flags.StringVar(&d.region, "region", "", "region the client is configured with")
	flags.StringVar(&d.project, "project", "", "project id the client is configured with")
	if err := flags.Parse(args); err != nil {
		return config.Misuse(err)
	}
	if err := d.open(); err != nil {
		return err
	}
	for _, check := range []func(context.Context) bool{d.reach, d.identify, d.use} {
		if !check(ctx) {
			break
		}
	}
	if d.ill {
		return errors.New("something is to be changed")
	}
	return nil
}

// fine and bad print a finding; they return whether to go on.
func (d *doctor) fine(format string, args ...any) bool {
	fmt.Fprintf(d.out, "ok    "+format+"\n", args...)
	return true
}

func (d *doctor) bad(format string, args ...any) bool {
	d.ill = true
	fmt.Fprintf(d.out, "BAD   "+format+"\n", args...)
	return false
}

// reach checks address, TLS and clock.
func (d *doctor) reach(ctx context.Context) bool {
	unsigned := d.client
	unsigned.ak = ""
	header, err := unsigned.call(ctx, http.MethodGet, "/_disd/health", nil, nil)
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &unknown):
		return d.bad("the server's certificate is not trusted: give clients its authority to trust (with tls.mode auto data_dir/tls/ca.pem), here with --ca")
	case errors.As(err, &name):
		return d.bad("the server's certificate is for other names: %v; add this one to tls.hosts", err)
	case errors.As(err, &record):
		return d.bad("the server does not speak TLS: use http:// or switch tls.mode on")
	case isRefusal(err) != nil:
		return d.bad("something answers at %s, but not disd: %v", d.endpoint, err)
	case err != nil:
		return d.bad("%s cannot be reached: %v; is disd serving there, and does it listen beyond loopback?", d.endpoint, err)
	}
	d.fine("disd answers at %s", d.endpoint)
	d.clock(header)
	return true
}

func (d *doctor) clock(header http.Header) {
	theirs, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		return
	}
	skew := time.Since(theirs).Round(time.Second)
	if skew.Abs() > time.Minute {
		d.bad("the clocks differ by %v: signatures hold for 15 minutes (auth.clock_window); set this machine's clock", skew)
		return
	}
	d.fine("the clocks agree")
}

// identify looks the project up as SDKs do.
func (d *doctor) identify(ctx context.Context) bool {
	if d.ak == "" {
		return d.bad("no access key was given (--ak, --sk): nothing more can be checked")
	}
	path := "/v3/projects"
	if d.region != "" {
		path += "?name=" + url.QueryEscape(d.region)
	}
	var list struct {
		Projects []struct{ ID, Name string }
	}
	_, err := d.call(ctx, http.MethodGet, path, nil, &list)
	if r := isRefusal(err); r != nil && r.status == http.StatusUnauthorized {
		return d.bad("the access key or its secret is not accepted: see `disd keys list`; auth.explain: true makes the server log what it computed")
	}
	if err != nil {
		return d.bad("the project cannot be looked up: %v", err)
	}
	d.fine("the access key is accepted")
	return d.match(list.Projects)
}

func (d *doctor) match(projects []struct{ ID, Name string }) bool {
	switch {
	case len(projects) == 0 && d.region != "":
		return d.bad("there is no project %q: SDKs look the region up as a project name; use a name from auth.domains", d.region)
	case d.project == "" && len(projects) == 1:
		d.project = projects[0].ID
		return d.fine("project id is %s", d.project)
	case d.project == "":
		return d.bad("give --project or --region to go on: there are %d projects", len(projects))
	}
	for _, p := range projects {
		if p.ID == d.project {
			return d.fine("project %s is %s", p.ID, p.Name)
		}
	}
	return d.bad("project id %s is none of the caller's, of region %q", d.project, d.region)
}

// use makes a call of DIS.
func (d *doctor) use(ctx context.Context) bool {
	var list struct {
		Total int `json:"total_number"`
	}
	if _, err := d.call(ctx, http.MethodGet, "/v2/"+url.PathEscape(d.project)+"/streams", nil, &list); err != nil {
		return d.bad("streams cannot be listed: %v", err)
	}
	return d.fine("streams can be listed: there are %d", list.Total)
}
