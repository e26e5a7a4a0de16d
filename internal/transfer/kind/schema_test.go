package kind

import "testing"

// CT-4: an attribute is found by its path, through records that are named
// elsewhere in the schema, in every form of reference.
func TestSchemaPaths(t *testing.T) {
	for _, reference := range []string{"in", "x.y.in"} {
		a, err := parseSchema(`{"type":"record","name":"out","namespace":"x.y","fields":[
			{"name":"first","type":{"type":"record","name":"in","fields":[{"name":"leaf","type":"string"}]}},
			{"name":"second","type":["null","` + reference + `"]}]}`)
		if err != nil {
			t.Fatal(err)
		}
		for path, want := range map[string]bool{
			"first.leaf": true, "second.leaf": true, "second": true, "second.other": false, "leaf": false,
		} {
			if got := a.has(path); got != want {
				t.Errorf("reference %s: %s found: %t", reference, path, got)
			}
		}
	}
}
