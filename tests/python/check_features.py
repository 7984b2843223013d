"""Compares python/dqn_trader.py with the program: check_features.py RESULTS DATA

RESULTS is a results folder, DATA the folder with the day files that it was evaluated on. Exits with
0 if the features of policy_check.json agree to 1e-6 and the values to 1e-5.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "python"))
from dqn_trader import Run  # noqa: E402


def bars(data: Path, run: Run) -> pd.DataFrame:
    frames = []
    for stock in run.stocks:
        files = sorted((data / "stocks_intraday" / stock).glob("*/*/*.parquet"))
        frame = pd.concat([pd.read_parquet(file) for file in files])
        frames.append(frame.assign(stock=stock))
    frame = pd.concat(frames)
    # The program's own day files have the start of a bar, in the market's time.
    length = pd.Timedelta(minutes=run.sheet["bar_minutes"])
    frame["timestamp"] = frame["timestamp"].dt.tz_localize(run.sheet["zone"]) + length
    return frame


def main() -> int:
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    folder, data = Path(sys.argv[1]), Path(sys.argv[2])
    run = Run(folder)
    check = json.loads((folder / "policy_check.json").read_text())
    frame = bars(data, run)
    frame = frame[frame["timestamp"] >= pd.Timestamp(check["begins"])]
    times = pd.to_datetime(check["timestamp"], utc=True)

    def program(name):
        return np.array(check[name]["data"], dtype=np.float32).reshape(check[name]["shape"])

    features = run.features(frame)
    ours = np.stack([features.loc[time].to_numpy() for time in times])
    apart = np.abs(ours - program("market"))
    worst = np.unravel_index(apart.argmax(), apart.shape)
    print(f"features: {apart.max():.2g} ({run.names[worst[2]]} of {run.stocks[worst[1]]})")

    values = run.predict(frame)
    stocks = [run.stocks[number] for number in check["stock"]]
    ours = np.stack([values.loc[place].to_numpy() for place in zip(times, stocks)])
    differ = np.abs(ours - program("values")).max()
    print(f"values: {differ:.2g}")

    wanted = run.wanted(frame)
    assert set(wanted) == set(run.stocks), wanted
    assert all(position in run.sheet["positions"] for position in wanted.values()), wanted
    unmoved = run.wanted(frame, held={run.stocks[0]: 1.0}, cost=10.0)
    assert unmoved[run.stocks[0]] == 1.0, "nobody trades at a cost of ten times the capital"
    return 0 if apart.max() <= 1e-6 and differ <= 1e-5 else 1


if __name__ == "__main__":
    sys.exit(main())
