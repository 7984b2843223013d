"""The loop of CleanRL's dqn.py (vwxyzjn/cleanrl) on our panel: environment steps per second."""

import argparse
import random

from market import Clock, Panel, TradingEnv, one_thread, tell

one_thread()

import gymnasium as gym  # noqa: E402
import networks  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from stable_baselines3.common.buffers import ReplayBuffer  # noqa: E402

torch.set_num_threads(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("work")
    parser.add_argument("--network", choices=["plain", "attention"], default="plain")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--train-every", type=int, default=1, help="0: never")
    parser.add_argument("--seconds", type=float, default=5)
    args = parser.parse_args()

    panel = Panel(args.work)
    slots = 1 if args.network == "plain" else 1 + len(panel.spec["peers_of_first"])
    envs = gym.vector.SyncVectorEnv([lambda: TradingEnv(panel, slots)])
    inputs = envs.single_observation_space.shape[0]
    make = (lambda: networks.plain(panel, inputs)) if args.network == "plain" else (lambda: networks.attention(panel))
    q_network, target_network = make(), make()
    target_network.load_state_dict(q_network.state_dict())
    optimizer = torch.optim.Adam(q_network.parameters(), lr=2.5e-4)
    buffer = ReplayBuffer(
        100_000, envs.single_observation_space, envs.single_action_space, "cpu", handle_timeout_termination=False
    )
    learning_starts = 1_000
    clock = Clock(args.seconds, learning_starts + 200)
    obs, _ = envs.reset(seed=1)
    step = 0
    while not clock.done:
        if random.random() < 0.1:
            actions = np.array([envs.single_action_space.sample()])
        else:
            actions = torch.argmax(q_network(torch.Tensor(obs)), dim=1).numpy()
        next_obs, rewards, terminations, truncations, infos = envs.step(actions)
        buffer.add(obs, next_obs, actions, rewards, terminations, infos)
        obs = next_obs
        if step > learning_starts and args.train_every and step % args.train_every == 0:
            data = buffer.sample(args.batch)
            with torch.no_grad():
                target_max, _ = target_network(data.next_observations).max(dim=1)
                td_target = data.rewards.flatten() + 0.99 * target_max * (1 - data.dones.flatten())
            old_val = q_network(data.observations).gather(1, data.actions).squeeze()
            loss = torch.nn.functional.mse_loss(td_target, old_val)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % 500 == 0:
                target_network.load_state_dict(q_network.state_dict())
        step += 1
        clock.step()
    tell(clock.rate())


main()
