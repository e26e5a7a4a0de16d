package vfs

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// pieces is a file that notes the memory it is given.
type pieces struct {
	File
	got [][]byte
}

func (p *pieces) WriteAt(bufs [][]byte, off int64) error {
	p.got = append(p.got, bufs...)
	return p.File.WriteAt(bufs, off)
}

// TestWriteAligned writes memory of any length and place to a Direct file.
func TestWriteAligned(t *testing.T) {
	memory := AlignedBuffer(4 << 20)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range memory {
		memory[i] = byte(rng.Uint32())
	}
	each(t, func(t *testing.T, fsys FS, dir string) {
		must(t, create(t, fsys, dir+"/a").Close())
		for round := range 200 {
			var bufs [][]byte
			var want []byte
			for range 1 + rng.IntN(12) {
				n := rng.IntN(1 << (1 + rng.IntN(19)))
				from := rng.IntN(len(memory) - n)
				switch rng.IntN(3) {
				case 0:
					from &^= blockSize - 1
				case 1: // lies in its block as it will in the file
					from = min(from&^(blockSize-1)+len(want)%blockSize, len(memory)-n)
				}
				bufs = append(bufs, memory[from:from+n])
				want = append(want, memory[from:from+n]...)
			}
			rest := make([]byte, (blockSize-len(want)%blockSize)%blockSize)
			bufs, want = append(bufs, rest), append(want, rest...)
			f, err := fsys.OpenFile(dir+"/a", Direct)
			must(t, err)
			p := &pieces{File: f}
			off := int64(round%3) * blockSize
			must(t, WriteAligned(p, bufs, off), f.Sync(), f.Close())
			for _, b := range p.got {
				if !Aligned(b) || len(b)%blockSize != 0 {
					t.Fatalf("round %d: %d bytes from %d within a block", round, len(b), offBlock(b))
				}
			}
			have, err := ReadFile(fsys, dir+"/a")
			must(t, err)
			if !bytes.Equal(have[off:off+int64(len(want))], want) {
				t.Fatalf("round %d: other bytes than were written", round)
			}
		}
	})
}

// TestWriteAlignedDoesNotCopy gives it blocks behind one block to copy.
func TestWriteAlignedDoesNotCopy(t *testing.T) {
	fsys := NewMem()
	must(t, create(t, fsys, "a").Close())
	f, err := fsys.OpenFile("a", Direct)
	must(t, err)
	p := &pieces{File: f}
	b := AlignedBuffer(8 * blockSize)
	must(t, WriteAligned(p, [][]byte{make([]byte, 80), b[80 : 7*blockSize+5], make([]byte, blockSize-5)}, 0))
	for i := range p.got {
		if &p.got[i][0] == &b[blockSize] && len(p.got[i]) == 6*blockSize {
			return
		}
	}
	t.Errorf("copied: %d pieces", len(p.got))
}
