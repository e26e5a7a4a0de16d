package config

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// Default returns the options as they are when nothing is set.
func Default() *Config {
	var c Config
	for i := range options {
		o := &options[i]
		if err := c.setText(o, written(o.def)); err != nil {
			panic(err) // a default that is not of its option's type
		}
	}
	return &c
}

// Load merges defaults, file, environment and flags, later ones winning. The flags
// are those of AddFlags, parsed; there may be others among them. What cannot be
// used is a MisuseError, which names all of it and where it was set.
func Load(flags *pflag.FlagSet) (*Config, error) {
	c := Default()
	c.origins = make(map[string]string)
	err := errors.Join(checkEnvironment(os.Environ()), c.readFile(flags), c.readEnvironment(), c.readFlags(flags))
	if c.Emulator.Enabled && c.origins["engine"] == "" {
		c.Engine = "memory" // CTL-2
	}
	if err == nil {
		err = c.Check()
	}
	if err != nil {
		return nil, MisuseError{err}
	}
	return c, nil
}

// A MisuseError is a mistake of whoever started the program: options or arguments
// that cannot be used.
type MisuseError struct{ error }

// Unwrap returns what is wrong.
func (e MisuseError) Unwrap() error { return e.error }

// Misuse returns err, if there is one, as a MisuseError.
func Misuse(err error) error {
	if err == nil {
		return nil
	}
	return MisuseError{err}
}

// set sets an option from what was written at a place.
func (c *Config) set(o *option, place, value string) error {
	if err := c.setText(o, value); err != nil {
		return fmt.Errorf("%s: %s %w", place, o.key, err)
	}
	c.origins[o.key] = place
	return nil
}

func (c *Config) readFlags(flags *pflag.FlagSet) error {
	var errs []error
	for i := range options {
		o := &options[i]
		if f := flags.Lookup(o.flag()); f.Changed {
			errs = append(errs, c.set(o, "--"+f.Name, f.Value.String()))
		}
	}
	return errors.Join(errs...)
}

// readEnvironment takes a variable that is empty for one that is not set.
func (c *Config) readEnvironment() error {
	var errs []error
	for i := range options {
		o := &options[i]
		if value := os.Getenv(o.variable()); value != "" {
			errs = append(errs, c.set(o, o.variable(), value))
		}
	}
	return errors.Join(errs...)
}

// yamlLine is where a parser of YAML says that something is wrong.
var yamlLine = regexp.MustCompile(`^(?:yaml: )?line (\d+): `)

func (c *Config) readFile(flags *pflag.FlagSet) error {
	name, err := flags.GetString("config")
	if err != nil {
		return err
	}
	if name = cmp.Or(name, os.Getenv("DISD_CONFIG")); name == "" {
		return nil
	}
	raw, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	c.File = name
	d := yaml.NewDecoder(strings.NewReader(string(raw)))
	var doc, more yaml.Node
	if err := d.Decode(&doc); err != nil {
		if len(strings.TrimSpace(string(raw))) == 0 || err.Error() == "EOF" {
			return nil
		}
		return fmt.Errorf("%s", yamlLine.ReplaceAllString(err.Error(), name+":$1: "))
	}
	if d.Decode(&more) == nil {
		return fmt.Errorf("%s:%d: there is a second document", name, more.Line)
	}
	r := reader{file: name, config: c}
	r.section(doc.Content[0], "")
	return errors.Join(r.errs...)
}

// A reader reads a file of options.
type reader struct {
	file   string // "" when lines say nothing
	config *Config
	errs   []error
}

func (r *reader) complain(n *yaml.Node, format string, args ...any) {
	err := fmt.Errorf(format, args...)
	if r.file != "" {
		err = fmt.Errorf("%s:%d: %w", r.file, n.Line, err)
	}
	r.errs = append(r.errs, err)
}

// section reads the options whose keys begin with a prefix.
func (r *reader) section(n *yaml.Node, prefix string) {
	n = resolved(n)
	if n.Kind != yaml.MappingNode {
		if isNull(n) { // all of its options are comments
			return
		}
		if o, _ := find(prefix + "enabled"); o != nil { // emulator: true is short for it (CTL-2)
			r.option(o, n)
			return
		}
		r.complain(n, "%s has options of its own, not a value", cmp.Or(strings.TrimSuffix(prefix, "."), "the file"))
		return
	}
	seen := make(map[string]bool)
	for i := 0; i < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		key := prefix + name.Value
		switch o, isSection := find(key); {
		case seen[key]:
			r.complain(name, "%s is there twice", key)
		case o != nil:
			r.option(o, value)
		case isSection:
			r.section(value, key+".")
		default:
			r.complain(name, "unknown option %s%s", key, suggestion(key, Keys()))
		}
		seen[key] = true
	}
}

