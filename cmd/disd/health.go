package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"time"

	"disd/internal/config"
)

// health asks the server that the same configuration would start whether it is
// ready. It lets a container without a shell check itself.
func health(ctx context.Context, args []string, stderr io.Writer) error {
	c, err := loadConfig("health", args, stderr)
	if err != nil {
		return err
	}
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return config.Misuse(err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	schemes := []string{"http", "https"}
	if c.TLS.Mode != "off" {
		slices.Reverse(schemes)
	}
	// The server may have been told to speak the other one in a file that this
	// command was not given.
	address := net.JoinHostPort(host, port)
	if err = askReady(ctx, schemes[0], address); err != nil && askReady(ctx, schemes[1], address) == nil {
		return nil
	}
	return err
}

// askReady asks the server at an address whether it is ready.
func askReady(ctx context.Context, scheme, address string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+address+"/_disd/ready", nil)
	if err != nil {
		return err
	}
	// The certificate may be for other names than this address. Nothing secret is
	// sent, and who can listen in the server's place on its own address could also
	// stop this check.
	client := http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready: status %d", resp.StatusCode)
	}
	return nil
}
