#!/bin/sh
# Fuzz each target of the engine for SECONDS, on as many cores as `make` may use; run by `make fuzz`.
# The flags are cargo-fuzz's own, so that neither it nor a nightly compiler has to be there (with them,
# `cargo +nightly fuzz run TARGET` does the same and adds the address sanitizer). What it finds is in engine/fuzz/artifacts.
set -eu
seconds=${1:-60}
cd "$(dirname "$0")/../engine/fuzz"
host=$(rustc -vV | sed -n 's/^host: //p')
# With a target named, flags are for the target alone and not for build scripts.
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Ccodegen-units=1 \
-Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"
cargo build -q --release --locked --target "$host"
mkdir -p corpus/datagram
(unset RUSTFLAGS && cd .. && cargo run -q --locked --example seeds -- fuzz/corpus/datagram)
for source in fuzz_targets/*.rs; do
    target=$(basename "$source" .rs)
    mkdir -p "corpus/$target" "artifacts/$target"
    echo "fuzz $target for $seconds s"
    log="artifacts/$target.log"
    if "target/$host/release/$target" -max_total_time="$seconds" -max_len=4096 -timeout=10 -rss_limit_mb=4096 \
        -artifact_prefix="artifacts/$target/" -print_final_stats=1 "corpus/$target" >"$log" 2>&1; then
        grep -E "stat::number_of_executed_units" "$log" || true
    else
        tail -n 40 "$log" >&2
        echo "fuzz $target: FAILED, see engine/fuzz/artifacts" >&2
        exit 1
    fi
done
