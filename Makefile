# The one entry for developers; each target is a line or three, longer logic stands in tools/.
BIN := .venv/bin
S ?= 60
N ?= 50000
ONCE ?=
PYTEST := $(BIN)/python -m pytest
CARGO := cargo --locked
export CARGO_BUILD_JOBS ?= 2

.PHONY: help build peers demo test lint type house interop differential rollover scenarios rust fuzz bench soak flood ci clean
help: ## List the targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

build: .venv/built ## Make .venv with the compiled engine and the developers' tools
.venv/built: pyproject.toml engine/Cargo.toml $(shell find engine/src engine/Cargo.lock -name "*.rs" -o -name Cargo.lock)
	tools/build.sh
	@touch $@

peers: ## Install the other DNS servers that tests compare with (Debian, root), none of them started
	@tools/install_peers.sh

demo: build ## A signed zone from a git repository, changed while you watch; ONCE=1 ends by itself
	@$(BIN)/python tools/demo.py $(if $(ONCE),--once)

test: build peers ## Everything: Rust, unit, property, scenarios, interop, house
	@tools/test.sh

lint: build ## rustfmt, clippy, ruff
	cd engine && cargo fmt --check && $(CARGO) clippy -q --all-targets --all-features -- -D warnings
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

type: build ## mypy strict and stubtest
	$(BIN)/mypy
	$(BIN)/stubtest engine._native --mypy-config-file pyproject.toml --allowlist tools/stubtest.allow

house: build ## Who may import whom, names of files, manuals, examples
	$(BIN)/lint-imports
	$(PYTEST) tests/house

interop: build peers ## Against real BIND, NSD, Knot DNS and unbound
	$(PYTEST) tests/interop

differential: build peers ## N questions (N=50000) of odd zones beside BIND, NSD and Knot DNS; docs/differences.md names what may differ
	$(BIN)/python tools/differential.py $(N)

rollover: build ## Lives of keys in a simulated world, N (N=50000) transitions, half of them strict, half liberal
	ROLLOVER_TRANSITIONS=$$(($(N) / 2)) $(PYTEST) -s tests/keys/test_world.py -k resolver

fuzz: build ## Fuzz the readers of untrusted octets for S seconds each (S=60)
	tools/fuzz.sh $(S)

bench: build peers ## Ratios to NSD, Knot DNS and a bare echo; writes docs/benchmarks.md
	$(BIN)/python tools/bench/run.py

soak: build peers ## Long runs: random kills, random zones, random queries for S seconds (S=3600 is a good night)
	SOAK=$(S) $(PYTEST) tests/interop -k "kill or differential or unbound or fleet"

flood: build peers ## Ten million random queries to a whole server: memory stays flat, no thread is lost
	$(BIN)/python tools/flood.py

ci: ## What must pass: everything above but bench, soak and flood
	CI=true tools/ci.sh
