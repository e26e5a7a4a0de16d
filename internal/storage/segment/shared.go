package segment

import (
	"fmt"
	"sync"
	"sync/atomic"

	"disd/internal/storage"
	"disd/internal/storage/vfs"
)

// How urgently the committer wants another commit log file.
const (
	wantNone = iota
	wantLater
	wantNow
)

// shared is what appenders, committer and flusher have in common. Fields are
// guarded by mu unless it says otherwise.
type shared struct {
	// Never changed.
	opt   Options
	dirID uint64
	lock  vfs.Lock // of the directory
	marks *markFile
	wake  chan struct{} // to the committer: there is a group, or roll is set
	kick  chan struct{} // to the flusher: there is something to do

	stats   counters      // atomic
	durable atomic.Uint64 // number of the last group on stable storage
	lossy   atomic.Bool   // see Engine.MayHaveLost

	mu       sync.Mutex
	cond     sync.Cond // spare, down or repairing changed
	ids      map[storage.LogID]*log
	building *pending // the group that takes appends
	arena    arena
	space    space
	nextLog  uint64
	// committedLog is the number of the next log, as far as creations are
	// committed.
	committedLog uint64
	freed        chan struct{} // closed when waiting may be worth another try
	waiting      int64         // bytes of appends that wait
	closing      bool
	down         error // why nothing can be appended
	repairing    bool  // down is being seen to
	broke        bool  // the commit log failed and the flusher has not seen it
	roll         bool  // seal the active file
	unsealed     bool  // the active file holds records
	resting      bool  // nothing came for a while
	sealed       []*generation
	removed      []*log         // whose files are still to be deleted
	trimmed      []*log         // whose segments may be deletable
	refusing     map[*log]error // logs that take no appends until they can be flushed
	spare        *commitFile
	want         int
}

// generation is the content of one commit log file (after a restart: of all
// there were) that is not in segment files yet.
type generation struct {
	files []*commitFile
	logs  []*log // those with batches in it
	next  uint64 // number of the group after its last one
	// unfinished says that a flush left some logs out, which take no more
	// appends until they can be written.
	unfinished bool
}

func (s *shared) logLocked(id storage.LogID) (*log, error) {
	l := s.ids[id]
	if l == nil || !l.born || l.removing {
		return nil, fmt.Errorf("%w: %s", storage.ErrNotFound, id)
	}
	return l, nil
}

// present returns nil if the data directory is where it was opened.
func (s *shared) present() error {
	if err := s.lock.Held(); err != nil {
		return fmt.Errorf("%w: %w", storage.ErrUnavailable, err)
	}
	return nil
}

// freeLocked returns the bytes on the disk that may be set aside for appends.
func (s *shared) freeLocked() (int64, error) {
	free, err := s.opt.FS.Free(s.opt.Dir)
	return free - perFlush - perLog*int64(len(s.ids)), err
}

// tidy lets the flusher delete segments of l if there are any to delete.
func (s *shared) tidy(l *log) {
	v, err := l.view()
	if err != nil || len(v.segs) == 0 || v.segs[0].next > v.oldest {
		return
	}
	s.mu.Lock()
	s.trimmed = append(s.trimmed, l)
	s.mu.Unlock()
	signal(s.kick)
}

func (s *shared) healthLocked() error {
	if s.closing {
		return fmt.Errorf("%w: closing", storage.ErrUnavailable)
	}
	return s.down
}

// refusedLocked returns why some log takes no appends for now.
func (s *shared) refusedLocked() error {
	for l, err := range s.refusing {
		if s.ids[l.id] == l {
			return fmt.Errorf("%s takes no records: %w", l.id, err)
		}
	}
	return nil
}

type counters struct {
	groups, bytes, syncs, flushes, flushBytes, flushErrors atomic.Int64
}

// signal leaves a token in c, if there is none.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