// find returns the option of a key, or whether options begin with it.
func find(key string) (o *option, isSection bool) {
	for i := range options {
		if options[i].key == key {
			return &options[i], false
		}
		isSection = isSection || strings.HasPrefix(options[i].key, key+".")
	}
	return nil, isSection
}

func (r *reader) option(o *option, n *yaml.Node) {
	v := field(reflect.ValueOf(r.config).Elem(), o.key)
	before := len(r.errs)
	if v.Kind() == reflect.Slice {
		r.value(v, n, o.key)
	} else if value, ok := r.scalar(n, o.key); ok {
		if err := r.config.setText(o, value); err != nil {
			r.complain(n, "%s %w", o.key, err)
		}
	}
	if len(r.errs) == before {
		r.config.origins[o.key] = fmt.Sprintf("%s:%d", r.file, n.Line)
	}
}

// value reads what an option of structures has.
func (r *reader) value(v reflect.Value, n *yaml.Node, at string) {
	n = resolved(n)
	switch v.Kind() {
	case reflect.Slice:
		r.slice(v, n, at)
	case reflect.Struct:
		r.structure(v, n, at)
	case reflect.Map:
		r.texts(v, n, at)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		r.value(v.Elem(), n, at)
	default:
		if value, ok := r.scalar(n, at); ok {
			if err := setScalar(v, value); err != nil {
				r.complain(n, "%s %w", at, err)
			}
		}
	}
}

func (r *reader) slice(v reflect.Value, n *yaml.Node, at string) {
	if n.Kind == yaml.ScalarNode && v.Type().Elem().Kind() == reflect.String && !isNull(n) {
		v.Set(reflect.ValueOf(splitList(n.Value)))
		return
	}
	if n.Kind != yaml.SequenceNode {
		r.complain(n, "%s must be a list", at)
		return
	}
	if v.SetZero(); len(n.Content) > 0 {
		v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	}
	for i, item := range n.Content {
		r.value(v.Index(i), item, fmt.Sprintf("%s[%d]", at, i))
	}
}

func (r *reader) structure(v reflect.Value, n *yaml.Node, at string) {
	if n.Kind != yaml.MappingNode {
		r.complain(n, "%s must have members: %s", at, strings.Join(members(v.Type()), ", "))
		return
	}
	seen := make(map[string]bool)
	for i := 0; i < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		member := memberOf(v, name.Value)
		switch {
		case seen[name.Value]:
			r.complain(name, "%s.%s is there twice", at, name.Value)
		case !member.IsValid():
			r.complain(name, "unknown %s.%s%s", at, name.Value, suggestion(name.Value, members(v.Type())))
		default:
			r.value(member, value, at+"."+name.Value)
		}
		seen[name.Value] = true
	}
}

// texts reads a map of texts.
func (r *reader) texts(v reflect.Value, n *yaml.Node, at string) {
	if n.Kind != yaml.MappingNode {
		r.complain(n, "%s must have members", at)
		return
	}
	all := make(map[string]string)
	for i := 0; i < len(n.Content); i += 2 {
		name := n.Content[i].Value
		if _, twice := all[name]; twice {
			r.complain(n.Content[i], "%s.%s is there twice", at, name)
		}
		all[name], _ = r.scalar(n.Content[i+1], at+"."+name)
	}
	v.Set(reflect.ValueOf(all))
}

// scalar returns a text as it is written: a number, a date or a truth value of YAML is
// none here.
func (r *reader) scalar(n *yaml.Node, at string) (string, bool) {
	n = resolved(n)
	switch {
	case n.Kind != yaml.ScalarNode:
		r.complain(n, "%s must be one value", at)
	case isNull(n):
		r.complain(n, `%s has no value: write "" for an empty text, or leave the line out`, at)
	case n.Style&yaml.TaggedStyle != 0 && n.ShortTag() != "!!str":
		r.complain(n, "%s has a tag, %s", at, n.Tag)
	default:
		return n.Value, true
	}
	return "", false
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// resolved follows an alias.
func resolved(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// field returns the field of an option.
func field(v reflect.Value, key string) reflect.Value {
	for name := range strings.SplitSeq(key, ".") {
		v = memberOf(v, name)
	}
	return v
}

// memberOf returns the field of a struct by its name in the file.
func memberOf(v reflect.Value, name string) reflect.Value {
	for _, f := range reflect.VisibleFields(v.Type()) {
		if !f.Anonymous && f.Tag.Get("yaml") == name && name != "-" && name != "" {
			return v.FieldByIndex(f.Index)
		}
	}
	return reflect.Value{}
}

// members lists what the fields of a struct are called in the file.
func members(t reflect.Type) (names []string) {
	for _, f := range reflect.VisibleFields(t) {
		if name := f.Tag.Get("yaml"); !f.Anonymous && name != "-" && name != "" {
			names = append(names, name)
		}
	}
	return names
}
