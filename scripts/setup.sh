#!/usr/bin/env bash
# Installs what building and running needs, and nothing twice: Open MPI, clang, libtorch, one release build.
# Packages go through apt; libtorch goes to the user's cache folder and is linked as .libtorch in the clone.
set -euo pipefail
cd "$(dirname "$0")/.."

TORCH_VERSION=2.11.0
CACHE="${XDG_CACHE_HOME:-$HOME/.cache}/dqn-trader"

say() { printf '%s\n' "== $*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 2; }

install_packages() { # PACKAGE...: those of them that are missing, in one apt call
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return
  command -v apt-get >/dev/null || die "please install these packages by hand: ${missing[*]}"
  local root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || die "not root and no sudo: please install these packages by hand: ${missing[*]}"
    root=(sudo)
  fi
  say "installing ${missing[*]}"
  "${root[@]}" apt-get update -qq
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# libtorch comes out of the PyPI wheel of torch, the only package registry that has it. Of the CUDA libraries it
# needs just the two small ones that libtorch_cpu.so names; no GPU is needed to build or run.
install_libtorch() {
  local home="$CACHE/libtorch-$TORCH_VERSION"
  if [ ! -f "$home/build-version" ]; then
    say "fetching libtorch $TORCH_VERSION (530 MB, once)"
    command -v python3 >/dev/null || die "python3 is missing; install it and run this script again"
    mkdir -p "$CACHE"
    local work
    work=$(mktemp -d "$CACHE/libtorch.XXXXXX")
    # shellcheck disable=SC2064
    trap "rm -rf '$work'" EXIT
    python3 -m venv "$work/venv"
    "$work/venv/bin/pip" download -q --disable-pip-version-check --no-deps --only-binary=:all: -d "$work/wheels" \
      --python-version 3.11 --implementation cp --platform manylinux_2_28_x86_64 --platform manylinux2014_x86_64 \
      --platform manylinux_2_25_x86_64 --platform manylinux_2_17_x86_64 \
      "torch==$TORCH_VERSION" 'nvidia-cuda-runtime==13.0.*' 'nvidia-cuda-cupti==13.0.*'
    python3 - "$work" <<'PYTHON'
import pathlib, sys, zipfile
work = pathlib.Path(sys.argv[1])
home = work / "home"
lib = home / "lib"
lib.mkdir(parents=True)
WANTED = {"libtorch_cpu.so", "libc10.so", "libcudart.so.13", "libcupti.so.13"}
for wheel in (work / "wheels").glob("*.whl"):
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            base = name.rsplit("/", 1)[-1]
            if name.startswith("torch/include/"):
                target = home / name.removeprefix("torch/")
            elif base in WANTED or base.startswith("libgomp") and name.startswith("torch/"):
                target = lib / base
            else:
                continue
            if name.endswith("/"):
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(name) as source, open(target, "wb") as sink:
                while block := source.read(1 << 20):
                    sink.write(block)
(lib / "libtorch.so").symlink_to("libtorch_cpu.so")
PYTHON
    printf '%s\n' "$TORCH_VERSION" > "$work/home/build-version"
    rm -rf "$home"
    mv "$work/home" "$home"
    rm -rf "$work"
    trap - EXIT
  fi
  ln -sfn "$home" .libtorch
}

command -v cargo >/dev/null || die "cargo is missing; install Rust 1.88 or newer, then run this script again"
install_packages gcc g++ make pkg-config python3-venv libopenmpi-dev openmpi-bin libclang-dev clang
install_libtorch
say "building (the first build takes about 12 minutes on two cores, a later one seconds)"
cargo build --release --locked
