"""Microseconds of a gradient as `speed learn` computes it, by PyTorch's autograd: both networks value windows of bars and the
bar after each, and the online network is differentiated at the bars of the windows."""

import argparse

from market import PRIVATE, Panel, now, one_thread, tell

one_thread()

import networks  # noqa: E402
import torch  # noqa: E402

torch.set_num_threads(1)
parser = argparse.ArgumentParser()
parser.add_argument("work")
parser.add_argument("--embedding", type=int, default=64)
parser.add_argument("--trunk", type=int, default=128)
parser.add_argument("--windows", type=int, default=4)
parser.add_argument("--bars", type=int, default=16)
parser.add_argument("--seconds", type=float, default=5)
args = parser.parse_args()

ACTIONS = 5
panel = Panel(args.work)


def network():
    body = networks.Attention(panel, args.embedding, args.trunk)
    return torch.nn.Sequential(body, networks.Dueling(args.trunk, ACTIONS))


online, target = network(), network()
learned = args.windows * args.bars
cells = panel.features.shape[1] * panel.features.shape[2] + PRIVATE
seen = torch.randn(learned + args.windows, cells)


def once():
    online.zero_grad(set_to_none=True)
    with torch.no_grad():
        beyond = target(seen)
        after = online(seen[learned:])
    values = online(seen[:learned])
    # A slope for every value, as targets from both networks give it.
    slopes = values.detach() - beyond[:learned] + after.mean()
    values.backward(slopes / learned)


for _ in range(5):
    once()
rounds, start = 0, now()
while now() - start < args.seconds:
    once()
    rounds += 1
tell(1e6 * (now() - start) / rounds)
