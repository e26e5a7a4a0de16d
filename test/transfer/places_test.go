package transfer

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/minio/minio-go/v7"
)

// A place is where objects are delivered to.
type place interface {
	// list returns what tells one version of each object from another, by key.
	list() (map[string]string, error)
	read(key string) (string, error)
	// litter lists what is there and is no object.
	litter() ([]string, error)
}

type storePlace struct {
	t      *testing.T
	client *minio.Client
}

func (p storePlace) list() (map[string]string, error) {
	all := make(map[string]string)
	for info := range p.client.ListObjects(p.t.Context(), bucket, minio.ListObjectsOptions{Recursive: true}) {
		if info.Err != nil {
			return nil, info.Err
		}
		all[info.Key] = info.ETag + info.LastModified.String()
	}
	return all, nil
}

func (p storePlace) read(key string) (string, error) {
	o, err := p.client.GetObject(p.t.Context(), bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return "", err
	}
	content, err := io.ReadAll(o)
	return string(content), err
}

func (p storePlace) litter() (all []string, err error) {
	for left := range p.client.ListIncompleteUploads(p.t.Context(), bucket, "", true) {
		if left.Err != nil {
			return nil, left.Err
		}
		all = append(all, "upload of "+left.Key)
	}
	return all, nil
}

// A dirPlace is the directory of a bucket.
type dirPlace string

func (p dirPlace) walk(visit func(key string, info fs.FileInfo)) error {
	return filepath.WalkDir(string(p), func(name string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a .tmp that was renamed meanwhile
		}
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil // as above
		}
		if err != nil {
			return err
		}
		key, err := filepath.Rel(string(p), name)
		visit(key, info)
		return err
	})
}

func (p dirPlace) list() (map[string]string, error) {
	all := make(map[string]string)
	return all, p.walk(func(key string, info fs.FileInfo) {
		if !strings.HasSuffix(key, ".tmp") {
			all[key] = fmt.Sprint(info.Sys().(*syscall.Stat_t).Ino, info.ModTime().UnixNano())
		}
	})
}

func (p dirPlace) read(key string) (string, error) {
	content, err := os.ReadFile(filepath.Join(string(p), key))
	return string(content), err
}

func (p dirPlace) litter() (all []string, err error) {
	err = p.walk(func(key string, _ fs.FileInfo) {
		if strings.HasSuffix(key, ".tmp") {
			all = append(all, key)
		}
	})
	return all, err
}
