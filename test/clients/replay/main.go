// Command replay sends the requests that a client is documented to send, signed
// as it is documented to sign them, for clients that cannot be run. It reads them
// from requests.yaml in the working directory. First it compares its signatures with
// those of requests that the client itself signed, where there are such.
package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// A script is what a client sends.
type script struct {
	Headers   map[string]string `yaml:"headers"`   // of every request
	Signed    []string          `yaml:"signed"`    // names of the headers in the signature, where the request has them
	Signature string            `yaml:"signature"` // "scoped" (Credential=), "unscoped" (without region and service) or "plain" (Access=)
	Vectors   string            `yaml:"vectors"`   // how the ids of the client's signature vectors begin
	Never     []string          `yaml:"never"`     // what no successful answer may contain
	Requests  []request         `yaml:"requests"`
}

// A request is a request and what its client needs of the answer. {name} stands for
// a value: one of those in main, or what an earlier answer gave.
type request struct {
	Name    string            `yaml:"name"`
	Send    string            `yaml:"send"` // method and target
	Body    string            `yaml:"body"`
	Headers map[string]string `yaml:"headers"` // beside the script's, or instead of them
	Status  int               `yaml:"status"`  // default 200
	Answer  []string          `yaml:"answer"`  // what the body contains, quoted as in Go if it is not text; none: it is empty
	Keep    map[string]string `yaml:"keep"`    // name of a value: member of the answer
	Match   map[string]string `yaml:"match"`   // name of a value: expression, the group of which it is, in header and body of the answer
	Decode  string            `yaml:"decode"`  // member of the answer that is looked at in its place, Base64 for URLs
	Until   time.Duration     `yaml:"until"`   // for how long it is sent again until the answer is as expected
	Token   string            `yaml:"token"`   // sent instead of a signature; "none": neither
}

// key is who signs.
type key struct{ access, secret, region string }

// sign adds an Authorization header. The date must be among the headers.
func (s *script) sign(r *http.Request, body []byte, k key) {
	date := r.Header.Get("X-Sdk-Date")
	hash := func(b []byte) string { sum := sha256.Sum256(b); return hex.EncodeToString(sum[:]) }
	mac := func(key []byte, text string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	var names []string
	var headers, query strings.Builder
	for _, name := range s.Signed {
		value := r.Header.Get(name)
		switch name {
		case "host":
			value = r.Host
		case "content-length":
			if len(body) > 0 {
				value = strconv.Itoa(len(body))
			}
		}
		if value != "" {
			names = append(names, name)
			headers.WriteString(name + ":" + value + "\n")
		}
	}
	values := r.URL.Query()
	for i, name := range slices.Sorted(maps.Keys(values)) {
		if i > 0 {
			query.WriteByte('&')
		}
		query.WriteString(url.QueryEscape(name) + "=" + strings.ReplaceAll(url.QueryEscape(values.Get(name)), "+", "%20"))
	}
	path := strings.TrimSuffix(r.URL.EscapedPath(), "/") + "/"
	list := strings.Join(names, ";")
	canonical := hash([]byte(strings.Join([]string{r.Method, path, query.String(), headers.String(), list, hash(body)}, "\n")))

	who, signing, scope := "Access="+k.access, []byte(k.secret), ""
	if s.Signature != "plain" {
		scope = date[:8] + "///sdk_request"
		if s.Signature == "scoped" {
			scope = date[:8] + "/" + k.region + "/dis/sdk_request"
		}
		who, signing = "Credential="+k.access+"/"+scope, []byte("SDK"+k.secret)
		for part := range strings.SplitSeq(scope, "/") {
			signing = mac(signing, part)
		}
		scope += "\n"
	}
	signature := hex.EncodeToString(mac(signing, "SDK-HMAC-SHA256\n"+date+"\n"+scope+canonical))
	r.Header.Set("Authorization", "SDK-HMAC-SHA256 "+who+", SignedHeaders="+list+", Signature="+signature)
}

// A vector is a request that a client signed. The two files of them have two
// sets of names.
type vector struct {
	ID, Method, Target, Region string
	Headers                    [][2]string
	Body                       []byte `json:"body_base64"`
}

// legacyVectors and vectors read the files of signature vectors.
func legacyVectors() ([]vector, key, error) {
	var file struct {
		Credentials struct {
			AccessKey string `json:"access_key"`
			SecretKey string `json:"secret_key"`
		} `json:"credentials"`
		Vectors []vector `json:"vectors"`
	}
	err := decode("signature-vectors.json", &file)
	return file.Vectors, key{access: file.Credentials.AccessKey, secret: file.Credentials.SecretKey}, err
}

func vectors() (all []vector, k key, err error) {
	var file []struct {
		Name, AK, SK, Method, URL, Body, Authorization string
		Headers                                        map[string]string
	}
	err = decode("signature-vectors-v3.json", &file)
	for _, f := range file {
		v := vector{ID: f.Name, Method: f.Method, Target: f.URL, Body: []byte(f.Body)}
		for name, value := range f.Headers {
			v.Headers = append(v.Headers, [2]string{name, value})
		}
		v.Headers = append(v.Headers, [2]string{"Authorization", f.Authorization})
		all, k = append(all, v), key{access: f.AK, secret: f.SK}
	}
	return all, k, err
}

func decode(file string, into any) error {
	raw, err := os.ReadFile("../../../internal/sign/testdata/" + file)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, into)
}

