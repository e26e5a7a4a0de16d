// Package transfer tests transfer tasks against an object store that runs within
// the test, with and without the server around them.
package transfer

import (
	"io"
	"net"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/s3api"
	"github.com/versity/versitygw/s3api/middlewares"
)

// As docs/transfer.md has them.
const access, secret, bucket = "EXAMPLEACCESSKEY0001", "example-secret-0001", "dump"

// serve starts an object store with one bucket and returns its endpoint and a
// client of its own.
func serve(t *testing.T) (endpoint string, client *minio.Client) {
	t.Helper()
	sidecar, err := meta.NewSideCar(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	files, err := posix.New(t.TempDir(), sidecar, posix.PosixOpts{})
	if err != nil {
		t.Fatal(err)
	}
	listening := make(chan struct{})
	server, err := s3api.New(files, middlewares.RootUserConfig{Access: access, Secret: secret}, "us-east-1",
		auth.NewIAMServiceSingle(auth.Account{Access: access, Secret: secret, Role: auth.RoleAdmin}), nil, nil, nil, nil,
		s3api.WithQuiet(), s3api.WithConcurrencyLimiter(1000, 1000), s3api.WithMpMaxParts(10000),
		s3api.WithOnListen(func() { close(listening) }))
	if err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	ended := make(chan error, 1)
	go func() { ended <- server.ServeMultiPort([]string{address}) }()
	select {
	case <-listening:
	case err := <-ended:
		t.Fatal(err)
	}
	t.Cleanup(func() { server.ShutDown(); <-ended })
	client, err = minio.New(address, &minio.Options{Creds: credentials.NewStaticV4(access, secret, ""), Region: "us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.MakeBucket(t.Context(), bucket, minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	return "http://" + address, client
}

func freeAddress(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// contents returns all objects by key.
func contents(t *testing.T, client *minio.Client) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for info := range client.ListObjects(t.Context(), bucket, minio.ListObjectsOptions{Recursive: true}) {
		if info.Err != nil {
			t.Fatal(info.Err)
		}
		o, err := client.GetObject(t.Context(), bucket, info.Key, minio.GetObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(o)
		if err != nil {
			t.Fatal(err)
		}
		all[info.Key] = string(content)
	}
	return all
}
