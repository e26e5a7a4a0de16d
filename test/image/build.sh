#!/bin/bash
# Builds the image with whatever is there, or with ENGINE if that is set.
#
#   build.sh NAME VERSION [flags of the build command]
set -euo pipefail
cd "$(dirname "$0")/../.."
name=$1 version=$2
shift 2

# The docker command is often there without an engine behind it.
if [ -z "${ENGINE-}" ]; then
	if docker info >/dev/null 2>&1; then
		ENGINE=docker
	elif command -v podman >/dev/null; then
		ENGINE=podman
	else
		ENGINE=buildah
	fi
fi
command -v "$ENGINE" >/dev/null || {
	echo "image: needs a Docker engine, podman or buildah" >&2
	exit 1
}
# The OCI format, the default of the other two, has no health check.
[ "$ENGINE" = docker ] || set -- --format docker "$@"
"$ENGINE" build --build-arg "VERSION=$version" --tag "$name" "$@" .
