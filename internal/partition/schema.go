package partition

import (
	"fmt"

	"disd/internal/schema"
)

// checkSchema accepts an Avro record with at least one field (E3-R5).
func checkSchema(text string) error {
	root, err := schema.Parse(text)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSchema, err)
	}
	if root.Type != "record" || len(root.Fields) == 0 {
		return fmt.Errorf("%w: not a record with fields", ErrSchema)
	}
	return nil
}
