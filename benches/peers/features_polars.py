"""Seconds from day files to a scaled feature panel with polars and TA-Lib: the work of features_talib.py.

    features_polars.py DAYS STOCK...
"""

import argparse
import math
import os
from pathlib import Path

from market import now, one_thread, tell

one_thread()
os.environ["POLARS_MAX_THREADS"] = "1"

import numpy as np  # noqa: E402
import polars as pl  # noqa: E402
import talib  # noqa: E402
from polars import col  # noqa: E402

parser = argparse.ArgumentParser()
parser.add_argument("days")
parser.add_argument("stocks", nargs="+")
args = parser.parse_args()


def read(stock):
    files = sorted((Path(args.days) / "stocks_intraday" / stock).rglob("*.parquet"))
    return pl.scan_parquet(files).select("timestamp", "open", "high", "low", "close", "volume").collect()


def z_score(name, window):
    return (col(name) - col(name).rolling_mean(window)) / col(name).rolling_std(window, ddof=0)


def own(frame):
    close = frame["close"].to_numpy()
    local = col("timestamp").dt.convert_time_zone("America/New_York")
    frame = frame.with_columns(
        log=col("close").log(), volume=col("volume").log1p(), day=local.dt.date(),
        minute=local.dt.hour().cast(pl.Int32) * 60 + local.dt.minute(),
        rsi=pl.Series(talib.RSI(close, 14) / 50 - 1), macd=pl.Series(talib.MACD(close, 12, 26, 9)[2] / close),
    ).with_columns(square=col("log").diff() ** 2, session=((col("minute") - 570) / 390).clip(0, 1) * math.pi)  # fmt: skip
    volatility = {n: col("square").rolling_mean(n).sqrt().clip(lower_bound=1e-6).log() for n in (15, 60, 240)}
    gap = pl.when(col("day") != col("day").shift()).then(col("open").log() - col("log").shift())
    return frame.select(
        "timestamp",
        *[col("log").diff(n).alias(f"return_{n}") for n in (1, 2, 5, 15, 60)],
        "rsi",
        "macd",
        bollinger=(col("close") - col("close").rolling_mean(20)) / (2 * col("close").rolling_std(20, ddof=0)),
        volatility_240=volatility[240],
        volatility_15=volatility[15] - volatility[240],
        volatility_60=volatility[60] - volatility[240],
        volume=z_score("volume", 60),
        gap=gap.forward_fill(),
        time_sin=col("session").sin(),
        time_cos=col("session").cos(),
    )


def related(log, stock, peers):
    """Features relative to the peers' mean return, and the spread to the nearest peer."""
    steps = pl.DataFrame({
        "x": log[stock].diff(),
        "m": log.select(pl.mean_horizontal([col(peer).diff() for peer in peers])).to_series(),
        "five": log.select(pl.mean_horizontal([col(peer).diff(5) for peer in peers])).to_series(),
        "ratio": log[stock] - log[peers[0]],
    })
    mean = lambda found: found.rolling_mean(120)  # noqa: E731
    x, m = col("x"), col("m")
    covariance = mean(x * m) - mean(x) * mean(m)
    variances = [mean(one * one) - mean(one) ** 2 for one in (x, m)]
    return steps.select(
        peers_return_1=m,
        peers_return_5=col("five"),
        residual_return=x - covariance / variances[1] * m,
        peers_correlation=covariance / (variances[0] * variances[1]).sqrt(),
        spread=z_score("ratio", 120),
    )


def aligned(times, frame):
    same = frame.height == times.height and frame["timestamp"].equals(times["timestamp"])
    return frame if same else times.join_asof(frame, on="timestamp")


start = now()
frames = {stock: read(stock) for stock in args.stocks}
times = next(iter(frames.values())).select("timestamp")
if any(not frame["timestamp"].equals(times["timestamp"]) for frame in frames.values()):
    times = pl.concat([frame.select("timestamp") for frame in frames.values()]).unique().sort("timestamp")
log = pl.DataFrame({stock: aligned(times, frame)["close"].log() for stock, frame in frames.items()})
correlation = np.corrcoef(log.select(pl.all().diff()).slice(1).fill_null(0).to_numpy().T)
scaled = []
for place, (stock, frame) in enumerate(frames.items()):
    nearest = np.argsort(-np.abs(correlation[place]))
    peers = [args.stocks[other] for other in nearest if other != place]
    features = pl.concat([aligned(times, own(frame)).drop("timestamp"), related(log, stock, peers)], how="horizontal")
    spread = (pl.all() - pl.all().mean()) / pl.all().std()
    features = features.select(spread.clip(-5, 5).fill_nan(0).fill_null(0).cast(pl.Float32))
    scaled.append(features.to_numpy())
panel = np.stack(scaled, axis=1)
assert panel.shape[1] == len(args.stocks)
tell(now() - start)
