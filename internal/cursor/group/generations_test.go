package group

import (
	"testing"

	"disd/internal/storage/catalog/file"
)

// TestGenerations: no number is given twice, and groups do not share them.
func TestGenerations(t *testing.T) {
	t.Attr("rules", "G-18")
	db, err := file.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for want := range int64(3) {
		// Each round asks anew, as after a restart.
		got, err := NewGenerations(db).Next("p", "a")
		if err != nil || got != want+1 {
			t.Errorf("round %d has number %d, %v", want+1, got, err)
		}
	}
	if got, err := NewGenerations(db).Next("p", "b"); err != nil || got != 1 {
		t.Errorf("the first round of another group has number %d, %v", got, err)
	}
}
