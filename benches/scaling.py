"""Fits the cost model of docs/scaling.md to runs of this program with 1 to 12 ranks on one machine, and checks it on held-out
runs.

    python3 benches/scaling.py            # needs numpy, mpirun and a release build; about five minutes, on an idle machine

Time per bar of all stocks (all lanes, including the gradient step), in microseconds:

    fixed + per_stock * stocks + work * busiest + per_rank * ranks

`busiest` is the number of stocks that the busiest core processes sequentially.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
CORES = 2
LANES = 64
PEERS = 2
PERIOD = ["--start_date", "2019-11-01", "--end_date", "2019-12-31", "--eval_start", "2020-01-02", "--eval_end", "2020-01-10"]
# Stocks and ranks.
FITTED = [(12, ranks) for ranks in (1, 2, 3, 4, 5, 7, 9, 12)] + [(3, 1), (3, 3), (6, 1), (6, 4), (6, 7), (24, 1), (24, 3), (24, 6)]
HELD_OUT = [(18, 1), (18, 4), (18, 10), (24, 12)]
REPEATS = 2
NAMES = ["fixed", "per_stock", "work", "per_rank"]


def measured(stocks, ranks):
    """Microseconds per bar of all stocks: the median of several runs."""
    names = [f"S{i:02}" for i in range(stocks)]
    with tempfile.TemporaryDirectory() as work:
        command = [ROOT / "target/release/dqn-trader", "--quiet", "--output", work, "--stocks", *names, *PERIOD,
                   "--lanes", LANES, "--episodes", max(2, 30 // stocks), "--eval-every", 1000,
                   # The same work per stock for any number of stocks.
                   "--set", f"network.max_peers={PEERS}"]
        if ranks == 1:
            command += ["--mode", "single", "--threads", 1]
        else:
            command = ["mpirun", "--oversubscribe", "-n", ranks, *command, "--mode", "parallel"]
        found = []
        for _ in range(REPEATS):
            done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"error: {' '.join(map(str, command))}\n{done.stderr[-2000:]}")
            rate = json.loads((Path(work) / "summary.json").read_text())["run"]["env_steps_per_s"]
            found.append(1e6 * LANES * stocks / rate)
    return float(np.median(found))


def busiest(stocks, ranks):
    """Number of stocks of the busiest core. A single process has one thread here, and up to one worker per core has one each (Open MPI
    binds a single thread to a core); more workers have two by default, so that cores share the last stock's minibatch."""
    workers = max(1, ranks - 1)
    if workers <= CORES:
        return -(-stocks // workers)
    return -(-2 * stocks // CORES) / 2


def terms(stocks, ranks):
    return [1.0, stocks, busiest(stocks, ranks), 0.0 if ranks == 1 else ranks]


def main():
    if os.cpu_count() != CORES:
        sys.exit(f"error: the model is written for {CORES} cores; this machine has {os.cpu_count()}; use taskset")
    times = {point: measured(*point) for point in [*FITTED, *HELD_OUT]}
    rows = np.array([terms(*point) for point in FITTED])
    seen = np.array([times[point] for point in FITTED])
    # Relative errors, so that small runs have the same weight as large ones.
    found, *_ = np.linalg.lstsq(rows / seen[:, None], np.ones(len(seen)), rcond=None)
    print(", ".join(f"{name} {value:.0f} us" for name, value in zip(NAMES, found)))
    print("| stocks | ranks | measured us per bar | model | off by | |\n| --- | --- | --- | --- | --- | --- |")
    for point in [*FITTED, *HELD_OUT]:
        model = float(np.dot(terms(*point), found))
        use = "fitted" if point in FITTED else "held out"
        print(f"| {point[0]} | {point[1]} | {times[point]:,.0f} | {model:,.0f} | {model / times[point] - 1:+.0%} | {use} |")


if __name__ == "__main__":
    main()
