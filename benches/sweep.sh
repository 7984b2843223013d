#!/usr/bin/env bash
# 1,000 parameter sets of RSI over 200,000 one-minute bars with costs, on 2 cores: by dqn-trader, and by vectorbt with each
# of its two engines. Three interleaved repeats; prints the medians and their ratio, and fails if trades differ or the ratio
# to the faster engine is below 5.
#
#     ./benches/sweep.sh            # works from a clean clone: about 10 minutes, mostly installing and building
#     RUNS=5 ./benches/sweep.sh
#
# vectorbt comes from PyPI (about 600 MB), with TA-Lib, into ~/.cache/dqn-trader. It is licensed under Apache 2.0 with the
# Commons Clause, and used only for comparison: no part of it is in the program.
# shellcheck source=scripts/lib.sh
source "$(dirname "$0")/../scripts/lib.sh"

RUNS=${RUNS:-3}
VECTORBT_VERSION=1.2.0
PEER_HOME="$CACHE/vectorbt-$VECTORBT_VERSION"

install_peer() {
  [ ! -e "$PEER_HOME/complete" ] || return 0
  say "making vectorbt's Python, once"
  rm -rf "$PEER_HOME"
  make_venv "$PEER_HOME"
  "$PEER_HOME/bin/pip" install -q --disable-pip-version-check --resume-retries 20 --only-binary=:all: \
    -r benches/peers/requirements.txt
  "$PEER_HOME/bin/python" -c 'import talib, vectorbt, vectorbt_rust'
  touch "$PEER_HOME/complete"
}

ours() { cargo bench --quiet --locked --bench sweep -- "$@"; }
theirs() { "$PEER_HOME/bin/python" benches/peers/vectorbt_rsi.py "$@"; }

main() {
  local work run engine status=0
  ./scripts/setup.sh
  locked install_peer
  work=$(mktemp -d)
  # shellcheck disable=SC2064 # expanded now, on purpose
  trap "rm -rf '$work'" EXIT
  ours prepare "$work"
  for run in $(seq "$RUNS"); do
    ours run "$work" "$work/ours.$run.json"
    for engine in numba rust; do
      theirs run "$work" "$work/$engine.$run.json" --engine "$engine"
    done
  done
  for engine in numba rust; do
    say "beside vectorbt's engine $engine"
    theirs compare --at-least 5 "$work"/ours.*.json -- "$work/$engine".*.json || status=1
  done
  exit $status
}

main
