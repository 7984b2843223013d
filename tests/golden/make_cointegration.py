#!/usr/bin/env python3
"""Writes cointegration.json, the reference values of the Rust tests of `features::relations::cointegration`.

    python3 -m venv venv
    venv/bin/pip install statsmodels==0.14.6 numpy==2.4.6
    venv/bin/python tests/golden/make_cointegration.py
"""

import json
import pathlib

import numpy as np
from statsmodels.regression.linear_model import OLS
from statsmodels.tools import add_constant
from statsmodels.tsa.adfvalues import mackinnoncrit
from statsmodels.tsa.stattools import coint

HERE = pathlib.Path(__file__).parent
LAGS = 4


def walk(rng, bars):
    return np.cumsum(rng.normal(0, 1e-3, bars))


def reverting(rng, bars, memory):
    spread = np.zeros(bars)
    for t in range(1, bars):
        spread[t] = memory * spread[t - 1] + rng.normal(0, 1e-3)
    return spread


def case(name, first, second):
    first, second = (4 + first).round(9), (3 + second).round(9)
    statistic, p_value, _ = coint(first, second, trend="c", maxlag=LAGS, autolag=None)
    fit = OLS(first, add_constant(second)).fit()
    return dict(
        name=name,
        first=first.tolist(),
        second=second.tolist(),
        level=fit.params[0],
        hedge_ratio=fit.params[1],
        std=float(np.sqrt(np.mean(fit.resid**2))),
        statistic=statistic,
        asymptotic_p_value=p_value,
        critical_1=mackinnoncrit(N=2, regression="c", nobs=len(first))[0],
    )


if __name__ == "__main__":
    rng = np.random.default_rng(19870301)
    shared = walk(rng, 480)
    short = walk(rng, 60)
    cases = [
        case("two walks", walk(rng, 480), walk(rng, 480)),
        case("two walks, long", walk(rng, 1500), walk(rng, 1500)),
        case("two walks, short", short, walk(rng, 60)),
        case("a quick pair", shared + reverting(rng, 480, 0.5), shared),
        case("a slow pair", shared + reverting(rng, 480, 0.95), 1.5 * shared),
        case("a very slow pair", shared + reverting(rng, 480, 0.99), 0.5 * shared),
        case("a short pair", short + reverting(rng, 60, 0.7), short),
        case("against each other", -0.7 * shared + reverting(rng, 480, 0.8), shared),
        case("memory in the steps", shared + reverting(rng, 480, -0.4), shared),
        case("far apart", walk(rng, 200), 0.01 * np.arange(200) + walk(rng, 200)),
    ]
    text = json.dumps(cases, default=float)
    (HERE / "cointegration.json").write_text(text.replace("}, ", "},\n") + "\n")
