#!/bin/bash
# Builds the image as a user would, on a machine without a Docker engine and
# without an image registry, and runs it: size, user, health check, records
# put and read back, the same after a restart.
#
# buildah builds the ordinary Dockerfile in a chroot. What the Dockerfile takes
# from a registry, the golang image, is stood in for by one made here of this
# machine's Go and a busybox. umoci unpacks the image and runc runs it, in a
# network of its own, on a read-only root.
set -euo pipefail
cd "$(dirname "$0")/../.."

skip() {
	echo "image: skipped: $1"
	exit 0
}
fail() {
	echo "image: FAIL: $1" >&2
	exit 1
}
for tool in buildah umoci runc busybox jq curl nsenter; do
	command -v "$tool" >/dev/null || skip "$tool is not installed"
done
[ "$(id -u)" = 0 ] || skip "needs root, to run a container"
[ "$(uname -s)" = Linux ] || skip "needs Linux"

work=$(mktemp -d)
id=disd-image-check-$$
clean() {
	runc delete --force "$id" >/dev/null 2>&1 || true
	rm -rf "$work"
}
trap clean EXIT

# A storage of its own: the stand-in must not be taken for the real thing later.
cat >"$work/storage.conf" <<END
[storage]
driver = "vfs"
graphroot = "$work/storage"
runroot = "$work/run"
END
export CONTAINERS_STORAGE_CONF=$work/storage.conf BUILDAH_ISOLATION=chroot

# build makes the image disd:check.
build() {
	mkdir -p "$work"/base/{bin,tmp,usr/local,root/.cache/go-build,modules}
	cp "$(command -v busybox)" "$work/base/bin/busybox"
	for applet in sh mkdir; do ln -s busybox "$work/base/bin/$applet"; done
	mkdir -p "$work/base/etc/ssl/certs"
	cp -L /etc/ssl/certs/ca-certificates.crt "$work/base/etc/ssl/certs/"
	cp -r "$(go env GOROOT)" "$work/base/usr/local/go"
	cat >"$work/base.dockerfile" <<-'END'
		FROM scratch
		COPY . /
		ENV PATH=/usr/local/go/bin:/bin GOTOOLCHAIN=local GOPROXY=file:///modules GOSUMDB=off
	END
	local golang
	golang=$(sed -n 's/^FROM .*\(docker.io[^ ]*\) AS build$/\1/p' Dockerfile)
	buildah build --quiet --tag "$golang" -f "$work/base.dockerfile" "$work/base" >/dev/null
	rm -r "$work/base"
	go mod download
	ENGINE=buildah test/image/build.sh disd:check "$version" --pull=never \
		--volume "$(go env GOMODCACHE)/cache/download:/modules:ro" \
		--volume "$(go env GOCACHE):/root/.cache/go-build"
}

# inspect checks what can be read off the image.
inspect() {
	local config=$work/config.json
	buildah inspect --type image disd:check | jq .Docker.config >"$config"
	expect() { [ "$(jq -c "$1" "$config")" = "$2" ] || fail "$1 is $(jq -c "$1" "$config"), want $2"; }
	expect .User '"65532:65532"'
	expect .Entrypoint '["/disd"]'
	expect .Cmd '["serve"]'
	expect '.ExposedPorts | keys' '["20004/tcp"]'
	expect '.Volumes | keys' '["/data"]'
	expect .Healthcheck.Test '["CMD","/disd","health"]'

	buildah push --quiet disd:check "oci:$work/oci:check"
	umoci unpack --image "$work/oci:check" "$work/bundle" >/dev/null 2>&1
	local size unpacked
	size=$(jq '[.layers[].size] | add' "$work"/oci/blobs/sha256/"$(jq -r '.manifests[0].digest[7:]' "$work/oci/index.json")")
	unpacked=$(du --summarize --apparent-size --bytes "$work/bundle/rootfs" | cut -f1)
	echo "image: $size bytes to pull, $unpacked unpacked"
	[ "$size" -le 15000000 ] || fail "larger than 15 MB"
	[ -s "$work/bundle/rootfs/etc/ssl/certs/ca-certificates.crt" ] || fail "no certificates to trust"
}

