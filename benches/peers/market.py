"""Shared by the peers of scripts/bench.sh: the panel written by `speed prepare`, an environment on it, and network
sizes equal to ours."""

import json
import os
import time
from pathlib import Path

import gymnasium as gym
import numpy as np

COST = 2e-4
PRIVATE = 3


class Panel:
    """`features` [time, stock, feature], `close` [time, stock] and `spec.json`."""

    def __init__(self, work):
        work = Path(work)
        self.features = np.load(work / "features.npy", mmap_mode="r")
        self.close = np.load(work / "close.npy")
        self.spec = json.loads((work / "spec.json").read_text())


class TradingEnv(gym.Env):
    """One stock: short, flat or long. Observes its own features (`slots` 1), or also those of its peers, followed by
    position, unrealised return and bars held. Simpler than our account: no cash, no ruin, no void orders."""

    def __init__(self, panel, slots):
        self.columns = ([0, *panel.spec["peers_of_first"]])[:slots]
        # A contiguous array, so that gathering a row is one copy.
        self.market = np.ascontiguousarray(panel.features[:, self.columns, :]).reshape(len(panel.close), -1)
        close = panel.close[:, 0]
        self.returns = (close[1:] / close[:-1] - 1).astype(np.float32)
        self.rows = len(self.returns)
        size = self.market.shape[1] + PRIVATE
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (size,), np.float32)
        self.action_space = gym.spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t, self.position, self.unrealized, self.held = 0, 0, 0.0, 0
        return self.observation(), {}

    def step(self, action):
        position = int(action) - 1
        reward = position * self.returns[self.t] - COST * abs(position - self.position)
        if position != self.position:
            self.position, self.unrealized, self.held = position, 0.0, 0
        if position:
            self.unrealized += position * self.returns[self.t]
            self.held += 1
        self.t += 1
        truncated = self.t == self.rows
        return self.observation(), float(reward), False, truncated, {}

    def observation(self):
        private = (self.position, self.unrealized, np.log1p(self.held) / 5)
        return np.concatenate([self.market[self.t], np.array(private, np.float32)])


def hidden_width(inputs, actions, parameters):
    """Width of two equal hidden layers with about `parameters` parameters in total."""
    width = 1
    while inputs * width + width * width + actions * width + 2 * width + actions < parameters:
        width += 1
    return width


def now():
    """Seconds; CPU time if BENCH_CPU_TIME is set, for a shared machine."""
    return time.process_time() if "BENCH_CPU_TIME" in os.environ else time.perf_counter()


class Clock:
    """Counts steps after `warmup` steps; `done` is true after `seconds`."""

    def __init__(self, seconds, warmup):
        self.seconds, self.warmup = seconds, warmup
        self.steps, self.start = 0, None

    def step(self):
        self.steps += 1
        if self.steps == self.warmup:
            self.start = now()

    @property
    def done(self):
        return self.start is not None and now() - self.start >= self.seconds

    def rate(self):
        return (self.steps - self.warmup) / (now() - self.start)


def one_thread(threads=1):
    """To be called before numpy, torch or JAX are imported; has no effect afterwards."""
    os.environ["OMP_NUM_THREADS"] = str(threads)
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"


def tell(value):
    print(json.dumps({"value": value}))
