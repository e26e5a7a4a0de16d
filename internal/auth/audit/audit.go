// Package audit writes who did what to which resource, one JSON object a line,
// apart from the log of requests.
package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"sync"
	"time"
)

// An Entry is one act. Its members are a format that others read.
type Entry struct {
	Time      time.Time `json:"time"`
	RequestID string    `json:"request_id"`
	Address   string    `json:"address"` // of the client
	Domain    string    `json:"domain,omitempty"`
	User      string    `json:"user,omitempty"`
	UserID    string    `json:"user_id,omitempty"`
	AccessKey string    `json:"access_key,omitempty"`
	Project   string    `json:"project,omitempty"`
	Operation string    `json:"operation"`
	Resource  string    `json:"resource,omitempty"` // path of the request

	// Subjects are the names of what it was about, by kind: stream, app, task, tag,
	// user, key and others.
	Subjects map[string]string `json:"subjects,omitempty"`

	Status int    `json:"status"`
	Code   string `json:"code"` // "ok", or that of the error
}

// A Log is a file of entries. When it would grow beyond its size it is renamed,
// audit.log to audit.log.1, that to audit.log.2 and so on, and begun anew. All
// methods may be called at any time.
type Log struct {
	path string
	size int64 // of one file, at most
	keep int   // renamed files

	mu      sync.Mutex
	file    *os.File
	written int64
}

// Open opens the log at path, whose files have at most size bytes, with at most
// keep older ones beside it. Size and keep are at least 1.
func Open(path string, size int64, keep int) (*Log, error) {
	l := &Log{path: path, size: size, keep: keep}
	return l, l.open()
}

func (l *Log) open() error {
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("audit log: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	l.file, l.written = f, info.Size()
	return nil
}

// Write appends an entry. It has left the process when Write returns; a power
// loss may still undo it.
func (l *Log) Write(e Entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	line = append(line, '\n')
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.moved() {
		if err := l.reopen(); err != nil {
			return err
		}
	}
	if l.written > 0 && l.written+int64(len(line)) > l.size {
		if err := l.rotate(); err != nil {
			return err
		}
	}
	n, err := l.file.Write(line)
	l.written += int64(n)
	return err
}

// rotate begins a new file. When that fails the old one goes on being written,
// and the next entry tries again.
func (l *Log) rotate() error {
	if _, err := os.Stat(l.path); err == nil { // else it has its new name already
		if err := l.rename(); err != nil {
			return fmt.Errorf("audit log: %w", err)
		}
	}
	return l.reopen()
}

// moved reports whether somebody else renamed or removed the file: entries written to
// it would be lost with it.
func (l *Log) moved() bool {
	here, err := l.file.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(l.path)
	return errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(here, there)
}

// Reopen opens the file anew, for whoever renamed it.
func (l *Log) Reopen() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.reopen()
}

// reopen goes on in the file of the path; when that cannot be opened, in the old one.
func (l *Log) reopen() error {
	old := l.file
	if err := l.open(); err != nil {
		return err
	}
	return old.Close()
}

// rename renames the files, the oldest first, so that a crash loses none.
func (l *Log) rename() error {
	for i := l.keep; i > 0; i-- {
		err := os.Rename(l.name(i-1), l.name(i))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (l *Log) name(i int) string {
	if i == 0 {
		return l.path
	}
	return l.path + "." + strconv.Itoa(i)
}

// Close closes the file.
func (l *Log) Close() error { return l.file.Close() }
