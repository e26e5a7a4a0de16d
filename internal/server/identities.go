package server

import (
	"disd/internal/auth"
	"disd/internal/auth/audit"
	"disd/internal/config"
	"disd/internal/storage/catalog"
)

// identities are the accounts there are, with the keys of secrets and tokens.
type identities struct {
	keys *auth.Keyring
	dir  *auth.Directory
}

// openIdentities opens the key file and the directory of accounts: those of the
// configuration, and those that were made by administration.
func (s *Server) openIdentities() (ids *identities, err error) {
	if s.opts.identities != nil {
		return s.opts.identities, nil
	}
	return openIdentities(s.conf, &s.opts, s.db)
}

func openIdentities(c *config.Config, o *Options, db catalog.Store) (ids *identities, err error) {
	ids = new(identities)
	if file := c.KeyFile(); file == "" {
		ids.keys = auth.NewKeyring()
	} else if ids.keys, err = auth.OpenKeyring(file); err != nil {
		return nil, err
	}
	ids.dir, err = auth.OpenDirectory(auth.Options{
		Mode: c.Auth.Mode, Domains: c.Auth.Domains, Store: auth.NewStore(db), Keyring: ids.keys,
		Now: o.Now, Real: o.Real, PasswordCost: o.PasswordCost,
	})
	return ids, err
}

// openAudit opens the audit log, nil when there is to be none.
func (s *Server) openAudit() (write func(audit.Entry), err error) {
	if s.opts.Audit != nil || s.conf.Audit.File == "" {
		return s.opts.Audit, nil
	}
	log, err := audit.Open(s.conf.Audit.File, s.conf.Audit.Size, s.conf.Audit.Keep)
	if err != nil {
		return nil, err
	}
	s.closeLater(log.Close)
	s.reloads = append(s.reloads, log.Reopen)
	return func(e audit.Entry) {
		if err := log.Write(e); err != nil {
			s.auditLost.Inc()
			s.log.Error("an entry of the audit log is lost", "error", err)
		}
	}, nil
}
