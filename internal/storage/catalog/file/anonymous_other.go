//go:build !linux

package file

import "os"

// anonymousFile returns an empty temporary file that vanishes when closed.
func anonymousFile() (*os.File, error) {
	f, err := os.CreateTemp("", "disd-catalog-*")
	if err != nil {
		return nil, err
	}
	return f, os.Remove(f.Name())
}
