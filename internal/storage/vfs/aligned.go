package vfs

import "sync"

// blockSize is what places, lengths and memory of direct writes are multiples of.
const blockSize = 4096

// How much WriteAligned copies before it writes, and how much it writes at
// once, if no single buffer is larger.
const (
	maxStaged = 256 << 10
	maxDirect = 1 << 20
)

// WriteAligned is WriteAt for a Direct file and memory that lies anywhere. The
// lengths of bufs add up to whole blocks. Blocks that lie in memory as they
// shall lie in the file are written from there, others are copied.
func WriteAligned(f File, bufs [][]byte, off int64) error {
	stage := stages.Get().(*[]byte)
	defer stages.Put(stage)
	a := aligner{f: f, off: off, stage: *stage}
	for _, b := range bufs {
		if err := a.add(b); err != nil {
			return err
		}
	}
	return a.flush()
}

// stages are buffers to copy into. A flush of many logs needs one after the other
// for each of them.
var stages = sync.Pool{New: func() any {
	b := AlignedBuffer(maxStaged)
	return &b
}}

type aligner struct {
	f          File
	off        int64    // where vec goes
	vec        [][]byte // whole blocks
	size       int      // of vec
	stage      []byte
	from, used int // of stage: what is not in vec yet
}

// add adds b.
func (a *aligner) add(b []byte) error {
	for len(b) > 0 {
		within := a.used % blockSize // of the block to fill
		n := min(len(b), len(a.stage)-a.used)
		whole := len(b) &^ (blockSize - 1)
		switch {
		case within == 0 && whole > 0 && Aligned(b):
			a.push(a.stage[a.from:a.used])
			a.from = a.used
			a.push(b[:whole])
			b = b[whole:]
		case within == offBlock(b):
			n = min(len(b), blockSize-within) // and what follows need not be copied
			fallthrough
		default:
			a.used += copy(a.stage[a.used:], b[:n])
			b = b[n:]
		}
		if a.used == len(a.stage) || a.used%blockSize == 0 && a.size+a.used-a.from >= maxDirect {
			if err := a.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *aligner) push(b []byte) {
	if len(b) > 0 {
		a.vec = append(a.vec, b)
		a.size += len(b)
	}
}

// flush writes what was added. That is whole blocks.
func (a *aligner) flush() error {
	a.push(a.stage[a.from:a.used])
	if len(a.vec) == 0 {
		return nil
	}
	err := a.f.WriteAt(a.vec, a.off)
	a.off += int64(a.size)
	a.vec, a.size, a.from, a.used = a.vec[:0], 0, 0, 0
	return err
}
