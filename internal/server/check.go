package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"disd/internal/auth/certs"
	"disd/internal/config"
	"disd/internal/transfer/filestore"
)

// Check returns why a server of a configuration could not start: what cannot be read,
// has no use, or is in use. It writes nothing and serves nothing (CLI-21).
func Check(ctx context.Context, c *config.Config) error {
	s := &Server{conf: c}
	_, kinds := s.destinations()
	_, stores := s.openAgencies(filestore.Open(filestore.Options{}))
	errs := []error{kinds, stores, checkListener(ctx, c.Listen)}
	if c.Transfer.OBS.Endpoint != "" {
		_, err := OpenBuckets(c)
		errs = append(errs, err)
	}
	if c.TLS.Mode == "files" {
		_, err := certs.Files(c.TLS.CertFile, c.TLS.KeyFile, certs.Options{})
		errs = append(errs, err)
	}
	if c.Engine != "memory" {
		errs = append(errs, checkPath("data_dir", c.DataDir, true), checkPath("auth.key_file", c.KeyFile(), false))
	}
	errs = append(errs, checkPath("audit.file", c.Audit.File, false), checkPath("transfer.obs.directory", c.BucketsDir(), true))
	return errors.Join(errs...)
}

// checkListener takes the address and gives it back.
func checkListener(ctx context.Context, address string) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	return l.Close()
}

// checkPath checks what is at a path, if anything is.
func checkPath(key, path string, dir bool) error {
	if path == "" {
		return nil
	}
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", key, err)
	case dir && !info.IsDir():
		return fmt.Errorf("%s: %s is no directory", key, path)
	case !dir && !info.Mode().IsRegular():
		return fmt.Errorf("%s: %s is no file", key, path)
	}
	return nil
}
