package main

import (
	"crypto/tls"
	"log/slog"
	"path/filepath"

	"disd/internal/auth"
	"disd/internal/auth/audit"
	"disd/internal/auth/certs"
	"disd/internal/storage/catalog"
)

// openKeyring opens the key file. In memory, where nothing is kept, there is none
// unless it is configured.
func openKeyring(c *Config) (*auth.Keyring, error) {
	file := c.Auth.KeyFile
	if file == "" {
		if c.Engine == "memory" {
			return auth.NewKeyring(), nil
		}
		file = filepath.Join(c.DataDir, "identity.key")
	}
	return auth.OpenKeyring(file)
}

// openIdentities opens the directory of accounts: those of the configuration, and
// those that were made by administration.
func openIdentities(c *Config, db catalog.Store, keys *auth.Keyring) (*auth.Directory, error) {
	return auth.OpenDirectory(auth.Options{
		Mode: c.Auth.Mode, Domains: c.Auth.Domains, Store: identityStore{db}, Keyring: keys,
	})
}

var identities = catalog.NewTable[[]byte]("identities")

// An identityStore keeps what administration makes in the catalog.
type identityStore struct{ db catalog.Store }

func (s identityStore) List() (map[string][]byte, error) {
	all := make(map[string][]byte)
	err := s.db.View(func(tx catalog.Tx) error {
		return identities.Each(tx, nil, func(key catalog.Key, record []byte) error {
			all[key[0]] = record
			return nil
		})
	})
	return all, err
}

func (s identityStore) Put(name string, record []byte) error {
	return s.db.Update(func(tx catalog.Tx) error { return identities.Put(tx, catalog.Key{name}, record) })
}

func (s identityStore) Delete(name string) error {
	return s.db.Update(func(tx catalog.Tx) error { return identities.Delete(tx, catalog.Key{name}) })
}

// openAudit opens the audit log, nil when there is to be none.
func openAudit(c *Config, logger *slog.Logger) (write func(audit.Entry), done func(), err error) {
	if c.Audit.File == "" {
		return nil, func() {}, nil
	}
	log, err := audit.Open(c.Audit.File, c.Audit.Size, c.Audit.Keep)
	if err != nil {
		return nil, nil, err
	}
	write = func(e audit.Entry) {
		if err := log.Write(e); err != nil {
			logger.Error("audit log", "error", err)
		}
	}
	done = func() {
		if err := log.Close(); err != nil {
			logger.Error("audit log", "error", err)
		}
	}
	return write, done, nil
}

// tlsConfig returns how to serve TLS, nil for plain HTTP.
func tlsConfig(c *Config, logger *slog.Logger) (*tls.Config, error) {
	switch c.TLS.Mode {
	case "files":
		return certs.Files(c.TLS.CertFile, c.TLS.KeyFile, certs.Options{Logger: logger})
	case "auto":
		return certs.Auto(filepath.Join(c.DataDir, "tls"), c.TLS.Hosts, certs.Options{Logger: logger})
	}
	return nil, nil
}
