#!/usr/bin/env bash
# The main use from a clean clone: sets up, then trains on the built-in sample market (synthetic prices) with one
# parameter server and five workers. Needs no cloud, no keys, and no network beyond the package registries.
#
#     ./scripts/demo.sh
# shellcheck source=scripts/lib.sh
source "$(dirname "$0")/lib.sh"

RANKS=6
OUTPUT=results/demo
FLAGS=(
  --mode parallel
  --stocks AAPL MSFT GOOGL AMZN META
  --data synthetic:sample
  --bar-minutes 5
  --episodes 4
  --eval-every 2
  --output "$OUTPUT"
)

main() {
  local start
  ./scripts/setup.sh
  permit_mpirun
  start=$SECONDS
  say "mpirun -n $RANKS target/release/dqn-trader ${FLAGS[*]}"
  mpirun -n "$RANKS" target/release/dqn-trader "${FLAGS[@]}" || die "the training run failed (exit code $?)"
  say "trained and evaluated in $(minutes_since "$start") on made-up prices; the results are in $OUTPUT:"
  find "$OUTPUT" -mindepth 1 -maxdepth 1 | LC_ALL=C sort | sed 's/^/   /'
}

main
