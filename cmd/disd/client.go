package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"disd/internal/config"
	"disd/internal/sign"
)

// A client calls a running server, as an administrator or as any other client.
type client struct {
	endpoint string
	ca       string // file of a certificate authority to trust beside the system's
	ak, sk   string // sign with these; without them nothing is signed
	http     *http.Client
}

// addFlags declares how to reach the server.
func (c *client) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&c.endpoint, "endpoint", "http://127.0.0.1:20004", "address of the server, with scheme")
	flags.StringVar(&c.ca, "ca", "", "certificate authority to trust (PEM), data_dir/tls/ca.pem with tls.mode=auto")
	flags.StringVar(&c.ak, "ak", os.Getenv("DISD_AK"), "access key, default $DISD_AK; none is needed on the server's machine")
	flags.StringVar(&c.sk, "sk", os.Getenv("DISD_SK"), "its secret, default $DISD_SK")
}

func (c *client) open() error {
	if u, err := url.Parse(c.endpoint); err != nil || u.Scheme == "" || u.Host == "" || u.User != nil {
		return config.Misuse(errors.New("the endpoint is not of the form https://host:port")) // its text may have a password in it
	}
	trust := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.ca != "" {
		pem, err := os.ReadFile(c.ca)
		if err != nil {
			return config.Misuse(err)
		}
		trust.RootCAs = x509.NewCertPool()
		if !trust.RootCAs.AppendCertsFromPEM(pem) {
			return config.Misuse(fmt.Errorf("%s holds no certificate", c.ca))
		}
	}
	c.http = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: trust}}
	return nil
}

// A refusal is an answer that is an error.
type refusal struct {
	status        int
	code, message string
}

func (r *refusal) Error() string { return fmt.Sprintf("%d %s %s", r.status, r.code, r.message) }

// call sends a request with a JSON body, nil for none, and decodes the answer into
// out, nil for nothing expected. An answer that is an error is a refusal.
func (c *client) call(ctx context.Context, method, path string, in, out any) (http.Header, error) {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(c.endpoint, "/")+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if c.ak != "" {
		key := sign.Signer{AK: c.ak, SK: c.sk}
		if err := key.Sign(req, body, time.Now()); err != nil {
			return nil, err
		}
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return resp.Header, err
	}
	if resp.StatusCode >= 300 {
		r := &refusal{status: resp.StatusCode}
		var e struct {
			Code    string `json:"error_code"`
			Message string `json:"error_msg"`
		}
		if json.Unmarshal(text, &e) == nil {
			r.code, r.message = e.Code, e.Message
		}
		return resp.Header, r
	}
	if out != nil {
		err = json.Unmarshal(text, out)
	}
	return resp.Header, err
}

// isRefusal returns the refusal in err, nil when it is something else.
func isRefusal(err error) *refusal {
	var r *refusal
	if errors.As(err, &r) {
		return r
	}
	return nil
}
