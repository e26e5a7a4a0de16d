package segment

import (
	"errors"
	"fmt"

	"disd/internal/storage"
	"disd/internal/storage/vfs"
)

// Sizes, magic numbers and names in this file are part of the format.
const (
	manifestName    = "manifest"
	manifestMagic   = 0x4E414D64 // "dMAN"
	manifestVersion = 2          // 1 had no marks
	manifestHeader  = 64
	logHeader       = 64
	spanSize        = 32
	maxStream       = 32

	flagRemoved = 1 // the log is gone, its files may not be
	flagSuspect = 2 // records may be missing at the end
)

// manifest says what the segment files hold for sure, and where the commit log
// goes on from there.
type manifest struct {
	version uint16 // that was read; the current one is written
	dir     uint64 // the data directory's identity, random
	file    uint64 // commit log files below this number are not needed
	group   uint64 // number of the next group, unless the commit log has it
	log     uint64 // number of the next log, unless the commit log has it
	mark    uint32 // lower half of the number of the newest mark
	logs    []logState
}

// logState is one log in the manifest.
type logState struct {
	number       uint64
	id           storage.LogID
	oldest, next storage.Seq
	time         int64 // append time of the last record, ms
	removed      bool
	suspect      *place // where records after next may have been lost
	spans        []span
}

// place is a position in a commit log file.
type place struct {
	file   uint64
	offset int64
}

// span is what one segment file holds: records from base to before next, in
// the bytes from its header to before end. These bytes never change again.
type span struct {
	base, next storage.Seq
	end        int64
	time       int64 // append time of the last record, ms
}

func (m *manifest) append(b []byte) []byte {
	start := len(b)
	b = append(b, make([]byte, manifestHeader)...)
	for i := range m.logs {
		b = m.logs[i].append(b)
	}
	h, body := b[start:start+manifestHeader], b[start+manifestHeader:]
	le.PutUint32(h, manifestMagic)
	le.PutUint16(h[4:], manifestVersion)
	le.PutUint64(h[8:], m.dir)
	le.PutUint64(h[16:], m.file)
	le.PutUint64(h[24:], m.group)
	le.PutUint64(h[32:], m.log)
	le.PutUint64(h[40:], uint64(len(body)))
	le.PutUint32(h[48:], uint32(len(m.logs)))
	le.PutUint32(h[52:], m.mark)
	le.PutUint32(h[56:], checksum(body))
	le.PutUint32(h[60:], checksum(h[:60]))
	return b
}

func (s *logState) append(b []byte) []byte {
	start := len(b)
	b = append(b, make([]byte, logHeader)...)
	h := b[start:]
	le.PutUint64(h, s.number)
	le.PutUint64(h[8:], uint64(s.oldest))
	le.PutUint64(h[16:], uint64(s.next))
	le.PutUint64(h[24:], uint64(s.time))
	le.PutUint32(h[32:], uint32(s.id.Partition))
	le.PutUint32(h[36:], uint32(len(s.spans)))
	if s.removed {
		h[40] |= flagRemoved
	}
	if s.suspect != nil {
		h[40] |= flagSuspect
		le.PutUint64(h[48:], s.suspect.file)
		le.PutUint64(h[56:], uint64(s.suspect.offset))
	}
	h[41] = byte(len(s.id.Stream))
	b = append(b, s.id.Stream...)
	b = append(b, make([]byte, alignUp(len(s.id.Stream), 8)-len(s.id.Stream))...)
	for _, p := range s.spans {
		b = le.AppendUint64(b, uint64(p.base))
		b = le.AppendUint64(b, uint64(p.next))
		b = le.AppendUint64(b, uint64(p.end))
		b = le.AppendUint64(b, uint64(p.time))
	}
	return b
}

func parseManifest(b []byte) (*manifest, error) {
	if len(b) < manifestHeader {
		return nil, errShort
	}
	h, body := b[:manifestHeader], b[manifestHeader:]
	switch {
	case le.Uint32(h) != manifestMagic:
		return nil, errMagic
	case checksum(h[:60]) != le.Uint32(h[60:]):
		return nil, errChecksum
	case le.Uint16(h[4:]) < 1, le.Uint16(h[4:]) > manifestVersion:
		return nil, errVersion
	case uint64(len(body)) != le.Uint64(h[40:]):
		return nil, errShort
	case checksum(body) != le.Uint32(h[56:]):
		return nil, errChecksum
	}
	m := &manifest{
		version: le.Uint16(h[4:]),
		dir:     le.Uint64(h[8:]),
		file:    le.Uint64(h[16:]),
		group:   le.Uint64(h[24:]),
		log:     le.Uint64(h[32:]),
		mark:    le.Uint32(h[52:]),
	}
	for range le.Uint32(h[48:]) {
		s, rest, err := parseLogState(body)
		if err != nil {
			return nil, err
		}
		m.logs, body = append(m.logs, s), rest
	}
	if len(body) != 0 {
		return nil, errFields
	}
	return m, nil
}

func parseLogState(b []byte) (s logState, rest []byte, err error) {
	if len(b) < logHeader {
		return s, nil, errShort
	}
	h, b := b[:logHeader], b[logHeader:]
	s = logState{
		number:  le.Uint64(h),
		oldest:  storage.Seq(le.Uint64(h[8:])),
		next:    storage.Seq(le.Uint64(h[16:])),
		time:    int64(le.Uint64(h[24:])),
		removed: h[40]&flagRemoved != 0,
	}
	if h[40]&flagSuspect != 0 {
		s.suspect = &place{le.Uint64(h[48:]), int64(le.Uint64(h[56:]))}
	}
	name, spans := int(h[41]), int(le.Uint32(h[36:]))
	if len(b) < alignUp(name, 8)+spans*spanSize {
		return s, nil, errShort
	}
	s.id = storage.LogID{Stream: string(b[:name]), Partition: int32(le.Uint32(h[32:]))}
	b = b[alignUp(name, 8):]
	s.spans = make([]span, spans)
	for i := range s.spans {
		s.spans[i] = span{
			base: storage.Seq(le.Uint64(b)),
			next: storage.Seq(le.Uint64(b[8:])),
			end:  int64(le.Uint64(b[16:])),
			time: int64(le.Uint64(b[24:])),
		}
		b = b[spanSize:]
	}
	return s, b, s.validate()
}

func (s *logState) validate() error {
	if err := validID(s.id); err != nil {
		return errFields
	}
	if s.oldest < 0 || s.next < s.oldest {
		return errFields
	}
	at := storage.Seq(0)
	for _, p := range s.spans {
		if p.base < at || p.next <= p.base || p.next > s.next || p.end < segmentHeader {
			return errFields
		}
		at = p.next
	}
	return nil
}

// write makes m the manifest of dir. A crash leaves the old one or this one.
func (m *manifest) write(fs vfs.FS, dir string) error {
	return vfs.WriteFile(fs, dir, manifestName, m.append(nil))
}

func readManifest(fs vfs.FS, dir string) (*manifest, error) {
	name := dir + "/" + manifestName
	b, err := vfs.ReadFile(fs, name)
	if err != nil {
		return nil, err
	}
	m, err := parseManifest(b)
	if errors.Is(err, errVersion) {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if err != nil {
		return nil, &storage.CorruptError{File: name, Reason: "manifest: " + err.Error()}
	}
	return m, nil
}
