package rest

import (
	"net/http"
	"time"
)

// WriteTime is how long one write of a streaming answer may take before its client
// counts as gone.
const WriteTime = 30 * time.Second

// A stream is the writer of a streaming answer. Before every write and flush it moves
// the deadline that the server sets for the whole of an ordinary answer.
type stream struct {
	http.ResponseWriter
	control *http.ResponseController
	now     func() time.Time // the real time, by which the network's deadlines go
}

func newStream(w http.ResponseWriter) *stream {
	return &stream{w, http.NewResponseController(w), time.Now}
}

func (s *stream) Write(p []byte) (int, error) {
	s.move()
	return s.ResponseWriter.Write(p)
}

// Flush sends what was written so far. It implements http.Flusher.
func (s *stream) Flush() {
	s.move()
	_ = s.control.Flush() // the next write fails too
}

// move sets the deadline; a writer that can have none does without.
func (s *stream) move() { _ = s.control.SetWriteDeadline(s.now().Add(WriteTime)) }

// Unwrap serves http.ResponseController.
func (s *stream) Unwrap() http.ResponseWriter { return s.ResponseWriter }
