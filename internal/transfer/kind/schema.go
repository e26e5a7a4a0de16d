package kind

import (
	"fmt"
	"strings"

	"disd/internal/schema"
)

// attributes of JSON data, as its Avro schema describes them.
type attributes struct {
	root  *schema.Node
	named map[string]*schema.Node
}

func parseSchema(text string) (*attributes, error) {
	root, err := schema.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSchema, err)
	}
	a := &attributes{root, make(map[string]*schema.Node)}
	a.collect(a.root)
	return a, nil
}

// collect notes the named records, to which other places may refer, with or
// without their namespace.
func (a *attributes) collect(n *schema.Node) {
	if n == nil {
		return
	}
	if n.Type == "record" {
		a.named[n.Name] = n
		a.named[n.Namespace+"."+n.Name] = n
	}
	a.collect(n.Items)
	a.collect(n.Values)
	for i := range n.Branches {
		a.collect(&n.Branches[i])
	}
	for i := range n.Fields {
		a.collect(&n.Fields[i].Type)
	}
}

// has reports whether there is an attribute of that name, literally or as a
// dotted path into nested objects (CT-4).
func (a *attributes) has(path string) bool { return a.find(a.root, path) }

func (a *attributes) find(n *schema.Node, path string) bool {
	if named := a.named[n.Type]; named != nil {
		n = named
	}
	for i := range n.Branches {
		if a.find(&n.Branches[i], path) {
			return true
		}
	}
	if n.Type == "map" {
		return true
	}
	for i := range n.Fields {
		f := &n.Fields[i]
		rest, nested := strings.CutPrefix(path, f.Name+".")
		if f.Name == path || nested && a.find(&f.Type, rest) {
			return true
		}
	}
	return false
}
