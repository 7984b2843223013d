"""The networks of the PyTorch peers."""

import torch
from market import PRIVATE, hidden_width
from torch import nn


def plain(panel, inputs):
    """Two hidden layers with as many parameters as our network without attention."""
    width = hidden_width(inputs, 3, panel.spec["parameters"]["plain"])
    return nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 3))


class Attention(nn.Module):
    """Encoder, attention over peers and trunk of src/rl/network.rs, by default at their default sizes, without the
    heads."""

    HEADS, SYMBOL, TRUNK = 4, 8, 128

    def __init__(self, panel, width=64, trunk=TRUNK):
        super().__init__()
        self.width = width
        self.slots = 1 + len(panel.spec["peers_of_first"])
        self.features = panel.features.shape[2]
        self.register_buffer("ids", torch.tensor([0, *panel.spec["peers_of_first"]]))
        self.symbol = nn.Embedding(panel.features.shape[1], self.SYMBOL)
        self.encoder = nn.Sequential(
            nn.Linear(self.features + self.SYMBOL, width), nn.LayerNorm(width), nn.ReLU(),
            nn.Linear(width, width), nn.LayerNorm(width),
        )
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width, bias=False)
        self.value, self.output = nn.Linear(width, width, bias=False), nn.Linear(width, width)
        self.nearness = nn.Parameter(torch.zeros(self.slots - 1, self.HEADS))
        self.trunk = nn.Sequential(nn.Linear(2 * width + PRIVATE, trunk), nn.LayerNorm(trunk), nn.ReLU())

    def forward(self, x):
        batch = x.shape[0]
        market = x[:, :-PRIVATE].reshape(batch, self.slots, self.features)
        symbols = self.symbol(self.ids).expand(batch, -1, -1)
        embeddings = self.encoder(torch.cat([market, symbols], 2))
        own, peers = embeddings[:, 0], embeddings[:, 1:]
        split = (batch, -1, self.HEADS, self.width // self.HEADS)
        query = self.query(own).reshape(split) * (self.width // self.HEADS) ** -0.5
        scores = (query * self.key(peers).reshape(split)).sum(-1) + self.nearness
        weights = scores.softmax(1).unsqueeze(-1)
        mixed = (weights * self.value(peers).reshape(split)).sum(1).reshape(batch, self.width)
        return self.trunk(torch.cat([own, self.output(mixed), x[:, -PRIVATE:]], 1))


class Dueling(nn.Module):
    """Linear heads, as ours."""

    def __init__(self, inputs, actions=3):
        super().__init__()
        self.value, self.advantage = nn.Linear(inputs, 1), nn.Linear(inputs, actions)

    def forward(self, x):
        advantage = self.advantage(x)
        return self.value(x) + advantage - advantage.mean(1, keepdim=True)


def attention(panel):
    return nn.Sequential(Attention(panel), Dueling(Attention.TRUNK))
