package memory

import (
	"testing"

	"disd/internal/storage"
	"disd/internal/storage/storagetest"
)

func TestContract(t *testing.T) {
	storagetest.Run(t, func(_ *testing.T, clock *storagetest.Clock) storage.Engine {
		return Open(Options{Now: clock.Now})
	})
}
