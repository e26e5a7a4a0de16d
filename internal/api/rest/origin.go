package rest

import (
	"net"
	"net/http"
	"net/url"
	"strings"
)

// IsLocal reports a request from this machine, to this machine, that claims to be
// nobody's. What a proxy passed on is not from this machine; an empty header may be
// its client's, with the proxy's behind it. What a browser sends may be the wish of
// any page that is open in it; one whose name was made to point here (DNS rebinding)
// still sends that name as host.
func IsLocal(r *http.Request) bool {
	for name := range r.Header {
		switch name {
		case "Authorization", "X-Auth-Token", "Forwarded", "Via", "X-Real-Ip":
			return false
		}
		if strings.HasPrefix(name, "X-Forwarded-") {
			return false
		}
	}
	return !FromBrowser(r) && isLoopback(r.RemoteAddr) && isLoopback(r.Host)
}

// FromBrowser reports whether a page in a browser made the request.
func FromBrowser(r *http.Request) bool {
	return r.Header["Origin"] != nil || r.Header["Sec-Fetch-Site"] != nil
}

// isLoopback reports whether an address, with or without a port, is of this machine
// alone.
func isLoopback(address string) bool {
	host := (&url.URL{Host: address}).Hostname()
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
