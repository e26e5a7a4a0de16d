package server

import (
	"disd/internal/auth"
	"disd/internal/auth/audit"
)

// openIdentities opens the key file and the directory of accounts: those of the
// configuration, and those that were made by administration.
func (s *Server) openIdentities() (keys *auth.Keyring, ids *auth.Directory, err error) {
	if file := s.conf.KeyFile(); file == "" {
		keys = auth.NewKeyring()
	} else if keys, err = auth.OpenKeyring(file); err != nil {
		return nil, nil, err
	}
	ids, err = auth.OpenDirectory(auth.Options{
		Mode: s.conf.Auth.Mode, Domains: s.conf.Auth.Domains, Store: auth.NewStore(s.db), Keyring: keys,
		Now: s.opts.Now, PasswordCost: s.opts.PasswordCost,
	})
	return keys, ids, err
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
	return func(e audit.Entry) {
		if err := log.Write(e); err != nil {
			s.log.Error("audit log", "error", err)
		}
	}, nil
}
