package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"disd/internal/auth/certs"
)

// stopTimeout is how long accepted requests may take to finish when the server
// is told to stop.
const stopTimeout = 30 * time.Second

// Serve runs the server and answers requests on a listener, which it closes, until
// ctx ends; then accepted requests may finish. It returns when everything that it
// started has ended. It is called once, in place of Run.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	secure, err := s.tlsConfig()
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- s.Run(running) }()
	err = s.serveHTTP(ctx, listener, secure, s.api, s.api.Drain)
	stop()
	return errors.Join(err, <-ended)
}

// serveHTTP serves until ctx ends or the listener fails, and then lets accepted
// requests finish.
func (s *Server) serveHTTP(ctx context.Context, listener net.Listener, secure *tls.Config, handler http.Handler, drain func()) error {
	srv := &http.Server{
		Handler:           handler,
		TLSConfig:         secure,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       90 * time.Second,
		WriteTimeout:      120 * time.Second,
		IdleTimeout:       120 * time.Second,
		MaxHeaderBytes:    64 << 10,
		ConnContext:       connContext,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	s.log.Info("serving", "address", listener.Addr().String(), "version", s.opts.Version,
		"engine", s.conf.Engine, "sync", s.conf.Sync, "auth", string(s.conf.Auth.Mode), "tls", s.conf.TLS.Mode)
	most, files := maxConnections(s.conf.Limits.Connections)
	if most < s.conf.Limits.Connections {
		s.log.Warn("fewer connections than limits.connections: half of the files that the process may open are kept for storage",
			"connections", most, "limits.connections", s.conf.Limits.Connections, "open_files", files)
	}
	limited := newGatekeeper(listener, most, s.api.Unreadable)
	served := make(chan error, 1)
	go func() {
		defer close(served)
		if secure == nil {
			served <- srv.Serve(limited)
		} else {
			served <- srv.ServeTLS(limited, "", "")
		}
	}()
	var failed error
	select {
	case err := <-served:
		failed = fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	s.log.Info("stopping: finishing accepted requests")
	drain()
	err := shutdown(ctx, srv)
	if ended := <-served; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	return errors.Join(failed, err)
}

// shutdown lets accepted requests finish, and cuts off those that take too long.
func shutdown(ctx context.Context, srv *http.Server) error {
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	err := srv.Shutdown(grace)
	if err != nil {
		err = errors.Join(fmt.Errorf("requests were cut off: %w", err), srv.Close())
	}
	return err
}

// tlsConfig returns how to serve TLS, nil for plain HTTP.
func (s *Server) tlsConfig() (*tls.Config, error) {
	switch opts := (certs.Options{Logger: s.log, Reload: &s.reloadCerts}); s.conf.TLS.Mode {
	case "files":
		return certs.Files(s.conf.TLS.CertFile, s.conf.TLS.KeyFile, opts)
	case "auto":
		return certs.Auto(s.conf.CertsDir(), s.conf.TLS.Hosts, opts)
	}
	return nil, nil
}
