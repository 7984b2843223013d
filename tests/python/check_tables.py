"""Opens tables as a notebook does, with one line each: check_tables.py RESULTS STRATEGIES

Exits with 0 if all times are of one type, also over a change of the clock.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.csv


def main() -> int:
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    results, strategies = Path(sys.argv[1]), Path(sys.argv[2])
    portfolio = next(results.glob("portfolio_ep*.csv"))
    for folder in (results, strategies):
        trades = pd.read_csv(folder / "trades.csv", parse_dates=["entered", "left"])
        assert len(trades) > 0 and str(trades.entered.dt.tz) == "UTC", trades.dtypes
    tables = [portfolio, results / "allocations.csv", strategies / "signals.csv"]
    for table in tables:
        times = pd.read_csv(table, parse_dates=["timestamp"]).timestamp
        assert str(times.dt.tz) == "UTC", f"{table}: {times.dtype}"
        kind = str(pyarrow.csv.read_csv(table)["timestamp"].type)
        assert kind.endswith("tz=UTC]"), f"{table}: {kind}"

    # What a day earned, by the index or by the market's date.
    account = pd.read_csv(portfolio, parse_dates=["timestamp", "date"], index_col="timestamp")
    by_day = account.equity.resample("D").last().dropna()
    by_date = account.groupby("date").equity.last()
    assert np.array_equal(by_day.to_numpy(), by_date.to_numpy())
    found = json.loads((results / "summary.json").read_text())["eval"]
    whole = by_date.iloc[-1] / account.equity.iloc[0] - 1
    assert abs(whole - found["portfolio_return"]) < 1e-9, (whole, found["portfolio_return"])
    print(f"{', '.join(table.name for table in tables)}: UTC")
    return 0


if __name__ == "__main__":
    sys.exit(main())
