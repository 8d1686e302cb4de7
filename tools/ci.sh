#!/bin/sh
# Everything that must pass, each step timed; all are run, and those that failed are named at the end. Run by `make ci`,
# which is what .ci/run runs.
set -eu
cd "$(dirname "$0")/.."
: "${CARGO_BUILD_JOBS:=2}"
export CARGO_BUILD_JOBS CI=true

failed=
began=$(date +%s)

step() {
    name=$1
    shift
    started=$(date +%s)
    echo "== $name"
    "$@" || failed="$failed $name"
    echo "== $name: $(($(date +%s) - started)) s"
}

make -s build
step peers make -s peers
step lint make -s lint
step type make -s type
step imports .venv/bin/lint-imports
step test make -s test
step fuzz make -s fuzz S=10
step demo make -s demo ONCE=1
echo "== all: $(($(date +%s) - began)) s"
[ -z "$failed" ] || { echo "== FAILED:$failed" >&2; exit 1; }
