"""DQN of Stable-Baselines3 or sbx (JAX, jitted) on our panel: environment steps per second."""

import argparse

from market import PRIVATE, Clock, Panel, TradingEnv, hidden_width, one_thread, tell

one_thread()

parser = argparse.ArgumentParser()
parser.add_argument("work")
parser.add_argument("--library", choices=["sb3", "sbx"], default="sb3")
parser.add_argument("--network", choices=["plain", "attention"], default="plain")
parser.add_argument("--batch", type=int, default=64)
parser.add_argument("--train-every", type=int, default=1, help="steps of all environments")
parser.add_argument("--envs", type=int, default=1, help="environments that step together")
parser.add_argument("--seconds", type=float, default=5)
args = parser.parse_args()

if args.library == "sb3":
    import torch
    from stable_baselines3 import DQN

    torch.set_num_threads(1)
else:
    from sbx import DQN

from stable_baselines3.common.callbacks import BaseCallback  # noqa: E402
from stable_baselines3.common.env_util import make_vec_env  # noqa: E402


class Stop(BaseCallback):
    def __init__(self, clock):
        super().__init__()
        self.clock = clock

    def _on_step(self):
        for _ in range(args.envs):
            self.clock.step()
        return not self.clock.done


def policy_of(panel, inputs):
    if args.network == "plain":
        width = hidden_width(inputs, 3, panel.spec["parameters"]["plain"])
        return {"net_arch": [width, width]}
    import networks
    from stable_baselines3.common.torch_layers import BaseFeaturesExtractor

    class Extractor(BaseFeaturesExtractor):
        def __init__(self, space):
            super().__init__(space, networks.Attention.TRUNK)
            self.body = networks.Attention(panel)

        def forward(self, x):
            return self.body(x)

    # SB3 has no dueling head: one hidden layer beside our linear heads.
    return {"features_extractor_class": Extractor, "net_arch": [128]}


def main():
    panel = Panel(args.work)
    slots = 1 if args.network == "plain" else 1 + len(panel.spec["peers_of_first"])
    env = make_vec_env(lambda: TradingEnv(panel, slots), args.envs)
    inputs = panel.features.shape[2] * slots + PRIVATE
    learning_starts = 1_000
    model = DQN(
        "MlpPolicy",
        env,
        learning_starts=learning_starts,
        batch_size=args.batch,
        train_freq=args.train_every,
        gradient_steps=1,
        buffer_size=100_000,
        target_update_interval=500,
        # Constant, because at epsilon 1 it would act without its network.
        exploration_initial_eps=0.1,
        exploration_final_eps=0.1,
        policy_kwargs=policy_of(panel, inputs),
        **({"device": "cpu"} if args.library == "sb3" else {}),
    )
    clock = Clock(args.seconds, learning_starts + 300 * args.envs)
    model.learn(10**9, callback=Stop(clock))
    tell(clock.rate())


main()
