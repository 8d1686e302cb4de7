#!/bin/sh
# Fuzz each reader of untrusted octets for SECONDS: the programs engine/examples/fuzz_NAME.rs, which take the seconds and
# a seed, print what they did, and abort on a panic. Run by `make fuzz`; a failing input is printed with its seed.
set -eu
seconds=${1:-60}
seed=${2:-$(date +%s)}
cd "$(dirname "$0")/../engine"
found=0
for source in examples/fuzz_*.rs; do
    [ -e "$source" ] || continue
    found=1
    name=$(basename "$source" .rs)
    echo "$name: $seconds s, seed $seed"
    cargo run --locked --release -q --example "$name" -- "$seconds" "$seed"
done
[ "$found" = 1 ] || { echo "no fuzz programs in engine/examples" >&2; exit 1; }
