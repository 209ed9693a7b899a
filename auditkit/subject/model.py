"""The two small tabular modules, their loss and score: `logistic` and `mlp`; float64, no global randomness.

`mlp` uses GELU: smooth, so that the curvature the influence engine needs exists everywhere (the kinks of ReLU have
none), and unlike tanh not saturating on outlying values of standardised columns.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from hashlib import sha256
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from auditkit.policy.schema import Training
from auditkit.subject.encode import Encoding


class Logistic(nn.Module):
    """Logistic regression: [B, D] -> log-odds of the favourable outcome [B]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 1, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        """Log-odds [B]."""
        output: Tensor = self.linear(x)
        return output.squeeze(-1)


class Perceptron(nn.Module):
    """Linear layers with GELU between them: ([B, D] or [B, D'] and level indices [B, C]) -> log-odds [B]."""

    def __init__(
        self, width: int, hidden: tuple[int, ...], *, levels: tuple[int, ...] = (), embedding: int = 0
    ) -> None:
        super().__init__()
        self.embeddings = nn.ModuleList(nn.Embedding(count, embedding, dtype=torch.float64) for count in levels)
        widths = (width + embedding * len(levels), *hidden)
        self.hidden = nn.ModuleList(nn.Linear(a, b, dtype=torch.float64) for a, b in pairwise(widths))
        self.out = nn.Linear(widths[-1], 1, dtype=torch.float64)

    def forward(self, x: Tensor, indices: Tensor | None = None) -> Tensor:
        """Log-odds [B]."""
        if indices is not None:
            embedded = [layer(indices[:, place]) for place, layer in enumerate(self.embeddings)]
            x = torch.cat([x, *embedded], dim=1)
        for layer in self.hidden:
            x = functional.gelu(layer(x))
        output: Tensor = self.out(x)
        return output.squeeze(-1)


Build = Callable[[Encoding, Training], nn.Module]


def _logistic(encoding: Encoding, training: Training) -> nn.Module:
    return Logistic(encoding.width)


def _mlp(encoding: Encoding, training: Training) -> nn.Module:
    if not embeds(training):
        return Perceptron(encoding.width, training.hidden)
    levels = tuple(column.width for column in encoding.categorical)
    return Perceptron(encoding.numeric_width, training.hidden, levels=levels, embedding=training.embedding)


MODULES: dict[str, Build] = {"logistic": _logistic, "mlp": _mlp}


def embeds(training: Training) -> bool:
    """Whether categories enter as indices of embeddings rather than one-hot."""
    return training.module == "mlp" and training.embedding > 0


def build(encoding: Encoding, training: Training) -> nn.Module:
    """The module of a recipe, its parameters not yet set; give them by `initialise` or `load_state_dict`."""
    # torch's layers initialise themselves from the global generator, which is put back as it was.
    with torch.random.fork_rng(devices=()):
        return MODULES[training.module](encoding, training)


def initialise(module: nn.Module, generator: torch.Generator) -> None:
    """Set every parameter from `generator` alone.

    Weights are uniform in ±sqrt(3 / fan in), which keeps the variance of a standardised input (LeCun et al. 1998,
    Efficient BackProp, 4.6); embeddings N(0, 1/4); biases 0.
    """
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, nn.Linear):
                bound = math.sqrt(3 / max(1, part.in_features))
                part.weight.uniform_(-bound, bound, generator=generator)
                part.bias.zero_()
            elif isinstance(part, nn.Embedding):
                part.weight.normal_(0.0, 0.5, generator=generator)


def loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of the label under the predicted log-odds, per record [B], in nats; no reduction."""
    return functional.binary_cross_entropy_with_logits(outputs, targets, reduction="none")


def favourable_score(outputs: Tensor) -> Tensor:
    """Log-odds [B] -> probability of the favourable outcome [B]."""
    return torch.sigmoid(outputs)


def digest(module: nn.Module) -> str:
    """sha256 over names, shapes, dtypes and bytes of all parameters and buffers, in name order."""
    found = sha256()
    for name, tensor in sorted(module.state_dict().items()):
        plain = tensor.detach().cpu().contiguous()
        found.update(f"{name} {tuple(plain.shape)} {plain.dtype};".encode())
        found.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
