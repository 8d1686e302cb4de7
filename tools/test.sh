#!/bin/sh
# All tests, in three lanes: those beside other servers wait more than they work, so two lanes of them run next to the
# others. Each lane's report comes whole, one after another.
set -u
cd "$(dirname "$0")/.."
(cd engine && cargo --locked test -q) || exit 1

reports=$(mktemp -d)
trap 'rm -rf "$reports"' EXIT
.venv/bin/python -m pytest tests/interop/test_[a-n]*.py --durations=15 >"$reports/early" 2>&1 &
early=$!
.venv/bin/python -m pytest tests/interop/test_[!a-n]*.py --durations=15 >"$reports/late" 2>&1 &
late=$!
.venv/bin/python -m pytest --ignore=tests/interop --durations=15
result=$?
wait "$early" || result=1
wait "$late" || result=1
cat "$reports/early" "$reports/late"
exit "$result"
