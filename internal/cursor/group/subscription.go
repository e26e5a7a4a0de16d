package group

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"disd/internal/field"
)

// maxClientID bounds what a client may call itself, in bytes (E43-R3).
const maxClientID = 1024

// What a member takes in memory, roughly, beside its name: itself with its place in
// maps, each stream it wants with its shares, and each instruction of its pattern.
const (
	memberBytes      = 1 << 10
	wantedBytes      = 256
	instructionBytes = 64
)

// check looks at a join alone (E43-R2, E43-R3).
func (r *JoinRequest) check() error {
	if r.ClientID == "" {
		return &field.Error{Field: "clientId", Reason: "missing"}
	}
	if len(r.ClientID) > maxClientID {
		return &field.Error{Field: "clientId", Reason: fmt.Sprintf("longer than %d bytes", maxClientID)}
	}
	if len(r.Streams) == 0 && len(r.StreamIDs) == 0 && r.Pattern == "" {
		return &field.Error{Field: "interestedStream", Reason: "neither streams nor a pattern"}
	}
	return nil
}

// A subscription is what a member wants, and which streams that were when it
// joined.
type subscription struct {
	names, ids []string
	pattern    *regexp.Regexp // nil for none
	program    int            // its instructions
	streams    []wanted
}

// wanted is a stream as a member wants it.
type wanted struct{ id, spelling string }

// subscribe resolves what a join asks for. An error is a subscription that
// cannot be (G-12, G-13).
func subscribe(topology Topology, project string, r JoinRequest) (*subscription, error) {
	s := &subscription{names: distinct(r.Streams), ids: distinct(r.StreamIDs)}
	var err error
	if r.Pattern != "" {
		if s.pattern, s.program, err = compile(r.Pattern); err != nil {
			return nil, err
		}
	}
	s.streams, err = s.resolve(topology, project)
	return s, err
}

// distinct returns each of some words once, in order.
func distinct(words []string) (list []string) {
	seen := make(map[string]bool)
	for _, w := range words {
		if !seen[w] {
			seen[w] = true
			list = append(list, w)
		}
	}
	return list
}

// bytes returns what a subscription takes in memory, roughly.
func (s *subscription) bytes() int {
	n := s.program * instructionBytes
	for _, w := range s.streams {
		n += wantedBytes + len(w.id) + len(w.spelling)
	}
	return n
}

// resolve returns the wanted streams there are now.
func (s *subscription) resolve(topology Topology, project string) ([]wanted, error) {
	list := make([]wanted, 0, len(s.names)+len(s.ids))
	seen := make(map[string]string) // id, spelling
	add := func(id, spelling string) error {
		if other, ok := seen[id]; ok && other != spelling {
			return fmt.Errorf("stream %s is subscribed by name and by id", id)
		} else if !ok {
			seen[id] = spelling
			list = append(list, wanted{id, spelling})
		}
		return nil
	}
	for _, name := range s.names {
		st, ok := topology.ByName(project, name)
		if !ok {
			return nil, fmt.Errorf("no stream %q", name)
		}
		if err := add(st.ID, name); err != nil {
			return nil, err
		}
	}
	for _, id := range s.ids {
		if _, ok := topology.ByID(project, id); !ok {
			return nil, fmt.Errorf("no stream with id %q", id)
		}
		if err := add(id, id); err != nil {
			return nil, err
		}
	}
	if s.pattern == nil {
		return list, nil
	}
	for _, st := range topology.List(project) {
		if _, ok := seen[st.ID]; !ok && s.pattern.MatchString(st.Name) {
			list = append(list, wanted{st.ID, st.Name})
		}
	}
	return list, nil
}

// current reports whether the pattern still means the same streams.
func (s *subscription) current(topology Topology, project string) bool {
	if s.pattern == nil {
		return true
	}
	now, err := s.resolve(topology, project)
	return err == nil && slices.Equal(now, s.streams)
}

func (s *subscription) spellings() []string {
	list := make([]string, len(s.streams))
	for i, w := range s.streams {
		list[i] = w.spelling
	}
	return list
}

// errPattern is a pattern that cannot be evaluated as Java does.
var errPattern = errors.New("unsupported regular expression")

// Bounds of what a pattern may cost: its length in bytes, and its instructions,
// which repetitions multiply.
const (
	maxPattern = 4096
	maxProgram = 2000
)

// compile translates a valid Java regular expression that must match the whole
// name. What Go's engine lacks (look-around, back references, possessive
// quantifiers) it refuses by itself. What it would read otherwise than Java is
// refused here.
func compile(pattern string) (re *regexp.Regexp, instructions int, err error) {
	if len(pattern) > maxPattern {
		return nil, 0, fmt.Errorf("%w: longer than %d bytes", errPattern, maxPattern)
	}
	if why := differs(pattern); why != "" {
		return nil, 0, fmt.Errorf("%w: %s", errPattern, why)
	}
	// Alone first: "a)|(b" must not become whole by our parentheses.
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %w", errPattern, err)
	}
	program, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %w", errPattern, err)
	}
	if len(program.Inst) > maxProgram {
		return nil, 0, fmt.Errorf("%w: it takes %d instructions, more than %d", errPattern, len(program.Inst), maxProgram)
	}
	re, err = regexp.Compile(`\A(?:` + pattern + `)\z`)
	return re, len(program.Inst), err
}

// differs returns which construct of the pattern means one thing to Java and
// another to Go, "" if there is none. Both may be met by names of
// [A-Za-z0-9_-], which is all that patterns are held against.
func differs(pattern string) string {
	class := 0 // position behind the opening bracket of a class, 0 outside
	for i := 0; i < len(pattern); i++ {
		rest := pattern[i:]
		switch {
		case strings.HasPrefix(rest, `\Q`):
			if class > 0 {
				return "quotation in a class"
			}
			end := strings.Index(rest, `\E`)
			if end < 0 {
				return ""
			}
			i += end + 1
		case rest[0] == '\\':
			if len(rest) > 1 && rest[1] >= '0' && rest[1] <= '9' {
				return "octal escape or back reference"
			}
			i++
		case class == 0 && rest[0] == '[':
			class = i + 1
			if strings.HasPrefix(rest, "[^") {
				class, i = i+2, i+1
			}
		case class > 0 && rest[0] == '[':
			return "union of classes"
		case class > 0 && strings.HasPrefix(rest, "&&"):
			return "intersection of classes"
		case rest[0] == ']' && i > class:
			class = 0
		}
	}
	return ""
}
