# shellcheck shell=bash
# Shared by the scripts; each sources it first. Changes to the root of the clone.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# In a cron job or a container, cargo may not be in PATH.
command -v cargo >/dev/null || PATH="$PATH:$HOME/.cargo/bin"

# rust-toolchain.toml pins a version. If rustup cannot fetch it but has the same version as the default under another
# name, such as stable, that one is used.
use_default_toolchain() {
  local wanted toolchain
  wanted=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
  if ! command -v rustup >/dev/null || cargo --version >/dev/null 2>&1; then return; fi
  toolchain=$(rustup default 2>/dev/null | cut -d' ' -f1) || return 0
  case $(rustc "+$toolchain" --version 2>/dev/null) in
    "rustc $wanted "*) export RUSTUP_TOOLCHAIN=$toolchain ;;
  esac
}
use_default_toolchain

CACHE="${XDG_CACHE_HOME:-$HOME/.cache}/dqn-trader"

say() { printf '%s\n' "== $*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 2; }

# Runs a command under a lock that all copies of these scripts share, per machine and user. The lock ends with the
# process; the command does not inherit it.
locked() {
  mkdir -p "$CACHE"
  (
    flock -n 9 || { say "waiting for another installation to finish"; flock 9; }
    "$@" 9>&-
  ) 9>"$CACHE/lock"
}

install_packages() { # PACKAGE...: those of them that are missing, in one apt call
  local installed missing=() package root=()
  command -v dpkg-query >/dev/null || die "not a Debian or Ubuntu system: install the equivalents of these by hand: $*"
  installed=$(dpkg-query -W -f='${Package} ${db:Status-Status}\n' "$@" 2>/dev/null || true)
  for package in "$@"; do
    grep -qx "$package installed" <<<"$installed" || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || die "neither root nor sudo: ask an administrator to install: ${missing[*]}"
    root=(sudo)
  fi
  say "installing ${missing[*]}"
  local apt=("${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=600)
  "${apt[@]}" update
  "${apt[@]}" install -y --no-install-recommends "${missing[@]}" >/dev/null
}

# Prints a Python that can create virtual environments. On Debian, ensurepip is in a separate package.
find_python() {
  local python
  for python in python3 /usr/bin/python3; do
    if "$python" -c 'import ensurepip, venv' 2>/dev/null; then
      printf '%s\n' "$python"
      return
    fi
  done
  install_packages python3 python3-venv >&2
  /usr/bin/python3 -c 'import ensurepip, venv' || die "python3 cannot create a virtual environment"
  printf '%s\n' /usr/bin/python3
}

make_venv() { # FOLDER: with a pip that resumes a broken download
  "$(find_python)" -m venv "$1"
  "$1/bin/pip" install -q --disable-pip-version-check 'pip>=25.1'
}

# Open MPI requires two permissions: more ranks than cores, and ranks run by root (as in a container).
permit_mpirun() {
  export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
}

minutes_since() { # START: SECONDS at the start
  local seconds=$((SECONDS - $1))
  printf '%d min %02d s' $((seconds / 60)) $((seconds % 60))
}