# start runs the image in the background, with the environment given, on a
# root that cannot be written and a volume that can.
start() {
	local data=$work/data
	if [ ! -d "$data" ]; then
		cp -rp "$work/bundle/rootfs/data" "$data" # as an engine makes a volume
	fi
	umoci raw runtime-config --image "$work/oci:check" --rootfs "$work/bundle/rootfs" "$work/bundle/config.json"
	jq --arg data "$data" '.process.env += $ARGS.positional
		| .process.terminal = false
		| .root.readonly = true
		| .mounts |= map(select(.destination != "/data"))
		| .mounts += [{destination: "/data", type: "bind", source: $data, options: ["rbind", "rw"]}]' \
		"$work/bundle/config.json" --args "$@" >"$work/edited.json"
	mv "$work/edited.json" "$work/bundle/config.json"
	runc run --detach --bundle "$work/bundle" "$id" </dev/null >"$work/log" 2>&1
}

state() { runc state "$id" | jq -r .status; }

# within LIMIT COMMAND... repeats the command until it succeeds.
within() {
	local limit=$(($(date +%s) + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		if [ "$(date +%s)" -ge "$limit" ]; then
			cat "$work/log" >&2
			fail "not within the time: $*"
		fi
		sleep 0.1
	done
}

stopped() { [ "$(state)" = stopped ]; }

stop() {
	runc kill "$id" TERM
	within 15 stopped
	runc delete "$id"
}

# api METHOD PATH [BODY] sends a request from inside the container's network.
api() {
	nsenter --net="/proc/$(runc state "$id" | jq .pid)/ns/net" \
		curl --silent --show-error --fail-with-body -X "$1" "http://127.0.0.1:20004/v2/p1$2" \
		-H 'X-Auth-Token: any' -H 'Content-Type: application/json' ${3:+--data "$3"}
}

# ready asks over TLS whether the server is, as a client that trusts its authority.
ready() {
	nsenter --net="/proc/$(runc state "$id" | jq .pid)/ns/net" \
		curl --silent --show-error --fail --cacert "$work/data/tls/ca.pem" https://127.0.0.1:20004/_disd/ready
}

# get prints the data of the stream's first record.
get() {
	local cursor
	cursor=$(api GET '/cursors?stream-name=s1&partition-id=0&cursor-type=TRIM_HORIZON' | jq -r .partition_cursor)
	api GET "/records?partition-cursor=$cursor" | jq -r '.records[0].data'
}

version=check-$RANDOM
build
inspect

start
within 15 stopped
grep -q auth.mode "$work/log" || fail "without an auth.mode it said: $(cat "$work/log")"
runc delete "$id"
echo "image: refuses to serve everybody unasked"

start DISD_AUTH_MODE=open
within 30 runc exec "$id" /disd health
uid=$(sed -n 's/^Uid:\t\([0-9]*\).*/\1/p' "/proc/$(runc state "$id" | jq .pid)/status")
[ "$uid" = 65532 ] || fail "runs as user $uid"
[ "$(runc exec "$id" /disd version)" = "disd $version" ] || fail "version is $(runc exec "$id" /disd version)"
echo "image: healthy as user $uid"

api POST /streams '{"stream_name":"s1","partition_count":1}'
api POST /records '{"stream_name":"s1","records":[{"data":"ZGF0YQ==","partition_key":"k"}]}' >/dev/null
[ "$(get)" = ZGF0YQ== ] || fail "read back $(get)"
stop
start DISD_AUTH_MODE=open
within 30 runc exec "$id" /disd health
[ "$(get)" = ZGF0YQ== ] || fail "read back $(get) after a restart"
stop

start DISD_AUTH_MODE=open DISD_TLS_MODE=auto
within 30 runc exec "$id" /disd health
ready >/dev/null
stop
cat >"$work/data/disd.yaml" <<END
auth: {mode: open}
tls: {mode: files, cert_file: /data/tls/server.pem, key_file: /data/tls/server-key.pem}
END
start DISD_CONFIG=/data/disd.yaml
within 30 runc exec "$id" /disd health
ready >/dev/null
stop
echo "image: healthy over TLS"
echo "image: ok"
