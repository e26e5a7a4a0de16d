package control

import (
	"context"
	"net/http"
	"slices"

	"disd/internal/clock"
	"disd/internal/cursor/group"
	"disd/internal/partition"
)

// removed is what a reset took away (CTL-46).
type removed struct {
	Streams int   `json:"streams"`
	Apps    int   `json:"apps"`
	Tasks   int   `json:"tasks"`
	Records int64 `json:"records"`
	Took    int64 `json:"took_us"`
}

// kept are what a full reset may spare (CTL-47).
var kept = []string{"faults", "clock", "journal", "snapshots"}

func (c *Control) reset(r *request) (int, any, error) {
	var in struct {
		Keep    []string `json:"keep"`
		Seed    bool     `json:"seed"`
		Project *string  `json:"project"`
	}
	if err := r.decode(&in); err != nil {
		return 0, nil, err
	}
	for i, name := range in.Keep {
		if !slices.Contains(kept, name) {
			return 0, nil, invalid(index("keep", i), "cannot keep %s%s", name, meant(name, kept))
		}
	}
	if in.Project != nil {
		if in.Keep != nil || in.Seed {
			return 0, nil, invalid("", "keep and seed are of a reset of everything")
		}
		return c.resetProject(r.Context(), *in.Project)
	}
	if in.Seed && c.opts.Seed == nil {
		return 0, nil, conflict("the server was started without a seed")
	}
	c.moving.Lock()
	defer c.moving.Unlock()
	watch := clock.Start()
	gone := c.all("")
	keeps := func(name string) bool { return slices.Contains(in.Keep, name) }
	if !keeps("faults") {
		c.faults.forget() // first, so that what they hold ends
	}
	if !keeps("clock") {
		c.unreached = nil
		c.clock.Reset()
	}
	if err := c.opts.World.Renew(r.Context(), nil); err != nil {
		return 0, nil, err
	}
	if !keeps("journal") {
		c.journal.forget()
	}
	if !keeps("snapshots") {
		c.snapshots.clear()
	}
	c.changed()
	gone.Took = watch.Elapsed().Microseconds()
	if in.Seed {
		if err := c.Sow(r.Context(), c.opts.Seed); err != nil {
			return 0, nil, err
		}
	}
	return http.StatusOK, gone, nil
}

// all counts what a project has, or all of them together, "".
func (c *Control) all(project string) (n removed) {
	p := c.opts.World.Parts()
	for _, st := range p.Streams.All() {
		info, err := st.Info()
		if err != nil || project != "" && info.Project != project {
			continue
		}
		n.Streams++
		n.Records += recordsOf(st, info)
		if tasks, err := p.Tasks.List(info.ID); err == nil {
			n.Tasks += len(tasks)
		}
	}
	n.Apps, _ = p.Apps.Count(project) // a catalog in memory can be read
	return n
}

func recordsOf(st *partition.Stream, info *partition.Info) (n int64) {
	for id := range info.Parts {
		if log, err := st.Log(int32(id)); err == nil {
			oldest, next := log.Bounds()
			n += int64(next - oldest)
		}
	}
	return n
}

// resetProject removes all that one project has, by the calls of the API (CTL-48).
func (c *Control) resetProject(ctx context.Context, project string) (int, any, error) {
	watch := clock.Start()
	p := c.opts.World.Parts()
	gone := c.all(project)
	c.faults.remove(func(x *fault) bool { return slices.Contains(x.rule.Project, project) })
	for _, info := range p.Streams.List(project) {
		st, err := p.Streams.Get(project, info.Name)
		if err == nil {
			err = p.Streams.Delete(ctx, st)
		}
		if err != nil {
			return 0, nil, err
		}
	}
	p.Groups.Forget(project)
	if err := p.Apps.Clear(project); err != nil {
		return 0, nil, err
	}
	if err := group.ForgetProject(p.Catalog, project); err != nil {
		return 0, nil, err
	}
	c.journal.clear(func(e *entry) bool { return e.Project == project })
	c.changed()
	gone.Took = watch.Elapsed().Microseconds()
	return http.StatusOK, gone, nil
}

// stream finds a stream of a project by name or id.
func (c *Control) stream(project, name string) (*partition.Stream, *partition.Info, error) {
	p := c.opts.World.Parts()
	st, err := p.Streams.Get(project, name)
	if err != nil {
		if st, err = p.Streams.GetID(name); err != nil {
			return nil, nil, notFound("no stream %s in project %s", name, project)
		}
	}
	info, err := st.Info()
	if err != nil || info.Project != project {
		return nil, nil, notFound("no stream %s in project %s", name, project)
	}
	return st, info, nil
}

// exists reports whether what a rule names exists: what it can never match before
// that is made.
func (c *Control) exists(r *rule) bool {
	p := c.opts.World.Parts()
	known := func(names texts, has func(project, name string) bool) bool {
		return len(names) == 0 || slices.ContainsFunc(names, func(name string) bool {
			return slices.ContainsFunc(c.projects(r), func(project string) bool { return has(project, name) })
		})
	}
	return known(r.Stream, func(project, name string) bool {
		_, _, err := c.stream(project, name)
		return err == nil
	}) && known(r.App, func(project, name string) bool { return p.Apps.Exists(project, name) == nil }) &&
		known(r.Task, func(project, name string) bool {
			return slices.ContainsFunc(p.Streams.List(project), func(info *partition.Info) bool {
				_, err := p.Tasks.Get(info.ID, name)
				return err == nil
			})
		})
}

// projects are those that a rule may be about.
func (c *Control) projects(r *rule) []string {
	if len(r.Project) > 0 {
		return r.Project
	}
	seen := make(map[string]bool)
	var all []string
	for _, st := range c.opts.World.Parts().Streams.All() {
		if info, err := st.Info(); err == nil && !seen[info.Project] {
			seen[info.Project] = true
			all = append(all, info.Project)
		}
	}
	apps, _ := c.opts.World.Parts().Apps.Projects() // as above
	for _, project := range apps {
		if !seen[project] {
			seen[project] = true
			all = append(all, project)
		}
	}
	return all
}
