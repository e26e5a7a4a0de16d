package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"disd/internal/auth/keyfile"
)

// The files of Auto in its directory. Clients are given CAFile to trust; the two
// keys never leave.
const (
	CAFile        = "ca.pem"
	caKeyFile     = "ca-key.pem"
	serverFile    = "server.pem"
	serverKeyFile = "server-key.pem"
)

// Lifetimes of what Auto makes. A certificate is replaced when renewBefore of its
// time is left.
const (
	caLifetime     = 10 * 365 * 24 * time.Hour
	serverLifetime = 365 * 24 * time.Hour
	renewBefore    = 30 * 24 * time.Hour
)

// Auto returns a configuration with a certificate for hosts, which are names and
// addresses, and for this machine as itself. The local CA in dir is made once;
// the certificate is replaced when the hosts change or its end comes near.
func Auto(dir string, hosts []string, opts Options) (*tls.Config, error) {
	opts.setDefaults()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	hosts = append([]string{"localhost", "127.0.0.1", "::1"}, hosts...)
	slices.Sort(hosts)
	a := &authority{dir: dir, hosts: slices.Compact(hosts)}
	if err := a.open(opts.Now()); err != nil {
		return nil, fmt.Errorf("local CA: %w", err)
	}
	if err := a.renew(opts.Now()); err != nil {
		return nil, fmt.Errorf("TLS certificate: %w", err)
	}
	s := newSource(a.path(serverFile), a.path(serverKeyFile), opts)
	s.renew = a.renew
	return s.config()
}

// An authority is the local CA.
type authority struct {
	dir   string
	hosts []string
	cert  *x509.Certificate
	key   *ecdsa.PrivateKey
}

func (a *authority) path(name string) string { return filepath.Join(a.dir, name) }

// open reads the CA, or makes it. Its certificate is written last: as long as it
// is missing nobody can have been told to trust it.
func (a *authority) open(now time.Time) error {
	_, err := os.Stat(a.path(CAFile))
	if errors.Is(err, fs.ErrNotExist) {
		return a.create(now)
	}
	pair, err := tls.LoadX509KeyPair(a.path(CAFile), a.path(caKeyFile))
	if err != nil {
		return fmt.Errorf("%s: %w (remove it to make a new CA, which clients must then be told to trust)", a.path(CAFile), err)
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok || !pair.Leaf.IsCA {
		return fmt.Errorf("%s is not a CA of disd", a.path(CAFile))
	}
	a.cert, a.key = pair.Leaf, key
	return nil
}

func (a *authority) create(now time.Time) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial := newSerial()
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: fmt.Sprintf("disd local CA %x", serial.Bytes()[:4])},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(caLifetime),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		return err
	}
	a.key = key
	return a.write(CAFile, caKeyFile, der, key)
}

// renew makes a new server certificate when the present one will not do.
func (a *authority) renew(now time.Time) error {
	pair, err := tls.LoadX509KeyPair(a.path(serverFile), a.path(serverKeyFile))
	if err == nil && a.serves(pair.Leaf, now) {
		return nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: newSerial(),
		Subject:      pkix.Name{CommonName: "disd"},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(serverLifetime),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, h := range a.hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return err
	}
	return a.write(serverFile, serverKeyFile, der, key)
}

// serves reports whether a certificate is good for all hosts for a while.
func (a *authority) serves(cert *x509.Certificate, now time.Time) bool {
	for _, h := range a.hosts {
		if cert.VerifyHostname(h) != nil {
			return false
		}
	}
	return cert.CheckSignatureFrom(a.cert) == nil && now.Add(renewBefore).Before(cert.NotAfter) && !now.Before(cert.NotBefore)
}

// write writes the key first: after a crash in between, the pair does not match
// and is made anew.
func (a *authority) write(certName, keyName string, der []byte, key *ecdsa.PrivateKey) error {
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := keyfile.Write(a.path(keyName), keyPEM, 0o600); err != nil {
		return err
	}
	return keyfile.Write(a.path(certName), certPEM, 0o644)
}

// newSerial returns a positive random number of 127 bits.
func newSerial() *big.Int {
	var b [16]byte
	rand.Read(b[:])
	b[0] = b[0]&0x7f | 0x40
	return new(big.Int).SetBytes(b[:])
}
