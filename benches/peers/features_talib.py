"""Seconds from day files to a scaled feature panel with pyarrow, pandas and TA-Lib.

    features_talib.py DAYS STOCK...             reads and computes
    features_talib.py DAYS STOCK... --read      reads only

Our features except `arbitrage` (a rolling cointegration test), which would take pandas far longer than all others.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import talib
from market import now, tell

parser = argparse.ArgumentParser()
parser.add_argument("days")
parser.add_argument("stocks", nargs="+")
parser.add_argument("--read", action="store_true")
args = parser.parse_args()


def read(stock):
    files = sorted((Path(args.days) / "stocks_intraday" / stock).rglob("*.parquet"))
    frame = pd.concat([pq.read_table(file).to_pandas() for file in files])
    if "timestamp" in frame.columns:
        frame = frame.set_index("timestamp")
    frame.columns = [str(column).lower() for column in frame.columns]
    return frame[["open", "high", "low", "close", "volume"]].astype(float)


def own(frame):
    close, log = frame["close"], np.log(frame["close"])
    step = log.diff()
    out = {f"return_{n}": log.diff(n) for n in (1, 2, 5, 15, 60)}
    out["rsi"] = pd.Series(talib.RSI(close.to_numpy(), 14), frame.index) / 50 - 1
    out["macd"] = pd.Series(talib.MACD(close.to_numpy(), 12, 26, 9)[2], frame.index) / close
    upper, middle, _ = talib.BBANDS(close.to_numpy(), 20, 2.0, 2.0)
    out["bollinger"] = (close - middle) / (upper - middle)
    square = step.pow(2)
    volatility = {n: np.log(np.sqrt(square.rolling(n).mean()).clip(lower=1e-6)) for n in (15, 60, 240)}
    out["volatility_240"] = volatility[240]
    out["volatility_15"] = volatility[15] - volatility[240]
    out["volatility_60"] = volatility[60] - volatility[240]
    volume = np.log1p(frame["volume"])
    rolling = volume.rolling(60)
    out["volume"] = (volume - rolling.mean()) / rolling.std(ddof=0)
    local = frame.index if frame.index.tz is None else frame.index.tz_convert("America/New_York")
    day = pd.Series(local.date, frame.index)
    first = day.ne(day.shift())
    out["gap"] = (np.log(frame["open"]) - log.shift()).where(first).ffill()
    minute = pd.Series(local.hour * 60 + local.minute, frame.index)
    fraction = ((minute - 570) / 390).clip(0, 1)
    out["time_sin"], out["time_cos"] = np.sin(np.pi * fraction), np.cos(np.pi * fraction)
    return pd.DataFrame(out)


def related(log, stock, peers):
    """Features relative to the peers' mean return, and the spread to the nearest peer."""
    steps = log.diff()
    mean = steps[peers].mean(axis=1)
    rolling = steps[stock].rolling(120)
    beta = rolling.cov(mean, ddof=0) / mean.rolling(120).var(ddof=0)
    ratio = log[stock] - log[peers[0]]
    window = ratio.rolling(120)
    return pd.DataFrame({
        "peers_return_1": mean,
        "peers_return_5": log.diff(5)[peers].mean(axis=1),
        "residual_return": steps[stock] - beta * mean,
        "peers_correlation": rolling.corr(mean),
        "spread": (ratio - window.mean()) / window.std(ddof=0),
    })


start = now()
frames = {stock: read(stock) for stock in args.stocks}
if not args.read:
    log = np.log(pd.DataFrame({stock: frame["close"] for stock, frame in frames.items()}).ffill())
    correlation = log.diff().corr()
    scaled = []
    for stock, frame in frames.items():
        peers = correlation[stock].drop(stock).abs().sort_values(ascending=False).index.tolist()
        features = own(frame).reindex(log.index).ffill().join(related(log, stock, peers))
        features = ((features - features.mean()) / features.std()).clip(-5, 5).fillna(0)
        scaled.append(features.to_numpy(np.float32))
    panel = np.stack(scaled, axis=1)
    assert panel.shape[1] == len(args.stocks)
tell(now() - start)
