package main

import (
	"context"
	"flag"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
)

// noop is the ceiling for any server built on net/http: it reads each body to
// its end, into memory it uses again, and sends a fixed reply.
type noop struct {
	reply   []byte
	buffers sync.Pool // of *[]byte
}

func (n *noop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	buf, _ := n.buffers.Get().(*[]byte)
	if buf == nil {
		buf = new([]byte)
	}
	defer n.buffers.Put(buf)
	if int64(cap(*buf)) < r.ContentLength {
		*buf = make([]byte, r.ContentLength)
	}
	if _, err := io.ReadFull(r.Body, (*buf)[:max(r.ContentLength, 0)]); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json;charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(n.reply)))
	w.Write(n.reply)
}

// serveNoop is the noop subcommand.
func serveNoop(_ context.Context, args []string) error {
	flags := flag.NewFlagSet("noop", flag.ContinueOnError)
	listen := flags.String("listen", "", "`address` to listen on")
	file := flags.String("reply", "", "`file` with the body of every reply")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	reply, err := os.ReadFile(*file)
	if err != nil {
		return err
	}
	return http.ListenAndServe(*listen, &noop{reply: reply})
}
