#!/bin/sh
# All tests. Those beside other servers wait more than they work, so they run next to the others; their report comes last.
set -u
cd "$(dirname "$0")/.."
(cd engine && cargo --locked test -q) || exit 1

report=$(mktemp)
trap 'rm -f "$report"' EXIT
.venv/bin/python -m pytest tests/interop --durations=15 >"$report" 2>&1 &
interop=$!
.venv/bin/python -m pytest --ignore=tests/interop --durations=15
others=$?
wait "$interop"
beside=$?
cat "$report"
[ "$others" -eq 0 ] && [ "$beside" -eq 0 ]
