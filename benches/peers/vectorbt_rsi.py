"""The sweep of benches/sweep.rs by vectorbt, and the comparison of both results.

    vectorbt_rsi.py run WORK OUT [--engine ENGINE] [--columns N] [--order C|F]
    vectorbt_rsi.py compare OURS... -- PEERS...

`run` uses vectorbt in the fastest way: the RSI by TA-Lib once per window, the signals of many sets as columns, one call of
`Portfolio.from_signals` for as many columns as fit in memory, and two processes, one per core. Imports, reading and
compilation (a warm-up in each process) are not timed.
"""

import argparse
import json
import multiprocessing
import sys
import time
from pathlib import Path

import numpy as np

PROCESSES = 2
YEAR = 252


class Market:
    """The data written by `sweep prepare`."""

    def __init__(self, work):
        columns = np.fromfile(work / "bars.f64", dtype="<f8").reshape(3, -1)
        self.open, self.close = columns[1].copy(), columns[2].copy()
        plan = json.loads((work / "plan.json").read_text())
        self.sets = [tuple(one) for one in plan["sets"]]
        self.day_ends = np.array(plan["day_ends"]) - 1
        self.cash, self.fee, self.slippage = plan["cash"], plan["fee"], plan["slippage"]
        self.detailed = plan["detailed"]


def chunk(numbers):
    """Signals, portfolio and figures of some sets; exactly this is timed."""
    import talib
    import vectorbt as vbt

    market, args = STATE
    rows, shape = len(market.close), (len(market.close), len(numbers))
    entries = np.zeros(shape, dtype=bool, order=args.order)
    exits = np.zeros(shape, dtype=bool, order=args.order)
    for column, number in enumerate(numbers):
        window, oversold, overbought = market.sets[number]
        if window not in INDEX:
            INDEX[window] = talib.RSI(market.close, timeperiod=int(window))
        # Decided at a close, filled at the next open.
        before = INDEX[window][:-1]
        np.less(before, oversold, out=entries[1:, column])
        np.greater(before, overbought, out=exits[1:, column])
    portfolio = vbt.Portfolio.from_signals(
        market.close[:, None],
        entries,
        exits,
        price=market.open[:, None],
        direction="longonly",
        fees=market.fee,
        slippage=market.slippage,
        init_cash=market.cash,
        freq="1min",
        # An upper bound for all sets; an order record is 56 bytes.
        max_orders=rows * len(numbers) // 10,
        engine=args.engine,
    )
    value = portfolio.value().values
    daily = value[np.concatenate(([0], market.day_ends))]
    returns = daily[1:] / daily[:-1] - 1
    with np.errstate(invalid="ignore"):  # sets that never trade
        sharpe = returns.mean(axis=0) / returns.std(axis=0, ddof=1) * np.sqrt(YEAR)
    orders = portfolio.orders.count().values
    result = [
        dict(set=n, total_return=float(r), trades=int(t), sharpe=float(s))
        for n, r, t, s in zip(numbers, value[-1] / market.cash - 1, orders, sharpe)
    ]
    return result, orders_of(portfolio, numbers, market.detailed)


def orders_of(portfolio, numbers, detailed):
    """Row, shares (negative if sold) and price of each order of the sets whose trades are compared."""
    found = {}
    for column, number in enumerate(numbers):
        if number in detailed:
            records = portfolio.orders.values
            records = records[records["col"] == column]
            shares = np.where(records["side"] == 0, records["size"], -records["size"])
            found[number] = [records["idx"].tolist(), shares.tolist(), records["price"].tolist()]
    return found


def begin(work, args):
    global STATE, INDEX
    STATE, INDEX = (Market(work), args), {}


def warm(_):
    chunk([0, len(STATE[0].sets) - 1])
    INDEX.clear()
    # Long enough for the other process to get a task, too.
    time.sleep(1)


def run(args):
    import vectorbt as vbt

    work = Path(args.work)
    count = len(Market(work).sets)
    chunks = [list(range(at, min(at + args.columns, count))) for at in range(0, count, args.columns)]
    with multiprocessing.get_context("spawn").Pool(PROCESSES, begin, (work, args)) as pool:
        pool.map(warm, range(PROCESSES), chunksize=1)
        started = time.perf_counter()
        parts = pool.map(chunk, chunks, chunksize=1)
        seconds = time.perf_counter() - started
    orders = {str(number): of for _, found in parts for number, of in found.items()}
    sets = [one for found, _ in parts for one in found]
    name = f"vectorbt {vbt.__version__}, engine {args.engine}"
    Path(args.out).write_text(json.dumps(dict(name=name, seconds=seconds, sets=sets, orders=orders)))
    print(f"{name}: {seconds:.2f} s")


def compare(args):
    split = args.files.index("--")
    files = args.files[:split], args.files[split + 1 :]
    ours, peers = ([json.loads(Path(one).read_text()) for one in some] for some in files)
    for other in ours + peers:
        check(ours[0], other)
    medians = [np.median([one["seconds"] for one in some]) for some in (ours, peers)]
    trades = sum(one["trades"] for one in ours[0]["sets"])
    sets, detailed = len(ours[0]["sets"]), len(ours[0]["orders"])
    for some, median in zip((ours, peers), medians):
        times = ", ".join(f"{one['seconds']:.2f}" for one in some)
        print(f"{some[0]['name']}: median {median:.2f} s of {times}")
    print(f"equal: {trades:,} trades of {sets:,} sets by count, return and Sharpe ratio; {detailed} sets trade by trade")
    ratio = medians[1] / medians[0]
    print(f"ratio: {ratio:.1f}")
    if ratio < args.at_least:
        sys.exit(f"error: less than {args.at_least} times as fast")


def check(ours, other):
    def same(what, left, right, tolerance):
        left, right = np.asarray(left, float), np.asarray(right, float)
        if left.shape != right.shape or not np.allclose(left, right, rtol=tolerance, atol=1e-9, equal_nan=True):
            sys.exit(f"error: {what} of {ours['name']} and {other['name']} differ")

    for field, tolerance in (("set", 0), ("trades", 0), ("total_return", 1e-9), ("sharpe", 1e-6)):
        same(field, *([one[field] for one in of["sets"]] for of in (ours, other)), tolerance)
    if ours["orders"].keys() != other["orders"].keys():
        sys.exit("error: other sets were looked at")
    for number, (rows, shares, prices) in ours["orders"].items():
        theirs = other["orders"][number]
        same(f"rows of set {number}", rows, theirs[0], 0)
        same(f"shares of set {number}", shares, theirs[1], 1e-9)
        same(f"prices of set {number}", prices, theirs[2], 1e-12)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("run")
    one.add_argument("work")
    one.add_argument("out")
    one.add_argument("--engine", default="auto", choices=["auto", "numba", "rust"])
    one.add_argument("--columns", type=int, default=5)
    one.add_argument("--order", default="C", choices=["C", "F"])
    one.set_defaults(work_on=run)
    two = commands.add_parser("compare")
    two.add_argument("--at-least", type=float, default=0)
    two.add_argument("files", nargs=argparse.REMAINDER)
    two.set_defaults(work_on=compare)
    args = parser.parse_args()
    args.work_on(args)


if __name__ == "__main__":
    main()
