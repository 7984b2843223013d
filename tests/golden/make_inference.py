#!/usr/bin/env python3
"""Writes inference.json, the reference values of the Rust tests of `eval::inference`: block lengths and
bootstrap intervals by arch, distributions by scipy, the timing test by numpy.roll.

    python3 -m venv venv
    venv/bin/pip install arch==8.0.0 scipy==1.17.1 numpy==2.4.6
    venv/bin/python tests/golden/make_inference.py
"""

import json
import pathlib

import numpy as np
from arch.bootstrap import StationaryBootstrap, optimal_block_length
from scipy import stats

HERE = pathlib.Path(__file__).parent


def sharpe(returns):
    return returns.mean() / returns.std(ddof=1)


def autoregressive(rng, phi, days):
    returns = np.zeros(days)
    shocks = rng.normal(0, 0.01, days)
    for day in range(1, days):
        returns[day] = phi * returns[day - 1] + shocks[day]
    return returns + 0.0004


def garch(rng, days):
    returns = np.zeros(days)
    variance = 1e-4
    for day in range(days):
        returns[day] = np.sqrt(variance * 3 / 5) * rng.standard_t(5)
        variance = 2e-6 + 0.1 * returns[day] ** 2 + 0.88 * variance
    return returns


def probabilistic(returns, hurdle):
    """Bailey & Lopez de Prado (2012)."""
    ratio = sharpe(returns)
    skewness = stats.skew(returns)
    kurtosis = stats.kurtosis(returns, fisher=False)
    spread = np.sqrt(1 - skewness * ratio + (kurtosis - 1) / 4 * ratio**2)
    return stats.norm.cdf((ratio - hurdle) * np.sqrt(len(returns) - 1) / spread)


def deflated(returns, trials, variance):
    """Bailey & Lopez de Prado (2014), eq. 1 and 2."""
    upper = stats.norm.ppf([1 - 1 / trials, 1 - 1 / (trials * np.e)])
    hurdle = np.sqrt(variance) * ((1 - np.euler_gamma) * upper[0] + np.euler_gamma * upper[1])
    probability = probabilistic(returns, hurdle)
    return dict(trials=trials, variance=variance, hurdle=hurdle, probability=probability)


def series(name, returns):
    block = float(optimal_block_length(returns)["stationary"].iloc[0])
    bootstrap = StationaryBootstrap(max(block, 1.0), returns, seed=1)
    low, high = bootstrap.conf_int(sharpe, reps=20_000, method="percentile", size=0.95)[:, 0]
    return dict(
        name=name,
        returns=returns.tolist(),
        block_length=block,
        low=low,
        high=high,
        sharpe=sharpe(returns),
        skewness=stats.skew(returns),
        kurtosis=stats.kurtosis(returns, fisher=False),
        probabilistic=probabilistic(returns, 0.0),
        deflated=[deflated(returns, n, v) for n, v in [(2, 1e-3), (10, 4e-3), (500, 1e-4)]],
    )


def timing(rng, days, bars, stocks):
    """Positions (over equity) that are slightly correlated with the next changes."""
    change = rng.standard_t(4, (days, bars, stocks)) * 0.004
    exposure = np.sign(change + rng.normal(0.001, 0.03, change.shape)) / stocks
    cost = rng.uniform(0, 2e-4, days)
    path = exposure.reshape(days * bars, stocks)
    so_far = path.cumsum(0) / np.arange(1, days * bars + 1)[:, None]
    centred = (path - so_far).reshape(exposure.shape)

    def score(gains):
        return gains.mean() / gains.std(ddof=1) * np.sqrt(days)

    gains = [(np.roll(centred, -shift, 0) * change).sum((1, 2)) for shift in range(days)]
    actual = score(gains[0] - cost)
    placebos = [score(gain) for gain in gains[1:]]
    p_values = [
        dict(hurdle=hurdle, p_value=stats.norm.sf(actual - hurdle - max(np.mean(placebos), 0.0)))
        for hurdle in [0.0, 1.0]
    ]
    return dict(
        bars=bars,
        stocks=stocks,
        exposure=exposure.ravel().tolist(),
        change=change.ravel().tolist(),
        cost=cost.tolist(),
        score=actual,
        placebos=placebos,
        p_values=p_values,
    )


if __name__ == "__main__":
    generator = np.random.default_rng(20200102)
    golden = dict(
        series=[
            series("year", generator.normal(0.0005, 0.012, 252)),
            series("month", generator.normal(-0.001, 0.012, 22)),
            series("positive memory", autoregressive(generator, 0.5, 300)),
            series("long memory", autoregressive(generator, 0.9, 500)),
            series("alternating", autoregressive(generator, -0.4, 250)),
            series("clustered", garch(generator, 756)),
            series("heavy tails", 0.01 * generator.standard_t(3, 400) + 0.001),
        ],
        normal_cdf=[[z, stats.norm.cdf(z)] for z in [-8.5, -5.1, -1.96, -0.1, 0, 0.7, 3, 6, 9.5]],
        timing=[timing(generator, 40, 3, 2), timing(generator, 25, 1, 1)],
    )
    text = json.dumps(golden, default=float)
    (HERE / "inference.json").write_text(text.replace("}, ", "},\n") + "\n")
