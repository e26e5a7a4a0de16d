package kind

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"disd/internal/field"
)

// A Descriptor says where and how a task delivers. It holds the members that
// were given, in their documented types, and nothing else: clients compare what
// they are shown with what they sent (E25-R1). A secret is hidden.
type Descriptor struct {
	Type    Type           `json:"type"`
	Members map[string]any `json:"members"` // string, integer, object or list of objects
}

// Hidden is shown in place of a secret (E25-R2).
const Hidden = "******"

// Text returns a String member, "" when it is absent.
func (d Descriptor) Text(name string) string {
	s, _ := d.Members[name].(string)
	return s
}

// with returns the descriptor with the members of change in place of its own.
// An empty string is an absent member and changes nothing (E48-R2, C-31).
func (d Descriptor) with(change Descriptor) Descriptor {
	merged := Descriptor{d.Type, maps.Clone(d.Members)}
	for name, v := range change.Members {
		if v != "" {
			merged.Members[name] = v
		}
	}
	return merged
}

// A Set is the kinds that a server knows.
type Set []Kind

// of returns the kinds of a type.
func (s Set) of(t Type) (kinds []*Kind) {
	for i := range s {
		if s[i].Type == t {
			kinds = append(kinds, &s[i])
		}
	}
	return kinds
}

// Fields returns the table of all descriptors of a type; nil for a type that is
// not known. Of several kinds, each field is there once.
func (s Set) Fields(t Type) (table []Field) {
	for _, k := range s.of(t) {
		for _, f := range k.Fields {
			if !slices.ContainsFunc(table, func(other Field) bool { return other.Name == f.Name }) {
				table = append(table, f)
			}
		}
	}
	return table
}

// Find returns the kind that a descriptor is for: the one of its type or, if there
// are several, the one whose Variant it has (CT-8).
func (s Set) Find(d Descriptor) (*Kind, error) {
	kinds := s.of(d.Type)
	if len(kinds) == 0 {
		return nil, s.unknown()
	}
	var found []*Kind
	var names []string
	for _, k := range kinds {
		names = append(names, k.Variant)
		if k.Variant == "" || d.Members[k.Variant] != nil {
			found = append(found, k)
		}
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("%w: %w", kinds[0].Fault, field.Invalid(names[0], "exactly one of "+strings.Join(names, " and ")+" is needed"))
	}
	return found[0], nil
}

func (s Set) unknown() error {
	var types []string
	for i := range s {
		if name := string(s[i].Type); !slices.Contains(types, name) {
			types = append(types, name)
		}
	}
	return field.Invalid("destination_type", "must be one of "+strings.Join(types, " "))
}

// Decode returns the kind that a descriptor is for, and what it says.
func (s Set) Decode(d Descriptor) (*Kind, Settings, error) {
	k, err := s.Find(d)
	if err != nil {
		return nil, nil, err
	}
	settings, err := k.Decode(d)
	return k, settings, err
}

// Decoder returns a Decode that fills a struct, whose members have the names of
// the fields in their tags. A field without a member is an error, so that none is
// accepted and ignored; secrets have no member.
func Decoder[T any, P interface {
	*T
	Settings
}](fields []Field) func(Descriptor) (Settings, error) {
	return func(d Descriptor) (Settings, error) {
		members := make(map[string]any)
		for _, f := range fields {
			if v := d.Members[f.Name]; v != nil && !f.Secret {
				members[f.Name] = v
			}
		}
		text, err := json.Marshal(members)
		if err != nil {
			return nil, err
		}
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.DisallowUnknownFields()
		settings := P(new(T))
		if err := decoder.Decode(settings); err != nil {
			return nil, fmt.Errorf("descriptor of type %s: %w", d.Type, err)
		}
		return settings, nil
	}
}

// Parse reads a descriptor for a new task and checks it against the field table
// of its type (4.2 to 4.7). ErrMalformed, the Fault of a kind or field, or a
// field.Error about the first field that is wrong.
func (s Set) Parse(t Type, raw json.RawMessage) (Descriptor, error) {
	d, err := s.read(t, raw)
	if err != nil {
		return d, err
	}
	return d, s.check(d)
}

// ParseUpdate reads a descriptor that changes a task: only task_name is needed,
// and only what is there is checked (E48).
func (s Set) ParseUpdate(t Type, raw json.RawMessage) (Descriptor, error) {
	d, err := s.read(t, raw)
	if err != nil {
		return d, err
	}
	for _, f := range s.Fields(t) {
		if _, given := d.Members[f.Name]; !given && f.Name != "task_name" {
			continue
		}
		if err := f.check(f.Name, d.Members[f.Name]); err != nil {
			return d, err
		}
	}
	return d, nil
}

// maxDescriptor bounds what is kept of a task, in bytes: descriptors stay in the
// catalog and in memory, and a schema of 4096 columns is far smaller.
const maxDescriptor = 1 << 20

func (s Set) read(t Type, raw json.RawMessage) (Descriptor, error) {
	kinds := s.of(t)
	if len(kinds) == 0 {
		return Descriptor{}, s.unknown()
	}
	name := strings.ToLower(string(t)) + "_destination_descriptor"
	if blank(raw) {
		return Descriptor{}, field.Invalid(name, "is required")
	}
	if len(raw) > maxDescriptor {
		return Descriptor{}, field.Invalid(name, "is larger than 1 MiB")
	}
	members, err := readObject(s.Fields(t), raw)
	return Descriptor{t, members}, err
}

// check holds the whole descriptor against its table.
func (s Set) check(d Descriptor) error {
	for _, f := range s.Fields(d.Type) {
		if err := f.check(f.Name, d.Members[f.Name]); err != nil {
			return err
		}
	}
	_, settings, err := s.Decode(d)
	if err != nil {
		return err
	}
	return settings.Valid()
}

// Change returns a descriptor after a change from ParseUpdate, checked like a new
// one.
func (s Set) Change(d, change Descriptor) (Descriptor, error) {
	if change.Type != d.Type {
		return d, field.Invalid("destination_type", "is "+string(d.Type)+" and cannot be changed")
	}
	merged := d.with(change)
	if strategy(merged) != strategy(d) {
		return d, field.Invalid("consumer_strategy", "cannot be changed")
	}
	return merged, s.check(merged)
}

func strategy(d Descriptor) string {
	if s := d.Text("consumer_strategy"); s != "" {
		return s
	}
	return latest
}

// Hide takes the secret out of a descriptor and returns it, "" for none. A
// descriptor whose secret is hidden already returns Hidden.
func (s Set) Hide(d Descriptor) (secret string) {
	for _, f := range s.Fields(d.Type) {
		if f.Secret && d.Text(f.Name) != "" {
			secret = d.Text(f.Name)
			d.Members[f.Name] = Hidden
		}
	}
	return secret
}
