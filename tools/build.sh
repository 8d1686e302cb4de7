#!/bin/sh
# Make .venv, the developers' tools in it, and the engine compiled for it. Run by `make build`.
set -eu
cd "$(dirname "$0")/.."
[ -x .venv/bin/python ] || python3 -m venv .venv
.venv/bin/python -m pip install -q --disable-pip-version-check "maturin>=1.9,<2"
. .venv/bin/activate
PIP_QUIET=1 PIP_DISABLE_PIP_VERSION_CHECK=1 maturin develop --release -q --extras dev
