package api_test

import (
	"net/http"
	"strings"
	"testing"

	"disd/internal/auth"
)

// TestForeignPages is CON-40: what a page of another site has a browser send is refused
// before anything else, whatever the mode, and does nothing.
func TestForeignPages(t *testing.T) {
	const made = `{"stream_name":"s","partition_count":1}`
	for _, test := range []struct {
		name, send string
		header     []string
		refused    bool
	}{
		{"a blob of another site", "POST /v2/proj/streams", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, true},
		{"of a sibling", "POST /v2/proj/streams", []string{"Sec-Fetch-Site", "same-site"}, true},
		{"an old browser", "POST /v2/proj/streams", []string{"Origin", "https://evil.example"}, true},
		{"a sandboxed page", "POST /v2/proj/streams", []string{"Origin", "null"}, true},
		{"an image", "GET /v2/proj/streams", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors"}, true},
		{"the identity service", "GET /v3", []string{"Sec-Fetch-Site", "cross-site"}, true},
		{"the metrics", "GET /_disd/metrics", []string{"Sec-Fetch-Site", "cross-site"}, true},
		{"a link to the API", "GET /v2/proj/streams", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"}, true},
		{"a port of its own", "GET /v2/proj/streams", []string{"Origin", "http://localhost:1"}, true},
		{"what a proxy did not set", "GET /v2/proj/streams", []string{"Origin", "https://evil.example", "X-Forwarded-Host", "evil.example", "X-Forwarded-Proto", "https"}, true},
		{"health", "GET /_disd/health", []string{"Sec-Fetch-Site", "cross-site"}, false},
		{"ready", "GET /_disd/ready", []string{"Origin", "https://evil.example"}, false},
		{"a page of its own", "GET /v2/proj/streams", []string{"Sec-Fetch-Site", "same-origin", "Origin", "http://HOST"}, false},
		{"an address that was typed", "GET /v2/proj/streams", []string{"Sec-Fetch-Site", "none"}, false},
		{"no browser", "GET /v2/proj/streams", nil, false},
	} {
		t.Run("CON-40 "+test.name, func(t *testing.T) {
			b := newBench(t)
			for i := range test.header {
				test.header[i] = strings.Replace(test.header[i], "HOST", strings.TrimPrefix(b.url, "http://"), 1)
			}
			method, path, _ := strings.Cut(test.send, " ")
			a := b.do(method, path, made, test.header...)
			if refused := a.status == http.StatusForbidden && a.code(t) == "DIS.4116"; refused != test.refused || !refused && a.status != 200 {
				t.Errorf("%d %s", a.status, a.body)
			}
			if a := b.want(200, "GET", "/v2/proj/streams", ""); !strings.Contains(a.body, `"total_number":0`) {
				t.Errorf("made %s", a.body)
			}
		})
	}
}

// TestForeignHosts is CON-40 for a name that was made to point to this machine: an open
// server on a loopback address knows only local names.
func TestForeignHosts(t *testing.T) {
	for host, want := range map[string]int{
		"evil.example": 403, "evil.example:20004": 403, "localhost.evil.example": 403, "127.0.0.1.evil.example": 403, "10.0.0.1": 403,
		"localhost": 200, "127.0.0.1:1": 200, "127.1.2.3": 200, "[::1]:80": 200, "disd": 200, "DISD:20004": 200, "dis.localhost": 200,
		"dis.local": 200, "dis.svc.internal": 200, "x.test": 200, "dis.home.arpa.": 200, "dis.example.com": 200, "DIS.Example.com:443": 200,
	} {
		b := newBench(t, func(s *setup) { s.Console.Hosts = []string{"dis.example.com"} })
		if a := b.do("GET", "/v2/proj/streams", "", "Host", host); a.status != want {
			t.Errorf("CON-40 %s: %d, want %d", host, a.status, want)
		}
	}
	guarded := newBench(t, func(s *setup) { s.Auth.Mode, s.Auth.Domains = auth.ModeRequired, twoDomains })
	if a := guarded.do("GET", "/v3", "", "Host", "any.example"); a.status != 200 {
		t.Errorf("CON-40 a server that asks who it is: %d", a.status)
	}
	beyond := newBench(t, func(s *setup) { s.Listen = "0.0.0.0:20004" })
	if a := beyond.do("GET", "/v2/proj/streams", "", "Host", "any.example"); a.status != 200 {
		t.Errorf("CON-40 a server for others: %d", a.status)
	}
	proxied := newBench(t, func(s *setup) { s.Auth.PathPrefix = "/dis" })
	if a := proxied.do("GET", "/v2/proj/streams", "", "Origin", "https://any.example", "X-Forwarded-Host", "any.example", "X-Forwarded-Proto", "https"); a.status != 200 {
		t.Errorf("CON-40 behind a proxy: %d %s", a.status, a.body)
	}
}

// TestHead: monitors ask own endpoints for no more than the status; the API knows no
// HEAD (C-6).
func TestHead(t *testing.T) {
	b := newBench(t)
	for path, want := range map[string]int{
		"/_disd/health": 200, "/_disd/ready": 200, "/_disd/metrics": 200, "/_disd/openapi.json": 200,
		"/v2/proj/streams": 405, "/_disd/keys": 405, "/_disd/nothing": 404,
	} {
		if a := b.do("HEAD", path, ""); a.status != want || a.body != "" || a.header.Get("X-Request-Id") == "" || a.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("HEAD %s: %d %q %v, want %d", path, a.status, a.body, a.header, want)
		}
	}
}
