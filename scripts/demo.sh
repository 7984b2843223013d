#!/usr/bin/env bash
# The main use from a clean clone: sets up, then trains on three made-up markets with one parameter server and a worker per
# stock: one in which two stocks lead two others, one in which there is nothing to learn, and one that looks like a real
# one. Needs no cloud, no keys, and no network beyond the package registries.
#
#     ./scripts/demo.sh
# shellcheck source=scripts/lib.sh
source "$(dirname "$0")/lib.sh"

OUTPUT=results/demo

# What is planted is shown by the DQN alone, over years of hours, from which an edge can be told from luck.
PLANTED=(
  --stocks AAPL MSFT GOOGL AMZN
  --bar-minutes 60
  --start_date 2000-01-01 --end_date 2015-12-31
  --eval_start 2016-01-01 --eval_end 2019-12-31
  --set portfolio.meta_policy.enabled=false
  --episodes 3
)

train() { # NAME RANKS FLAG...
  local name=$1 ranks=$2
  shift 2
  set -- --mode parallel "$@" --output "$OUTPUT/$name"
  say "mpirun -n $ranks target/release/dqn-trader $*"
  mpirun -n "$ranks" target/release/dqn-trader "$@" >"$OUTPUT/$name.txt" || die "the training run failed (exit code $?)"
}

# One line per market, from its summary.json; and who was found to lead whom.
summarize() { # NAME...
  "$(find_python)" - "$OUTPUT" "$@" <<'PYTHON'
import csv, json, sys

output, names = sys.argv[1], sys.argv[2:]
row = "{:<13} {:>9} {:>9} {:>7} {:>7} {:>10}  {}".format
print(row("market", "return", "benchmark", "Sharpe", "trades", "of oracle", "verdict"))
for name in names:
    with open(f"{output}/{name}/summary.json") as file:
        run = json.load(file)
    roles = {one["role"]: one["metrics"] for one in run["everyone"]}
    best = roles.get("oracle", {}).get("total_reward", 0)
    part = f"{roles['dqn']['total_reward'] / best:.0%}" if best > 0 else "-"
    p = run["inference"]["p_value"]
    verdict = run["inference"]["verdict"].replace("_", " ")
    sharpe = run["eval"]["sharpe"]
    growth = lambda of: f"{100 * of['portfolio_return']:+.1f}%" if of["portfolio_return"] < 10 else f"{1 + of['portfolio_return']:,.0f}x"
    print(row(name, growth(run["eval"]), growth(run["benchmark"]), "-" if sharpe is None else f"{sharpe:.2f}",
              f"{run['eval']['trades']:,}", part, verdict if p is None else f"{verdict} (p = {p:.3f})"))
with open(f"{output}/lead_lag/relationships.csv") as file:
    edges = list(csv.DictReader(file))[:2]
print("\nlead_lag: AAPL leads MSFT, GOOGL leads AMZN. First rows of relationships.csv:")
for edge in edges:
    print(f"  {edge['stock']} follows {edge['peer']}")
print("\nof oracle: what the DQN earned of the reward of the best policy, which knows how the prices are made.\n"
      "random_walk: nothing can be foreseen; the DQN holds what rose in training and hardly trades.\n"
      "sample: what a real market may be like; the whole desk trades.")
PYTHON
}

main() {
  local start
  ./scripts/setup.sh
  permit_mpirun
  start=$SECONDS
  mkdir -p "$OUTPUT"
  train lead_lag 5 --data synthetic:lead_lag "${PLANTED[@]}"
  train random_walk 5 --data synthetic:random_walk "${PLANTED[@]}"
  train sample 6 --data synthetic:sample --stocks AAPL MSFT GOOGL AMZN META --bar-minutes 5 --episodes 4 --eval-every 2
  say "trained and evaluated in $(minutes_since "$start") on made-up prices; tables and report.html of each are in $OUTPUT:"
  summarize lead_lag random_walk sample
}

main
