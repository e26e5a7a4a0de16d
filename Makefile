# What is not checked by one of these targets is not a rule.

VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
IMAGE    ?= disd:$(VERSION)
FUZZTIME ?= 20s# for each fuzz target
CYCLES   ?= 20# of kill -9 and restart
REF      ?= main# what bench-compare measures against

GOBUILD  = CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)"

# Not a dependency in go.mod: what the linter needs is no business of the server.
GOLANGCI = go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

# go test, which also notes in bin/ran what rules of the contract the tests proved.
PROVE = go run ./test/rules test

.PHONY: build test race rules mutants lint fuzz crash transfer transfer-dws carbon parquet sinks crash-transfer slow vuln e2e conformance bench bench-quick bench-short bench-compare image image-check clean stacks

build:
	$(GOBUILD) -o bin/disd ./cmd/disd

# Needs nothing but Go. The race detector also wants a C compiler.
test:
	$(PROVE) test -timeout 10m ./...

race:
	go test -race -timeout 18m ./...

# Which rules of docs/contract no test proved that ran and passed, in this checkout:
# those of test, and of the other targets that were made before.
rules: test
	go run ./test/rules report

# Faults that the tests must notice, one after the other in a copy of the tree. Takes
# half an hour and more; MUTANTS chooses some by a regular expression.
mutants:
	go run ./test/mutants '$(MUTANTS)'

lint:
	@unformatted=$$(gofmt -l cmd internal test); [ -z "$$unformatted" ] || { echo "run gofmt on:" $$unformatted; exit 1; }
	go vet ./...
	GOOS=darwin GOARCH=arm64 go vet ./cmd/... ./internal/...
	$(GOLANGCI) run ./...
	for module in test/e2e test/transfer test/clients/go-v3 test/clients/gophertelekomcloud; do (cd $$module && $(GOLANGCI) run ./...) || exit 1; done

# Every FuzzXxx there is, one after the other.
fuzz:
	@grep -ro '^func Fuzz[A-Za-z0-9_]*' --include='*_test.go' cmd internal test | sort | \
	while IFS=: read -r file target; do \
		go test -run="^$${target#func }\$$" -fuzz="^$${target#func }\$$" -fuzztime=$(FUZZTIME) ./$$(dirname $$file) || exit 1; \
	done

# kill -9 of the server under load, over and over.
crash:
	$(PROVE) crash -count=1 -timeout 0 ./test/crash -args -cycles $(CYCLES)

# Transfer tasks against an object store, in a module of its own: the store brings
# the SDKs of half a dozen services.
transfer: build
	DISD_BINARY=$(CURDIR)/bin/disd $(PROVE) transfer -C test/transfer -mod=mod -count=1 -timeout 10m ./...

# PostgreSQL and the server ended under load, over and over. Skipped where there is
# no PostgreSQL.
transfer-dws: build
	DISD_BINARY=$(CURDIR)/bin/disd $(PROVE) transfer-dws -count=1 -timeout 0 -v ./test/dws -args -cycles $(CYCLES)

# Tasks to real HDFS, HBase and OpenTSDB, which are ended like the server. Skipped with
# the reason where there is no JDK, Maven or Python.
sinks: build
	DISD_BINARY=$(CURDIR)/bin/disd $(PROVE) sinks -count=1 -timeout 0 -v ./test/sinks -args -servers -cycles $(CYCLES)

# Parquet files, filtered by PyArrow, Polars and DuckDB. Skipped with the reason where
# they cannot be installed; the first run downloads about 100 MB.
parquet:
	@python=$(CURDIR)/test/parquet/build/bin/python; \
	$$python -c 'import duckdb, polars, pyarrow' 2>/dev/null || \
	{ python3 -m venv test/parquet/build && $$python -m pip install -q -r test/parquet/requirements.txt; } >/dev/null 2>&1 || \
	{ echo "parquet: skipped: needs python3 with venv, and PyPI"; exit 0; }; \
	$(PROVE) parquet -count=1 -v ./test/parquet -args -python $$python

# CarbonData files, read by CarbonData's own SDK. Skipped with the reason where there
# is no JDK or Maven; the first run downloads about 160 MB.
carbon:
	@command -v java >/dev/null && command -v mvn >/dev/null || { echo "carbon: skipped: needs a JDK and Maven"; exit 0; }; \
	$(PROVE) carbon -count=1 -timeout 10m -v ./test/carbon -args -java && \
	go test -count=1 -run=none -fuzz=FuzzReader -fuzztime=$(FUZZTIME) -parallel=1 ./test/carbon -args -java

# kill -9 of a server that delivers, and a store that fails in every way.
crash-transfer: build
	DISD_BINARY=$(CURDIR)/bin/disd $(PROVE) crash-transfer -C test/transfer -mod=mod -count=1 -timeout 0 -run TestChaos -v . -args -cycles $(CYCLES)

# Known vulnerabilities in what the code calls. Skipped where their database cannot
# be reached.
vuln:
	@out=$$(go run golang.org/x/vuln/cmd/govulncheck@v1.9.0 ./... 2>&1) && echo "$$out" || { echo "$$out"; \
	case "$$out" in *"fetching vulnerabilities"*) echo "vuln: skipped: the database of vulnerabilities cannot be reached";; *) exit 1;; esac; }

# Uploads that are refused before their body was read, by HTTP stacks of other languages.
stacks:
	go test -count=1 ./test/stacks -args -stacks

# Limits of time that nobody wants to wait for in every test run.
slow:
	$(PROVE) slow-requests -count=1 -run TestSlowRequests ./test/security -args -slow
	$(PROVE) slow-scaling -count=1 -timeout 10m -v ./test/scaling -args -slow

# Published clients against the built server, in a module of its own: the Go SDK
# alone is 46 MB. Python is skipped where there is none.
e2e: build
	DISD_BINARY=$(CURDIR)/bin/disd $(PROVE) e2e -C test/e2e -mod=mod -count=1 -timeout 20m ./...

# Published clients, unmodified, in open mode and with signatures and TLS; writes the
# table of docs/compatibility.md.
conformance: build
	go run ./test/clients -disd bin/disd -write docs/compatibility.md

# Must run on a real disk: it goes into a new directory inside this one.
bench: build
	go run ./test/bench -json bin/bench.json

bench-quick: build
	go run ./test/bench -json bin/bench-quick.json -d 1s -fill 128 -retained 1024

bench-short: build
	go run ./test/bench -json bin/bench-short.json -d 300ms -fill 64 -retained 128

bench-compare: build
	rm -rf bin/ref && git worktree prune && git worktree add --detach bin/ref $(REF)
	cd bin/ref && $(subst $(VERSION),$(REF),$(GOBUILD)) -o ../disd-ref ./cmd/disd
	git worktree remove --force bin/ref
	go run ./test/bench -json bin/bench-compare.json -against bin/disd-ref

image:
	test/image/build.sh $(IMAGE) $(VERSION)

# Builds the image and runs it, also where there is no Docker engine.
image-check:
	test/image/check.sh

clean:
	rm -rf bin