// compare signs what the client signed, as the client did.
func (s *script) compare() error {
	compared := 0
	for _, read := range []func() ([]vector, key, error){legacyVectors, vectors} {
		all, k, err := read()
		if err != nil {
			return err
		}
		for _, v := range all {
			if !strings.HasPrefix(v.ID, s.Vectors) {
				continue
			}
			r, err := http.NewRequest(v.Method, v.Target, nil)
			if err != nil {
				return err
			}
			for _, h := range v.Headers {
				r.Header.Set(h[0], h[1])
			}
			r.Host = r.Header.Get("Host")
			want := r.Header.Get("Authorization")
			k.region = v.Region
			s.sign(r, v.Body, k)
			if got := r.Header.Get("Authorization"); got != want {
				return fmt.Errorf("%s: %s, want %s", v.ID, got, want)
			}
			compared++
		}
	}
	if compared == 0 {
		return errors.New("no such vectors")
	}
	return nil
}

// A session is one run of a script.
type session struct {
	script
	endpoint string
	key      key
	client   *http.Client
	values   map[string]string // what {name} stands for
}

func (s *session) fill(text string) string {
	for name, value := range s.values {
		text = strings.ReplaceAll(text, "{"+name+"}", value)
	}
	return text
}

// do sends a request, and again for as long as it may.
func (s *session) do(r request) error {
	for end := time.Now().Add(r.Until); ; time.Sleep(200 * time.Millisecond) {
		if err := s.send(r); err == nil || time.Now().After(end) {
			return err
		}
	}
}

// send sends a request and looks at the answer.
func (s *session) send(r request) error {
	method, target, _ := strings.Cut(s.fill(r.Send), " ")
	body := []byte(s.fill(r.Body))
	req, err := http.NewRequest(method, s.endpoint+target, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("X-Sdk-Date", time.Now().UTC().Format("20060102T150405Z"))
	for _, headers := range []map[string]string{s.Headers, r.Headers} {
		for name, value := range headers {
			req.Header.Set(name, s.fill(value))
		}
	}
	switch r.Token {
	case "":
		s.sign(req, body, s.key)
	case "none":
	default:
		req.Header.Set("X-Auth-Token", s.fill(r.Token))
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	return s.judge(r, resp, raw)
}

// judge holds an answer against what is expected, and keeps values of it.
func (s *session) judge(r request, resp *http.Response, raw []byte) error {
	if r.Decode != "" {
		var object map[string]any
		if err := json.Unmarshal(raw, &object); err != nil {
			return err
		}
		var err error
		if raw, err = base64.RawURLEncoding.DecodeString(strings.TrimRight(fmt.Sprint(object[r.Decode]), "=")); err != nil {
			return err
		}
	}
	answer := string(raw)
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") {
		answer = strings.Trim(strconv.Quote(answer), `"`)
	}
	if r.Status == 0 {
		r.Status = http.StatusOK
	}
	if resp.StatusCode != r.Status || (len(r.Answer) == 0) != (len(raw) == 0) {
		return fmt.Errorf("%d %s, want %d", resp.StatusCode, answer, r.Status)
	}
	for _, want := range r.Answer {
		if want = s.fill(want); !strings.Contains(answer, want) {
			return fmt.Errorf("%s is not in %s", want, answer)
		}
	}
	for _, never := range s.Never {
		if r.Status < 300 && strings.Contains(answer, never) {
			return fmt.Errorf("%s is in %s", never, answer)
		}
	}
	for name, member := range r.Keep {
		var object map[string]any
		if err := json.Unmarshal(raw, &object); err != nil {
			return err
		}
		s.values[name] = fmt.Sprint(object[member])
	}
	for name, expression := range r.Match {
		var all strings.Builder
		resp.Header.Write(&all)
		found := regexp.MustCompile(expression).FindStringSubmatch(all.String() + answer)
		if found == nil {
			return fmt.Errorf("%s is not in %s%s", expression, &all, answer)
		}
		s.values[name] = found[1]
	}
	return nil
}

func report(name string, err error) {
	if err != nil {
		fmt.Printf("not ok %s: %v\n", name, err)
		return
	}
	fmt.Println("ok", name)
}

func run() error {
	now := time.Now().Unix()
	s := session{
		endpoint: os.Getenv("DIS_ENDPOINT"),
		key:      key{os.Getenv("DIS_AK"), os.Getenv("DIS_SK"), os.Getenv("DIS_REGION")},
		values: map[string]string{
			"project": os.Getenv("DIS_PROJECT"), "project_name": os.Getenv("DIS_PROJECT_NAME"), "region": os.Getenv("DIS_REGION"),
			"domain": os.Getenv("DIS_DOMAIN"), "user": os.Getenv("DIS_USER"), "password": os.Getenv("DIS_PASSWORD"),
			"before": strconv.FormatInt(now-600, 10), "now": strconv.FormatInt(now+60, 10),
			"past": strconv.FormatInt((now-600)*1000, 10), "future": strconv.FormatInt((now+600)*1000, 10), // in ms
		},
	}
	raw, err := os.ReadFile("requests.yaml")
	if err != nil {
		return err
	}
	decoder := yaml.NewDecoder(bytes.NewReader(raw))
	decoder.KnownFields(true)
	if err := decoder.Decode(&s.script); err != nil {
		return err
	}
	roots := x509.NewCertPool()
	if ca, err := os.ReadFile(os.Getenv("DIS_CA")); err == nil {
		roots.AppendCertsFromPEM(ca)
	}
	s.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ExpectContinueTimeout: time.Second}}
	if s.Vectors != "" {
		report("signatures", s.compare())
	}
	for _, r := range s.Requests {
		report(r.Name, s.do(r))
	}
	return nil
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "replay:", err)
		os.Exit(1)
	}
}
