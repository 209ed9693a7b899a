"""A small GPT-2-shaped language model from a configuration, and text from a small grammar to train it on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Configuration:
    vocabulary: int = 40
    length: int = 16
    width: int = 32
    heads: int = 2
    layers: int = 2
    tied: bool = False


class Attention(nn.Module):
    """Causal self-attention; queries, keys and values from one Linear layer, as in GPT-2."""

    def __init__(self, config: Configuration) -> None:
        super().__init__()
        self.heads = config.heads
        self.project, self.back = nn.Linear(config.width, 3 * config.width), nn.Linear(config.width, config.width)

    def forward(self, x: Tensor) -> Tensor:
        parts = self.project(x).chunk(3, dim=2)
        query, key, value = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in parts)
        scores = query @ key.transpose(2, 3) / query.shape[3] ** 0.5
        causal = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).tril()
        mixed = torch.softmax(scores.masked_fill(~causal, float("-inf")), dim=3) @ value
        return self.back(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self, config: Configuration) -> None:
        super().__init__()
        self.before, self.attention = nn.LayerNorm(config.width), Attention(config)
        self.between = nn.LayerNorm(config.width)
        self.up, self.down = nn.Linear(config.width, 4 * config.width), nn.Linear(4 * config.width, config.width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.before(x))
        return x + self.down(functional.gelu(self.up(self.between(x)), approximate="tanh"))


class Gpt2(nn.Module):
    """Token codes [B, T] -> logits of the next token [B, T, C]."""

    def __init__(self, config: Configuration) -> None:
        super().__init__()
        self.tokens = nn.Embedding(config.vocabulary, config.width)
        self.places = nn.Embedding(config.length, config.width)
        self.blocks = nn.Sequential(*(Block(config) for _ in range(config.layers)))
        self.last = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, config.vocabulary, bias=False)
        if config.tied:
            self.head.weight = self.tokens.weight

    def forward(self, codes: Tensor) -> Tensor:
        places = torch.arange(codes.shape[1], device=codes.device).expand_as(codes)
        return self.head(self.last(self.blocks(self.tokens(codes) + self.places(places))))


def next_token_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy of the next token over a record's positions, in nats."""
    return functional.cross_entropy(outputs.transpose(1, 2), targets, reduction="none").mean(1)


def sentences(config: Configuration, count: int, *, seed: int) -> Tensor:
    """[count, length + 1] codes: words of one of several topics, with a marker that agrees; 0 ends a sentence."""
    draw = torch.Generator().manual_seed(seed)
    topics, share = 4, (config.vocabulary - 4) // 4
    rows = []
    for _ in range(count):
        topic, row = int(torch.randint(topics, (), generator=draw)), []
        while len(row) < config.length + 1:
            # Once in a while a sentence strays to another topic.
            here = (
                topic
                if float(torch.rand((), generator=draw)) < 0.85
                else int(torch.randint(topics, (), generator=draw))
            )
            words = 4 + here * share + torch.randint(share, (3,), generator=draw)
            marker = 1 + int(words[0]) % 3
            row += [int(words[0]), marker, int(words[1]) if marker != 2 else int(words[2]), 0]
        rows.append(row[: config.length + 1])
    return torch.tensor(rows)


def trained(config: Configuration, codes: Tensor, *, epochs: int, l2: float, seed: int = 0) -> Gpt2:
    """Trained on mean loss plus l2/2 of the squared norm of everything, by Adam with a cosine schedule; float64."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = Gpt2(config).double()
        inputs, targets = codes[:, :-1], codes[:, 1:]
        optimiser = torch.optim.Adam(module.parameters(), lr=1e-2)
        steps = epochs * (-(-len(codes) // 64))
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        for _ in range(epochs):
            for at in torch.randperm(len(codes)).split(64):
                optimiser.zero_grad()
                penalty = sum(p.square().sum() for p in module.parameters())
                (next_token_loss(module(inputs[at]), targets[at]).mean() + 0.5 * l2 * penalty).backward()
                optimiser.step()
                schedule.step()
    return module.eval()
