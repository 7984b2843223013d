#!/usr/bin/env bash
# Builds the program without MPI and libtorch, as for a machine that has neither, and tests what it can do: training in
# one process, bars and strategies. The dependencies are shared with the full build, which is restored at the end: the
# package of libtorch is named beside the program, though nothing of it is linked, since cargo would otherwise compile
# what both depend on a second time, with fewer features.
#
#     ./scripts/bare.sh
# shellcheck source=scripts/lib.sh
source "$(dirname "$0")/lib.sh"

scratch=''

finish() {
  if [ -n "$scratch" ]; then rm -rf "$scratch"; fi
  scratch=''
}

refused() { # WORDS COMMAND...: it must end with code 2 and one line that contains the words
  local words=$1 said status=0
  shift
  said=$("$@" 2>&1) || status=$?
  if [ $status -ne 2 ] || [ "$(wc -l <<<"$said")" -ne 1 ] || ! grep -q "$words" <<<"$said"; then
    die "$* should be refused in a line with '$words', but ended with $status: $said"
  fi
}

try() { # PROGRAM
  local said file
  local short=(--data synthetic:sample --bar-minutes 30 --start_date 2018-01-02 --end_date 2018-04-30
    --eval_start 2018-05-01 --eval_end 2018-06-15 --set features.warmup_bars=300 --episodes 1)
  "$1" --version
  said=$("$1" --mode single "${short[@]}" --output trained)
  grep -q 'policy.pt is not written' <<<"$said" || die 'nothing is said about policy.pt'
  for file in trained_model.pth relationships.csv; do [ -s "trained/$file" ] || die "no $file"; done
  [ ! -e trained/policy.pt ] || die 'a policy.pt without libtorch'
  "$1" evaluate --model trained --output evaluated --quiet >/dev/null
  "$1" synth sample --data bars --bar-minutes 30 --start_date 2018-01-02 --end_date 2018-02-28 --quiet >/dev/null
  "$1" data check --data bars --quiet >/dev/null
  "$1" strategies run --data bars --strategies RSI --start_date 2018-01-02 --end_date 2018-02-28 --output strategies \
    --quiet >/dev/null
  refused 'without libtorch' "$1" "${short[@]}" --device cuda:0
  refused 'without libtorch' "$1" "${short[@]}" --set network.engine=torch
  refused 'without MPI' "$1" "${short[@]}" --mode parallel
}

main() {
  local linked
  trap finish EXIT
  scratch=$(mktemp -d)
  cargo build --release --locked --no-default-features -p dqn-trader -p dqn-trader-torch
  cp target/release/dqn-trader "$scratch/"
  linked=$(ldd "$scratch/dqn-trader")
  if grep -E 'libmpi|libtorch|libc10' <<<"$linked"; then die 'the bare program is linked to what it should not need'; fi
  export XDG_CACHE_HOME="$scratch/cache"
  (cd "$scratch" && try ./dqn-trader)
  cargo build --release --locked
  say 'the program without MPI and libtorch trains, evaluates, and runs strategies'
}

main "$@"
