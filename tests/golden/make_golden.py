#!/usr/bin/env python3
"""Writes indicators.csv (TA-Lib) and metrics.json (empyrical), the reference values of the Rust tests.

    python3 -m venv venv
    venv/bin/pip install TA-Lib==0.8.2 empyrical-reloaded==0.7.1 numpy==2.4.6
    venv/bin/python tests/golden/make_golden.py
"""

import csv
import json
import math
import pathlib

import empyrical
import numpy as np
import talib

HERE = pathlib.Path(__file__).parent


def prices(rng):
    """A random walk, then flat, rising, falling, a walk in cents near 500, and flat again."""
    walk = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, 500)))
    flat = np.full(70, walk[-1])
    rising = flat[-1] + 0.25 * np.arange(1, 71)
    falling = rising[-1] - 0.4 * np.arange(1, 71)
    cents = 500 + 0.01 * np.cumsum(rng.integers(-2, 3, 120))
    still = np.full(70, cents[-1])
    return np.concatenate([walk, flat, rising, falling, cents, still]).round(6)


def ranges(rng, close):
    """Highs and lows around the closes; on a fifth of the bars the price does not change."""
    before = np.concatenate([close[:1], close[:-1]])
    still = rng.random(len(close)) < 0.2
    above, below = (np.where(still, 0.0, rng.exponential(0.1, len(close))) for _ in range(2))
    return (np.maximum(close, before) + above).round(6), (np.minimum(close, before) - below).round(6)


def write_indicators(close, high, low):
    macd, signal, histogram = talib.MACD(close, 12, 26, 9)
    macd_short, signal_short, histogram_short = talib.MACD(close, 3, 7, 4)
    upper, middle, lower = talib.BBANDS(close, 20, 2.0, 2.0)
    columns = {
        "close": close,
        "rsi_14": talib.RSI(close, 14),
        "rsi_2": talib.RSI(close, 2),
        "macd": macd,
        "signal": signal,
        "histogram": histogram,
        "macd_short": macd_short,
        "signal_short": signal_short,
        "histogram_short": histogram_short,
        "upper": upper,
        "middle": middle,
        "lower": lower,
        "sma_10": talib.SMA(close, 10),
        "ema_10": talib.EMA(close, 10),
        "std_20": talib.STDDEV(close, 20, 1.0),
        "roc_10": talib.ROC(close, 10),
        "highest_15": talib.MAX(close, 15),
        "lowest_15": talib.MIN(close, 15),
        "high": high,
        "low": low,
        "atr_14": talib.ATR(high, low, close, 14),
        "atr_1": talib.ATR(high, low, close, 1),
    }
    with open(HERE / "indicators.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for row in zip(*columns.values()):
            writer.writerow("" if math.isnan(x) else f"{x:.13g}" for x in row)


def defined(value):
    return float(value) if math.isfinite(value) else None


def write_metrics(rng):
    cases = {
        "year": rng.normal(0.0005, 0.012, 252),
        "losing": rng.normal(-0.002, 0.02, 90),
        "heavy_tails": 0.01 * rng.standard_t(2.5, 400).clip(-30, 30),
        "two_days": np.array([0.01, -0.004]),
        "loss_on_the_first_day": np.array([-0.05, 0.01, 0.02, 0.03]),
        "only_gains": np.array([0.01, 0.002, 0.03, 0.001]),
        "only_losses": np.array([-0.01, -0.002, -0.03, -0.001]),
        "constant_gain": np.full(7, 0.001),
        "constant_loss": np.full(7, -0.001),
        "idle": np.zeros(10),
        "ruin": np.array([0.02, -1.0, 0.0]),
        "one_day": np.array([-0.01]),
        "empty": np.array([]),
    }
    golden = []
    for name, returns in cases.items():
        golden.append(
            {
                "name": name,
                "returns": returns.tolist(),
                "sharpe": defined(empyrical.sharpe_ratio(returns)),
                "sortino": defined(empyrical.sortino_ratio(returns)),
                "calmar": defined(empyrical.calmar_ratio(returns)),
                "max_drawdown": defined(empyrical.max_drawdown(returns)),
                "volatility": defined(empyrical.annual_volatility(returns)),
            }
        )
    (HERE / "metrics.json").write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    generator = np.random.default_rng(20180102)
    closes = prices(generator)
    # A separate random stream, so that the returns of the metrics do not change.
    write_indicators(closes, *ranges(np.random.default_rng(20180103), closes))
    write_metrics(generator)
