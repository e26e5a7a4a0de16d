package partition

// EditTags replaces a stream's tags by what edit makes of a copy of them, durably.
// Its error undoes everything and is returned.
func (s *Set) EditTags(st *Stream, edit func([]Tag) ([]Tag, error)) error {
	_, err := s.change(st, func(info *Info) (err error) {
		info.Tags, err = edit(info.Tags)
		info.Modified = s.opts.Now().UnixMilli()
		return err
	})
	return err
}
