#!/usr/bin/env bash
# Benchmarks this program against its peers (JAX in one scan, PyTorch with lanes, Stable-Baselines3, CleanRL's loop, sbx,
# torchrl, cpprb, polars and pandas with TA-Lib, DuckDB, pyarrow): one table of medians and ratios, printed and written to docs/performance.md with the machine. About an hour,
# on an idle machine.
#
#     ./scripts/bench.sh
#     ./scripts/bench.sh --rows plain replay      # only these; printed, not written
#     ./scripts/bench.sh --quick                  # one short repeat of each, as a smoke test
#
# The peers come from PyPI into ~/.cache/dqn-trader (3 GB). None of them is part of the program or of its tests.
# shellcheck source=scripts/lib.sh
source "$(dirname "$0")/lib.sh"

# As in the tests: the wheel with stubs for its CUDA libraries; see tests/python/stub_cuda.py.
TORCH=(torch==2.11.0 nvidia-cuda-runtime==13.0.* nvidia-cuda-cupti==13.0.*)

install_peers() { # FOLDER
  [ ! -e "$1/complete" ] || return 0
  say "creating the peers' Python environment, once"
  rm -rf "$1"
  make_venv "$1"
  local pip=("$1/bin/pip" install -q --disable-pip-version-check --resume-retries 20)
  # torch and its dependents come last and without their dependencies, or pip would fetch the CUDA libraries or report
  # that they are missing.
  "${pip[@]}" -r benches/peers/speed-requirements.txt
  "${pip[@]}" --no-deps --only-binary=:all: "${TORCH[@]}"
  "${pip[@]}" --no-deps -r benches/peers/speed-requirements-bare.txt
  "$1/bin/python" tests/python/stub_cuda.py "$(echo "$1"/lib/python3*/site-packages)"
  "$1/bin/python" -c 'import cpprb, duckdb, polars, pyarrow, sbx, stable_baselines3, talib, torch, torchrl'
  touch "$1/complete"
}

main() {
  local peers speed
  ./scripts/setup.sh
  peers="$CACHE/speed-peers-$(cat benches/peers/speed-requirements*.txt scripts/bench.sh | sha256sum | cut -c 1-16)"
  locked install_peers "$peers"
  permit_mpirun
  cargo build --quiet --release --locked
  speed=$(cargo bench --quiet --locked --bench speed --no-run --message-format=json |
    sed -n 's/.*"name":"speed".*"executable":"\([^"]*\)".*/\1/p')
  [ -n "$speed" ] || die "cargo did not say where it put benches/speed"
  "$peers/bin/python" benches/compare.py --speed "$speed" "$@"
}

main "$@"
