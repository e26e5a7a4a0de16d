package quota

// A Mode says what happens when a quota of the cloud is exceeded (design D15).
type Mode string

const (
	Off     Mode = "off"     // nothing; quotas are not even looked at
	Warn    Mode = "warn"    // it is counted and allowed
	Enforce Mode = "enforce" // it is counted and refused as the cloud does
)

// A Kind is what a quota is of.
type Kind string

const (
	Partitions Kind = "partitions" // of an account
	Scaling    Kind = "scaling"    // of a stream
	Throughput Kind = "throughput" // of a partition
	Apps       Kind = "apps"       // of a project
	Tasks      Kind = "tasks"      // of a stream
	Members    Kind = "members"    // of a consumer group
	Calls      Kind = "calls"      // of a project
)

// A Policy decides what follows when a quota is exceeded. One that is nil looks at no
// quota, as in mode Off. Its methods may be called at any time.
type Policy struct {
	Mode   Mode
	Ledger *Ledger // counts what is exceeded; nil for nobody
}

// On reports whether quotas are looked at.
func (p *Policy) On() bool { return p != nil && (p.Mode == Warn || p.Mode == Enforce) }

// Enforced reports whether what exceeds a quota is refused.
func (p *Policy) Enforced() bool { return p != nil && p.Mode == Enforce }

// Exceeded counts that a quota was exceeded in a project, with the name of the stream
// or app that it is of, and reports whether that must be refused.
func (p *Policy) Exceeded(kind Kind, project, name string) (refuse bool) {
	if !p.On() {
		return false
	}
	if p.Ledger != nil {
		p.Ledger.Note(kind, project, name)
	}
	return p.Enforced()
}
