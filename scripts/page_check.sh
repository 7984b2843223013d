#!/usr/bin/env bash
# Checks pages with axe-core in Chromium: all its rules, in light and dark, 1280 and 390 pixels wide, every section open.
# Nothing may be wider than the screen, and no two texts of a figure may overlap. Exit code 1 if something is found.
#
#     ./scripts/page_check.sh                    # one page of each kind, made for it on small made-up markets: minutes
#     ./scripts/page_check.sh PAGE...            # these: files, or addresses such as that of a live page
#     SHOTS=DIR ./scripts/page_check.sh PAGE...  # and pictures of them
#
# Needs Node.js, Chromium (CHROMIUM=PATH, if it is not in PATH), and the program as built by setup.sh.
# shellcheck source=scripts/lib.sh
source "$(dirname "$0")/lib.sh"

AXE=axe-core@4.14.1
DRIVER=puppeteer-core@24.43.1

find_chromium() {
  local name
  for name in "${CHROMIUM:-chromium}" chromium-browser google-chrome; do
    if command -v "$name"; then return; fi
  done
  die "no Chromium: install it, or name it with CHROMIUM=PATH"
}

install_tools() { # FOLDER
  [ ! -e "$1/complete" ] || return 0
  say "fetching $AXE and $DRIVER"
  rm -rf "$1"
  mkdir -p "$1"
  npm install --prefix "$1" --silent --no-audit --no-fund --ignore-scripts "$AXE" "$DRIVER"
  touch "$1/complete"
}

trader() { # LOG ARG...: the program, which says only what went wrong
  local log=$MADE/$1.txt
  shift
  "$PROGRAM" "$@" >"$log" 2>&1 || { cat "$log" >&2; die "dqn-trader $1 failed"; }
}

# Small, but with all sections: several stocks and experts, months, trades, a run before it.
make_pages() {
  local own=(--cache "$MADE/cache" --ledger none)
  local market=(--stocks AAPL MSFT GOOGL --bar-minutes 60)
  local data=(--data synthetic:sample "${market[@]}")
  local run=(--mode single "${data[@]}" --start_date 2018-01-01 --end_date 2018-12-31 --eval_start 2019-01-01 --eval_end 2019-06-30)
  local later=(--model "$MADE/train" --eval_start 2019-07-01 --eval_end 2019-12-31)
  trader first "${run[@]}" --episodes 1 --output "$MADE/first" "${own[@]}"
  trader before "${run[@]}" --episodes 1 --output "$MADE/train" "${own[@]}"
  trader train "${run[@]}" --episodes 2 --seed 8 --output "$MADE/train" "${own[@]}"
  trader evaluate evaluate "${later[@]}" --output "$MADE/evaluate" "${own[@]}"
  trader strategies strategies run "${data[@]}" --ensemble inverse_variance --output "$MADE/strategies" "${own[@]}"
  cat >"$MADE/agents.json" <<JSON
{ "date_range": { "init_date": "2019-07-01", "end_date": "2019-12-31" }, "stocks": ["AAPL", "MSFT", "GOOGL"],
  "data": "synthetic:sample", "bar_minutes": 60, "log_config": { "log_path": "$MADE/agents" },
  "agent_config": { "initial_cash": 100000 },
  "models": [ { "signature": "dqn", "kind": "dqn", "results": "$MADE/train" },
              { "signature": "held", "kind": "strategy", "strategy": "Buy and Hold" } ] }
JSON
  trader agents agents --config "$MADE/agents.json" "${own[@]}"
  trader study study "${data[@]}" --start_date 2017-01-01 --eval_end 2018-12-31 --train-months 12 --test-months 6 --seeds 2 \
    --episodes 1 --output "$MADE/study" "${own[@]}"
  trader compare compare "$MADE/first" "$MADE/train" --output "$MADE/compare"
  trader synth synth sample --data "$MADE/bars" "${market[@]}" --start_date 2019-01-01 --end_date 2019-12-31
  TRADE=(trade --model "$MADE/train" --data "$MADE/bars" --start 2019-10-01 --output "$MADE/trade" "${own[@]}")
  trader trade "${TRADE[@]}" --once
  PAGES=("$MADE"/{train,evaluate,strategies,agents,study,compare,trade}/report.html)
}

# The live page of the account that make_pages left, for as long as this script runs.
serve_page() {
  local live=
  "$PROGRAM" "${TRADE[@]}" --serve 0 >/dev/null 2>"$MADE/live.txt" &
  SERVER=$!
  for _ in $(seq 300); do
    kill -0 "$SERVER" 2>/dev/null || { cat "$MADE/live.txt" >&2; die "dqn-trader trade --serve failed"; }
    live=$(sed -n 's/.*is shown at //p' "$MADE/live.txt")
    [ -z "$live" ] || break
    sleep 0.1
  done
  [ -n "$live" ] || die "dqn-trader trade --serve shows no page"
  PAGES+=("$live")
}

clean_up() {
  if [ -n "$SERVER" ]; then
    kill "$SERVER" 2>/dev/null || true
    wait "$SERVER" 2>/dev/null || true
  fi
  rm -rf "$MADE"
}

main() {
  local chromium tools start=$SECONDS
  command -v node >/dev/null || die "no Node.js"
  command -v npm >/dev/null || die "no npm"
  chromium=$(find_chromium)
  tools="$CACHE/page-check-$AXE-$DRIVER"
  locked install_tools "$tools"
  PAGES=("$@")
  SERVER=
  if [ $# -eq 0 ]; then
    PROGRAM=target/release/dqn-trader
    [ -x "$PROGRAM" ] || die "no $PROGRAM; run ./scripts/setup.sh"
    MADE=$(mktemp -d)
    trap clean_up EXIT
    say "making a page of each kind"
    make_pages
    serve_page
  fi
  NODE_PATH="$tools/node_modules" CHROMIUM="$chromium" node scripts/page_check.cjs "${PAGES[@]}" || exit 1
  say "pages checked: ${#PAGES[@]}; nothing was found, after $(minutes_since "$start")"
}

main "$@"
