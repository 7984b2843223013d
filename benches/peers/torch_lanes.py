"""DQN in PyTorch with lanes in numpy arrays and a replay of rows, as one who knows both well would write it: environment
steps per second. All lanes of all stocks step together; every step of the lanes is followed by one gradient of `--batch`
transitions of each stock, so the replay ratio is batch / lanes."""

import argparse

from market import COST, PRIVATE, Panel, now, one_thread, tell

one_thread()

import networks  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402

torch.set_num_threads(1)

parser = argparse.ArgumentParser()
parser.add_argument("work")
parser.add_argument("--network", choices=["plain", "attention"], default="plain")
parser.add_argument("--lanes", type=int, default=64)
parser.add_argument("--batch", type=int, default=64)
parser.add_argument("--seconds", type=float, default=5)
args = parser.parse_args()

panel = Panel(args.work)
ROWS, SYMBOLS, WIDTH = panel.features.shape
ATTENDS = args.network == "attention"
STOCKS = SYMBOLS if ATTENDS else 1
LANES, BATCH = args.lanes, args.batch
CAPACITY = 100_000 // LANES * LANES
DISCOUNT, EPSILON, TARGET_EVERY, WARM = 0.99, 0.1, 500, 100
RETURNS = (panel.close[1:] / panel.close[:-1] - 1).astype(np.float32)


def seen(stock):
    slots = [(stock + k) % SYMBOLS for k in range(SYMBOLS if ATTENDS else 1)]
    return np.ascontiguousarray(panel.features[:, slots]).reshape(ROWS, -1)


# `[stock, row, slot and feature]`: gathering a row is one copy.
MARKET = np.stack([seen(stock) for stock in range(STOCKS)])
OF_LANE, OF_SAMPLE = np.repeat(np.arange(STOCKS), LANES), np.repeat(np.arange(STOCKS), BATCH)


def network():
    return networks.attention(panel) if ATTENDS else networks.plain(panel, MARKET.shape[2] + PRIVATE)


class Lanes:
    """The accounts of all lanes of all stocks, and what they did."""

    def __init__(self):
        count = STOCKS * LANES
        self.rows = np.tile(np.arange(LANES) * (ROWS // LANES) % (ROWS - 2), STOCKS)
        self.position, self.unrealized, self.held = (np.zeros(count, np.float32) for _ in range(3))
        self.private = np.zeros((2, STOCKS, CAPACITY, PRIVATE), np.float32)
        self.reward = np.zeros((STOCKS, CAPACITY), np.float32)
        self.action, self.row = (np.zeros((STOCKS, CAPACITY), np.int64) for _ in range(2))
        self.steps = 0

    def state(self):
        return np.stack([self.position, self.unrealized, np.log1p(self.held) / 5], 1)

    def observation(self):
        return torch.from_numpy(np.concatenate([MARKET[OF_LANE, self.rows], self.state()], 1))

    def step(self, action):
        before, position = self.state(), (action - 1).astype(np.float32)
        gain = position * RETURNS[self.rows, OF_LANE]
        reward = gain - np.float32(COST) * np.abs(position - self.position)
        kept = position == self.position
        self.unrealized = np.where(kept, self.unrealized, 0) + gain
        self.held = np.where(kept, self.held, 0) + (position != 0)
        self.position = position
        at = slice(self.steps * LANES % CAPACITY, self.steps * LANES % CAPACITY + LANES)
        self.private[0][:, at] = before.reshape(STOCKS, LANES, PRIVATE)
        self.private[1][:, at] = self.state().reshape(STOCKS, LANES, PRIVATE)
        self.reward[:, at], self.action[:, at] = reward.reshape(STOCKS, LANES), action.reshape(STOCKS, LANES)
        self.row[:, at] = self.rows.reshape(STOCKS, LANES)
        self.rows = np.where(self.rows + 1 >= ROWS - 1, 0, self.rows + 1)
        self.steps += 1

    def sample(self, rng):
        slot = rng.integers(0, min(self.steps * LANES, CAPACITY), STOCKS * BATCH)
        at = (OF_SAMPLE, slot)
        ends = [np.concatenate([MARKET[OF_SAMPLE, self.row[at] + k], self.private[k][at]], 1) for k in (0, 1)]
        return [torch.from_numpy(part) for part in (*ends, self.action[at][:, None], self.reward[at])]


def main():
    rng, lanes = np.random.default_rng(1), Lanes()
    online, target = network(), network()
    target.load_state_dict(online.state_dict())
    optimizer = torch.optim.Adam(online.parameters(), lr=2.5e-4, fused=True)

    def step():
        with torch.no_grad():
            action = online(lanes.observation()).argmax(1).numpy()
        explores = rng.random(len(action)) < EPSILON
        lanes.step(np.where(explores, rng.integers(0, 3, len(action)), action))
        before, after, action, reward = lanes.sample(rng)
        with torch.no_grad():
            wanted = reward + DISCOUNT * target(after).max(1).values
        loss = torch.nn.functional.mse_loss(online(before).gather(1, action).squeeze(1), wanted)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if lanes.steps % TARGET_EVERY == 0:
            target.load_state_dict(online.state_dict())

    for _ in range(WARM):
        step()
    since = now()
    while now() - since < args.seconds:
        step()
    tell((lanes.steps - WARM) * STOCKS * LANES / (now() - since))


main()
