// Package certs makes the TLS configuration of a server: from certificate files
// of the operator, which are read again when they change, or from a certificate
// of its own making under a local CA, which clients are told to trust.
package certs

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Options of a configuration. Nil means the ordinary value.
type Options struct {
	Now    func() time.Time // default time.Now
	Logger *slog.Logger     // default slog.Default

	// Reload, when it is set, has the files read again for the next connection,
	// whatever they look like. Default nil, for never.
	Reload *atomic.Bool
}

func (o *Options) setDefaults() {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
}

// checkInterval is how often files are looked at, at most.
const checkInterval = time.Second

// Files returns the configuration for a certificate chain and its key, both PEM.
// When the files change they are read again; when they cannot be read, the
// certificate that was read last stays.
func Files(certFile, keyFile string, opts Options) (*tls.Config, error) {
	opts.setDefaults()
	return newSource(certFile, keyFile, opts).config()
}

// A source has the certificate of two files.
type source struct {
	certFile, keyFile string
	opts              Options
	renew             func(now time.Time) error // before the files are looked at; may be nil

	mu      sync.Mutex
	current *tls.Certificate
	checked time.Time
	seen    string // what the files looked like when they were last read
}

func newSource(certFile, keyFile string, opts Options) *source {
	return &source{certFile: certFile, keyFile: keyFile, opts: opts}
}

// config reads the files for the first time. TLS 1.2 stays on for older clients
// (C-1).
func (s *source) config() (*tls.Config, error) {
	s.checked = s.opts.Now()
	if err := s.load(); err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.get(), nil },
	}, nil
}

// get returns the certificate for a new connection.
func (s *source) get() *tls.Certificate {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.opts.Now()
	asked := s.opts.Reload != nil && s.opts.Reload.Swap(false)
	if asked {
		s.seen = ""
	}
	if asked || now.Sub(s.checked) >= checkInterval {
		s.checked = now
		if err := s.refresh(now); err != nil {
			s.opts.Logger.Error("the TLS certificate was not renewed, the old one stays", "error", err)
		}
	}
	return s.current
}

func (s *source) refresh(now time.Time) error {
	if s.renew != nil {
		if err := s.renew(now); err != nil {
			return err
		}
	}
	if s.look() == s.seen {
		return nil
	}
	return s.load()
}

// load reads the files. It tries the same files only once, so that a broken one
// is reported once.
func (s *source) load() error {
	s.seen = s.look()
	pair, err := tls.LoadX509KeyPair(s.certFile, s.keyFile)
	if err != nil {
		return fmt.Errorf("TLS certificate %s: %w", s.certFile, err)
	}
	s.current = &pair
	return nil
}

// look returns what changes when a file does.
func (s *source) look() string {
	seen := ""
	for _, file := range []string{s.certFile, s.keyFile} {
		info, err := os.Stat(file)
		if err != nil {
			return err.Error()
		}
		seen += fmt.Sprint(info.Size(), info.ModTime().UnixNano(), " ")
	}
	return seen
}
