package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// health asks the server that the same configuration would start whether it is
// ready. It lets a container without a shell check itself.
func health(ctx context.Context, args []string, stderr io.Writer) error {
	c, err := loadConfig(args, stderr)
	if err != nil {
		return misuse{err}
	}
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return misuse{err}
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	scheme := "http"
	if c.TLS.Mode != "off" {
		scheme = "https"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+net.JoinHostPort(host, port)+"/_disd/ready", nil)
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
