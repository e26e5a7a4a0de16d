package config

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // the image has no time zones

	"disd/internal/auth"
	"disd/internal/quota"
	"disd/internal/transfer"
	"disd/internal/transfer/destinations"
)

// Check returns what is wrong with the values, all of it.
func (c *Config) Check() error {
	return c.locate(errors.Join(
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
		c.checkOBS(),
		c.checkAgencies(),
		inRange("transfer.mrs.timeout", c.Transfer.MRS.Timeout, time.Second, time.Hour),
		c.checkDestinations(),
		c.checkNames(),
		inRange("transfer.batch_records", c.Transfer.BatchRecords, 1, 10_000_000),
		inRange("transfer.batch_bytes", c.Transfer.BatchBytes, 1<<20, 1<<30),
		inRange("transfer.workers", c.Transfer.Workers, 1, 1000),
		inRange("storage.commit_log", c.Storage.CommitLog, 1<<20, 1<<32),
		inRange("storage.segment", c.Storage.Segment, 1<<20, 1<<32),
		inRange("storage.memory", c.Storage.Memory, 1<<20, 1<<40),
		blocks("storage.commit_log", c.Storage.CommitLog),
		c.checkDomains(),
		inRange("emulator.journal", c.Emulator.Journal, 0, 1_000_000),
		c.checkEmulator(),
		c.checkExposure(),
	))
}

// A valueError is what is wrong with the value of an option.
type valueError struct {
	key    string
	reason string
}

func (e *valueError) Error() string { return e.reason }

// bad returns a valueError; what it says names the option.
func bad(key, format string, args ...any) error {
	return &valueError{key, fmt.Sprintf(format, args...)}
}

// locate adds to each error of a value where that was set.
func (c *Config) locate(err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var located []error
		for _, e := range joined.Unwrap() {
			located = append(located, c.locate(e))
		}
		return errors.Join(located...)
	}
	var value *valueError
	if errors.As(err, &value) && c.origins[value.key] != "" {
		return fmt.Errorf("%s: %w", c.origins[value.key], err)
	}
	return err
}

func blocks(key string, n int64) error {
	if n%4096 != 0 {
		return bad(key, "%s is %v, must be a multiple of 4096", key, n)
	}
	return nil
}

func (c *Config) checkEmulator() error {
	e := &c.Emulator
	if !e.Enabled && (e.Expose || e.Seed != "") {
		return bad("emulator.enabled", "emulator.expose and emulator.seed need emulator.enabled")
	}
	return nil
}

// checkDomains checks the accounts as the server does when it starts.
func (c *Config) checkDomains() error {
	if _, err := auth.OpenDirectory(auth.Options{Mode: c.Auth.Mode, Domains: c.Auth.Domains}); err != nil {
		return bad("auth.domains", "auth.domains: %v", err)
	}
	return nil
}

func (c *Config) checkTLS() error {
	if c.TLS.Mode == "files" && (c.TLS.CertFile == "" || c.TLS.KeyFile == "") {
		return bad("tls.mode", "tls.mode files needs tls.cert_file and tls.key_file")
	}
	if c.TLS.Mode == "auto" && c.Engine == "memory" {
		return bad("tls.mode", "tls.mode auto keeps its certificates in data_dir, which engine memory has none of: use tls.mode files")
	}
	return nil
}

func (c *Config) checkOBS() error {
	o := c.Transfer.OBS
	if o.Endpoint != "" && o.Directory != "" {
		return bad("transfer.obs.endpoint", "transfer.obs.endpoint and transfer.obs.directory exclude each other")
	}
	if o.Endpoint != "" && (o.AccessKey == "" || o.SecretKey == "") {
		return bad("transfer.obs.endpoint", "transfer.obs.endpoint needs transfer.obs.access_key and transfer.obs.secret_key: tasks never write without credentials")
	}
	return errors.Join(
		among("transfer.obs.signature", o.Signature, "v4", "v2"),
		inRange("transfer.obs.part", o.Part, 5<<20, 1<<30),
		inRange("transfer.obs.timeout", o.Timeout, time.Second, time.Hour),
		inRange("transfer.dws.timeout", c.Transfer.DWS.Timeout, time.Second, 24*time.Hour),
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
			errs = append(errs, bad("transfer.agencies", "transfer.agencies: agency %q needs a name, and both keys or none", a.Name))
		case a.AccessKey != "" && c.Transfer.OBS.Endpoint == "":
			errs = append(errs, bad("transfer.agencies", "transfer.agencies: agency %q has keys, and there is no object store that they could be for", a.Name))
		}
	}
	return errors.Join(errs...)
}

// checkNames checks what names the files of transfer tasks.
func (c *Config) checkNames() error {
	var errs []error
	if _, err := time.LoadLocation(c.Transfer.Zone); err != nil {
		errs = append(errs, bad("transfer.zone", "transfer.zone: %v", err))
	}
	if err := transfer.CheckFileName(c.Transfer.FileName); err != nil {
		errs = append(errs, bad("transfer.file_name", "transfer.file_name: %v", err))
	}
	return errors.Join(errs...)
}

func among[T ~string](key string, value T, allowed ...T) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return bad(key, "%s is %q, must be one of %s", key, value, strings.Join(texts(allowed), ", "))
}

func texts[T ~string](list []T) (out []string) {
	for _, v := range list {
		out = append(out, string(v))
	}
	return out
}

func inRange[T int | int64 | time.Duration](key string, value, low, high T) error {
	if value < low || value > high {
		return bad(key, "%s is %v, must be from %v to %v", key, value, low, high)
	}
	return nil
}

// checkExposure refuses to serve everybody by accident (design D14).
func (c *Config) checkExposure() error {
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return bad("listen", "listen: %v", err)
	}
	if isLoopback(host) {
		return nil
	}
	if c.Emulator.Enabled && !c.Emulator.Expose {
		return bad("listen", "listen is %s, beyond this machine, where everybody could use the controls of the emulator: set emulator.expose if that is what you want", c.Listen)
	}
	if c.Auth.Mode != auth.ModeOpen || c.origins["auth.mode"] != "" || c.Emulator.Enabled {
		return nil
	}
	return bad("listen", "listen is %s, beyond this machine, where auth.mode open lets anybody read and write: set auth.mode explicitly if that is what you want", c.Listen)
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
