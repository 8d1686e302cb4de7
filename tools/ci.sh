#!/bin/sh
# Everything that must pass, cheapest first, each step timed. Run by `make ci`, which is what .ci/run runs.
set -eu
cd "$(dirname "$0")/.."
: "${CARGO_BUILD_JOBS:=2}"
export CARGO_BUILD_JOBS CI=true

step() {
    name=$1; shift
    started=$(date +%s)
    echo "== $name"
    "$@" || { echo "== $name FAILED after $(($(date +%s) - started)) s" >&2; exit 1; }
    echo "== $name: $(($(date +%s) - started)) s"
}

step build make -s build
step peers make -s peers
step lint make -s lint
step type make -s type
step imports .venv/bin/lint-imports
step test make -s test
step fuzz make -s fuzz S=10
step demo make -s demo ONCE=1
