package dis

import (
	"encoding/json"
	"testing"
)

// FuzzMatches holds the reader of matches against what any of its forms can mean.
func FuzzMatches(f *testing.F) {
	for _, seed := range []string{`"x"`, `""`, `"[]"`, `[{"key":"resource_name","value":"a"}]`, `"[{key=resource_name, value=a}, {key=b}]"`, `"[{\"key\":\"k\"}]"`, `"[{}}"`, `null`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, form string) {
		var m matches
		if err := json.Unmarshal([]byte(form), &m); err != nil {
			return
		}
		var again matches
		array, err := json.Marshal([]tag(m))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(array, &again); err != nil || len(again) != len(m) {
			t.Fatalf("%s: %v, %d elements, as an array %d", form, err, len(m), len(again))
		}
	})
}
