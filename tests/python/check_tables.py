"""Opens tables as a notebook does, with one line each: check_tables.py RESULTS STRATEGIES

Exits with 0 if all times are of one type, also over a change of the clock, and if every line of the table in
docs/python.md runs in the folder that holds RESULTS, which is named results there.
"""

import json
import os
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.csv


DOCS = Path(__file__).parents[2] / "docs/python.md"


def usual_lines(account: pd.DataFrame) -> dict:
    """Runs the lines of the documentation; what each comes to, by its text. Of plots only the data."""
    import torch

    table = DOCS.read_text().split("| what | line |")[1].split("\n\n")[0]
    cells = [row.split(" | ", 1)[1] for row in table.splitlines() if row.startswith("| ") and "`" in row]
    lines = [line for cell in cells for line in re.findall("`([^`]+)`", cell) if re.search(r"[(\[]", line)]
    scope = {"account": account, "pd": pd, "np": np, "json": json, "torch": torch}
    found = {}
    for line in sorted(lines, key=lambda line: not re.match(r"\w+ = ", line)):
        if re.match(r"\w+ = ", line):
            exec(line, scope)
        else:
            found[line] = eval(re.sub(r"\.plot\(.*\)$", "", line), scope)
    return found


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

    os.chdir(results.parent)
    lines = usual_lines(account)
    assert len(lines) >= 10, list(lines)
    falls = [value for line, value in lines.items() if line.endswith(".min()")]
    assert len(falls) == 2 and falls[0] <= falls[1], falls
    assert abs(falls[1] - found["max_drawdown"]) < 1e-12, (falls, found["max_drawdown"])
    print(f"{', '.join(table.name for table in tables)}: UTC; {len(lines)} usual lines")
    return 0


if __name__ == "__main__":
    sys.exit(main())
