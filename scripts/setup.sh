#!/usr/bin/env bash
# Installs the dependencies of building and running, unless they exist: Open MPI, clang, libtorch; then builds a release.
#
#     ./scripts/setup.sh
#     ./scripts/setup.sh --no-build      # installs only
#
# Packages go through apt (as root or with sudo); libtorch goes to ~/.cache/dqn-trader and is linked as .libtorch in
# the clone, where .cargo/config.toml points the build at it. Afterwards `cargo build --release` works on its own.
# shellcheck source=scripts/lib.sh
source "$(dirname "$0")/lib.sh"

TORCH_VERSION=2.11.0
LIBTORCH_HOME="$CACHE/libtorch-$TORCH_VERSION"

check_machine() {
  if [ "$(uname -s)" != Linux ] || [ "$(uname -m)" != x86_64 ]; then
    die "$(uname -s) on $(uname -m) is not supported by this script, only Linux on x86_64;" \
      "install Rust, Open MPI, clang and libtorch $TORCH_VERSION by hand, set LIBTORCH and run cargo build --release"
  fi
  command -v python3 >/dev/null || install_packages python3
}

check_rust() {
  local wanted found
  wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
  command -v cargo >/dev/null || die "cargo is missing; install Rust $wanted or newer from https://rustup.rs"
  rustc --version >/dev/null 2>&1 || die "the Rust that rust-toolchain.toml names is missing; run: rustup toolchain install"
  found=$(rustc --version | cut -d' ' -f2)
  if [ "$(printf '%s\n' "$wanted" "${found%%-*}" | sort -V | head -n 1)" != "$wanted" ]; then
    die "Rust $found is too old, $wanted is needed; run: rustup update stable" \
      "(a Rust from apt: remove it and install from https://rustup.rs)"
  fi
}

# libtorch is extracted from the wheel of torch, because PyPI is the package registry that has it. Of the CUDA libraries
# it needs only the two small ones that libtorch_cpu.so links to; no GPU is needed to build or run.
install_libtorch() {
  local work="$LIBTORCH_HOME.part" python_version
  [ ! -f "$LIBTORCH_HOME/build-version" ] || return 0
  say "fetching libtorch $TORCH_VERSION (530 MB, once)"
  rm -rf "$work/venv" "$work/libtorch" # left by a killed run; its finished downloads are kept
  mkdir -p "$work/wheels"
  make_venv "$work/venv"
  # The wheels of all CPython versions contain the same libtorch. This machine's version is preferred, because the tests
  # can reuse it from pip's cache.
  python_version=$("$work/venv/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  case $python_version in 3.1[0-4]) ;; *) python_version=3.12 ;; esac
  "$work/venv/bin/pip" download -q --disable-pip-version-check --resume-retries 20 --no-deps --only-binary=:all: \
    --python-version "$python_version" --implementation cp \
    --platform manylinux_2_28_x86_64 --platform manylinux_2_25_x86_64 \
    --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
    -d "$work/wheels" "torch==$TORCH_VERSION" 'nvidia-cuda-runtime==13.0.*' 'nvidia-cuda-cupti==13.0.*'
  "$work/venv/bin/python" scripts/unpack_libtorch.py "$work/wheels" "$work/libtorch"
  printf '%s\n' "$TORCH_VERSION" >"$work/libtorch/build-version"
  rm -rf "$LIBTORCH_HOME"
  mv "$work/libtorch" "$LIBTORCH_HOME" # whole or not at all
  rm -rf "$work"
}

link_libtorch() {
  [ "$(readlink .libtorch || true)" != "$LIBTORCH_HOME" ] || return 0
  ln -sfn "$LIBTORCH_HOME" .libtorch
  # The library names the folder behind the link, and cargo does not see that it is another.
  touch build.rs src/rl/torch/build.rs
}

main() {
  local start=$SECONDS
  check_machine
  install_packages gcc g++ make pkg-config ca-certificates libopenmpi-dev openmpi-bin libclang-dev clang
  check_rust
  locked install_libtorch
  link_libtorch
  [ "${1:-}" != --no-build ] || return 0
  [ -x target/release/dqn-trader ] || say "building (the first build takes 12 minutes on two cores, later ones seconds)"
  cargo build --release --locked
  say "ready after $(minutes_since "$start"): target/release/dqn-trader"
}

main "$@"
