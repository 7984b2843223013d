"""Prioritized replay of cpprb: microseconds to sample 256 of 1,000,000 transitions and to update their priorities."""

import argparse

import numpy as np
from cpprb import PrioritizedReplayBuffer
from market import now, tell

parser = argparse.ArgumentParser()
parser.add_argument("--seconds", type=float, default=5)
parser.add_argument("--capacity", type=int, default=1_000_000)
args = parser.parse_args()

BATCH = 256
rng = np.random.default_rng(1)
# The same payload as ours: 32 bytes.
buffer = PrioritizedReplayBuffer(args.capacity, {"row": {"shape": 8, "dtype": np.float32}}, alpha=0.6)
for _ in range(args.capacity // 10_000):
    buffer.add(row=rng.random((10_000, 8), dtype=np.float32), priorities=rng.random(10_000))
errors = rng.random((64, BATCH))
rounds, start = 0, now()
while now() - start < args.seconds:
    sample = buffer.sample(BATCH, beta=0.4)
    buffer.update_priorities(sample["indexes"], errors[rounds % 64])
    rounds += 1
tell(1e6 * (now() - start) / rounds)
