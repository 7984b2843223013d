#!/usr/bin/env bash
# Tests that a kill loses nothing: trains once without interruption, then repeatedly with SIGKILL at random times to a
# rank, the server or the launcher, resuming each time with another number of ranks, and compares the results byte by byte.
#
#     ./scripts/kill_test.sh [RUNS]            # default 20 runs, about ten seconds each
#     ./scripts/kill_test.sh --private [RUNS]  # every rank has a results folder of its own, as without a shared disk
# shellcheck source=scripts/lib.sh
source "$(dirname "$0")/lib.sh"

OWN_FOLDERS=''
if [ "${1:-}" = --private ]; then OWN_FOLDERS=yes && shift; fi
RUNS=${1:-20}
KILLS=4 # of each run
PROGRAM=$PWD/target/release/dqn-trader
STOCKS=(AAPL MSFT GOOGL)
COMPARED=(trained_model.pth policy.pt portfolio_ep6.csv portfolio_ep12.csv relationships.csv)
FLAGS=(
  --data synthetic:sample --stocks "${STOCKS[@]}" --bar-minutes 30
  --start_date 2018-01-02 --end_date 2018-12-31 --eval_start 2019-01-01 --eval_end 2019-03-31
  --episodes 12 --eval-every 6 --batch-size 64 --set learner.learning_starts=500
  --checkpoint-every 0 --quiet
)
scratch=''

# Reward and loss of every interval, without speeds.
learned() { sed -E 's/"env_steps_per_s":[^,]*,//' "$1/metrics.jsonl"; }

# Starts a run and kills it after a random time unless it ends before. Prints what was killed.
start_and_kill() { # OUTPUT
  local ranks=$((RANDOM % (${#STOCKS[@]} + 1) + 1)) pid victims victim
  if [ "$ranks" -eq 1 ]; then
    "$PROGRAM" "${FLAGS[@]}" --cache "$scratch/cache" --output "$1" --resume >/dev/null 2>&1 &
  else
    mpirun --quiet -n "$ranks" "$scratch/rank" "$1" "$PROGRAM" "${FLAGS[@]}" --mode parallel --cache "$scratch/cache" \
      --resume >/dev/null 2>&1 &
  fi
  pid=$!
  sleep "$((RANDOM % 3)).$((RANDOM % 10))"
  mapfile -t victims < <(echo "$pid"; pgrep -P "$pid" || true)
  victim=${victims[RANDOM % ${#victims[@]}]}
  if kill -KILL "$victim" 2>/dev/null; then
    printf ' %s/%s' "$([ "$victim" = "$pid" ] && echo launcher || echo rank)" "$ranks"
  fi
  wait "$pid" 2>/dev/null || true
  # Ranks whose launcher was killed end by themselves; wait for that before the next start.
  while pgrep -f -- "--output $1( |\$|[.]rank)" >/dev/null; do sleep 0.1; done
}

# What mpirun starts: the program, with the results folder of its rank.
write_rank_script() {
  cat >"$scratch/rank" <<EOF
#!/bin/sh
output=\$1
shift
[ -z "$OWN_FOLDERS" ] || [ "\$OMPI_COMM_WORLD_RANK" = 0 ] || output=\$output.rank\$OMPI_COMM_WORLD_RANK
exec "\$@" --output "\$output"
EOF
  chmod +x "$scratch/rank"
}

main() {
  local run file kill same=0
  [ -x "$PROGRAM" ] || die "target/release/dqn-trader is missing; run ./scripts/setup.sh first"
  permit_mpirun
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  write_rank_script
  "$PROGRAM" "${FLAGS[@]}" --cache "$scratch/cache" --output "$scratch/whole" >/dev/null
  for ((run = 1; run <= RUNS; run++)); do
    printf 'run %d: killed (what/of how many ranks):' "$run"
    for ((kill = 0; kill < KILLS; kill++)); do start_and_kill "$scratch/killed$run"; done
    "$PROGRAM" "${FLAGS[@]}" --cache "$scratch/cache" --output "$scratch/killed$run" --resume >/dev/null
    for file in "${COMPARED[@]}"; do
      cmp -s "$scratch/whole/$file" "$scratch/killed$run/$file" || die "run $run: $file differs"
    done
    [ "$(learned "$scratch/whole")" = "$(learned "$scratch/killed$run")" ] || die "run $run: metrics.jsonl differs"
    printf '; identical\n'
    same=$((same + 1))
    rm -rf "$scratch/killed$run"*
  done
  say "$same of $RUNS killed and resumed runs ended with the bytes of the undisturbed one"
}

main
