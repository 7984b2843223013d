#!/usr/bin/env bash
# Makes a folder that runs wherever it is put: the program, libtorch and the libraries of Open MPI that this machine has,
# for machines of the same kind that lack the build's folders.
#
#     ./scripts/bundle.sh [FOLDER]           # default: target/bundle; 500 MB
#
# FOLDER/dqn-trader starts it. A machine with an Open MPI of its own (the same version) uses that, and needs it for
# --mode parallel; without one the bundled libraries serve a single process.
# shellcheck source=scripts/lib.sh
source "$(dirname "$0")/lib.sh"

RELEASE=target/release
FOLDER=${1:-target/bundle}

copy_libraries_of_mpi() { # FOLDER: what Open MPI and its parts are linked to, but for the C library
  local library
  mkdir -p "$1"
  ldd "$RELEASE/dqn-trader" | awk '$3 ~ /^\// { print $3 }' |
    grep -Ev '/(libc|libm|libdl|librt|libpthread|libgcc_s|libstdc\+\+|ld-linux[^/]*)\.so' |
    while read -r library; do cp -L "$library" "$1/"; done
}

write_starter() { # FILE
  cat >"$1" <<'EOF'
#!/bin/sh
# Starts the program of this bundle, with its libraries of Open MPI if this machine has none.
here=$(dirname "$(readlink -f "$0")")
if ! { /sbin/ldconfig -p || ldconfig -p; } 2>/dev/null | grep -q 'libmpi\.so\.40'; then
  LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$here/libexec/openmpi
  export LD_LIBRARY_PATH
fi
exec "$here/libexec/dqn-trader" "$@"
EOF
  chmod +x "$1"
}

main() {
  local library=$RELEASE/deps/libdqn_trader_torch.so parts
  [ -x "$RELEASE/dqn-trader" ] && [ -f "$library" ] || die "there is no build; run ./scripts/setup.sh first"
  # shellcheck disable=SC2016 # it stands there as it is
  case $(readelf -d "$library") in
  *'$ORIGIN/libtorch/lib'*) ;;
  *) die "$library has no relative run path; run cargo build --release" ;;
  esac
  [ ! -e "$FOLDER" ] || [ -e "$FOLDER/libexec/dqn-trader" ] || die "$FOLDER is something else; name a new folder"
  parts=$FOLDER.part
  rm -rf "$parts"
  mkdir -p "$parts/libexec/libtorch/lib"
  cp "$RELEASE/dqn-trader" "$library" "$parts/libexec/"
  cp -a .libtorch/lib/. "$parts/libexec/libtorch/lib"
  copy_libraries_of_mpi "$parts/libexec/openmpi"
  cp run_with_env.sh LICENSE-APACHE LICENSE-MIT README.md "$parts/"
  write_starter "$parts/dqn-trader"
  rm -rf "$FOLDER"
  mv "$parts" "$FOLDER"
  say "$FOLDER/dqn-trader, $(du -sh "$FOLDER" | cut -f1)"
}

main
