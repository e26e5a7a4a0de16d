package ops

import (
	"bytes"
	"net/http"
	"runtime/pprof"
	"time"

	"disd/internal/api/rest"
	"disd/internal/auth"
	"disd/internal/clock"
	"disd/internal/field"
)

// showProfile serves one profile of the process, cpu or one of runtime/pprof, to this
// machine only.
func showProfile(c *rest.Call) (rest.Reply, error) {
	if !rest.IsLocal(c.Request) {
		return rest.Reply{}, rest.Detail(auth.ErrForbidden, "profiles are for this machine only")
	}
	var b bytes.Buffer
	if c.Param("profile") == "cpu" {
		if err := profileCPU(c, &b); err != nil {
			return rest.Reply{}, err
		}
		return profile(&b)
	}
	p := pprof.Lookup(c.Param("profile"))
	if p == nil {
		return rest.Reply{}, rest.ErrNoAPI
	}
	if err := p.WriteTo(&b, 0); err != nil {
		return rest.Reply{}, err
	}
	return profile(&b)
}

func profile(b *bytes.Buffer) (rest.Reply, error) {
	return rest.Reply{Status: http.StatusOK, Body: b.Bytes(), Type: "application/octet-stream"}, nil
}

// profileCPU samples for as many seconds as the client asks for, 1 to 60, or 10.
func profileCPU(c *rest.Call, b *bytes.Buffer) error {
	n, err := rest.ParseNumber(rest.ParseQuery(c.URL.RawQuery).Get("seconds")).Within("seconds", 1, 60, 10)
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(b); err != nil { // one is being made
		return rest.Detail(field.ErrInvalid, err.Error())
	}
	defer pprof.StopCPUProfile()
	_ = clock.New().Sleep(c.Context(), time.Duration(n)*time.Second) // who went away ends it early
	return nil
}
