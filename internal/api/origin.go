package api

import (
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// An originRule refuses what a browser sends for a page of another site (CON-40). No
// client of DIS is a browser; a page that somebody opens must not reach a server on the
// same machine, which may ask nobody who they are.
type originRule struct {
	// local requires a host name of this machine or network: a server that is open, on
	// a loopback address, could else be reached by a page whose name was made to point
	// here (DNS rebinding), and a browser marks neither a GET of the page's own origin
	// nor anything over plain HTTP.
	local bool
	hosts []string // names that are allowed as well, in lower case
	// proxied counts what a proxy in front says about the host and scheme that the
	// client used.
	proxied bool
}

// refuses reports whether the request may not be served at all.
func (o *originRule) refuses(r *http.Request) bool {
	if r.Method == http.MethodGet && (r.URL.Path == "/_disd/health" || r.URL.Path == "/_disd/ready") {
		return false
	}
	return o.local && !o.isLocal(r.Host) || o.isForeign(r)
}

// isForeign reports a request that a page of another origin made.
func (o *originRule) isForeign(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "cross-site", "same-site":
		return !opensConsole(r)
	}
	origins := r.Header["Origin"]
	return len(origins) > 0 && (len(origins) > 1 || !strings.EqualFold(origins[0], o.own(r)))
}

// opensConsole reports a link to the console that somebody followed.
func opensConsole(r *http.Request) bool {
	return r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Mode") == "navigate" && strings.HasPrefix(r.URL.Path, "/_disd/console/")
}

// own is the origin of a page that this server serves.
func (o *originRule) own(r *http.Request) string {
	scheme, host := "http", r.Host
	if r.TLS != nil {
		scheme = "https"
	}
	if o.proxied {
		if h := r.Header.Get("X-Forwarded-Host"); h != "" {
			host = h
		}
		if s := r.Header.Get("X-Forwarded-Proto"); s != "" {
			scheme = s
		}
	}
	return scheme + "://" + host
}

// localZones are the ends of names that nobody can register on the internet.
var localZones = []string{".localhost", ".local", ".internal", ".test", ".home.arpa"}

// isLocal reports a loopback address, or a name that only this machine or network knows.
func (o *originRule) isLocal(host string) bool {
	name := strings.ToLower(strings.TrimSuffix((&url.URL{Host: host}).Hostname(), "."))
	if ip := net.ParseIP(name); ip != nil {
		return ip.IsLoopback()
	}
	return !strings.Contains(name, ".") || slices.Contains(o.hosts, name) ||
		slices.ContainsFunc(localZones, func(zone string) bool { return strings.HasSuffix(name, zone) })
}
