"""One layer of every kind, with every option, between given inputs and two outputs; and small whole models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations

from auditkit.influence.problem import Problem, pose
from tests.influence.conftest import posed, random
from tests.worlds import cross_entropy, squared_loss

RECORDS = 12


class Around(nn.Module):
    """The layer, a bend, and a fixed mixture of its outputs to two."""

    mix: Tensor

    def __init__(self, layer: nn.Module, example: Tensor, *, bend: bool = True) -> None:
        super().__init__()
        self.layer, self.bend = layer, bend
        with torch.no_grad():
            width = layer.eval()(example[:2]).flatten(1).shape[1]
        self.register_buffer("mix", random(width, 2, seed=3) / width**0.5)

    def forward(self, x: Tensor) -> Tensor:
        given = self.layer(x).flatten(1)
        return (torch.tanh(given) if self.bend else given) @ self.mix


def _settled(layer: nn.Module) -> nn.Module:
    """Running statistics and affine parameters away from where they start."""
    for name, tensor in (*layer.named_parameters(), *layer.named_buffers()):
        if tensor.is_floating_point():
            moved = random(tensor.numel(), seed=len(name)).view(tensor.shape)
            tensor.data = moved.abs() + 0.5 if name == "running_var" else 0.6 * moved
    return layer


def _codes(*shape: int, high: int) -> Tensor:
    return torch.randint(0, high, shape, generator=torch.Generator().manual_seed(2))


class Tied(nn.Module):
    """A table of tokens that also reads them out, and its vector read once more beside both."""

    def __init__(self, tokens: int = 7, width: int = 4) -> None:
        super().__init__()
        self.table = nn.Embedding(tokens, width)
        self.head = nn.Linear(width, tokens, bias=False)
        self.head.weight = self.table.weight

    def forward(self, codes: Tensor) -> Tensor:
        return self.head(torch.tanh(self.table(codes).mean(1)))


class Einsum(nn.Module):
    """A tensor of its own with three dimensions, and a scalar."""

    def __init__(self, left: int = 3, right: int = 4, outputs: int = 2) -> None:
        super().__init__()
        self.core, self.scale = nn.Parameter(random(outputs, left, right)), nn.Parameter(torch.tensor(0.7).double())

    def forward(self, x: Tensor) -> Tensor:
        cut = self.core.shape[1]
        return self.scale * torch.tanh(torch.einsum("bl,olr,br->bo", x[:, :cut], self.core, x[:, cut:]))


class Attend(nn.Module):
    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(x, x, x, need_weights=False)[0]


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.GRU(3, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.cells(x)[0][:, -1]


class Twice(nn.Module):
    """One layer called at its input and at its own output, so with two numbers of positions."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.inner = layer

    def forward(self, x: Tensor) -> Tensor:
        once = torch.tanh(self.inner(x))
        return torch.cat([once.flatten(1), self.inner(once[:, :, 1:]).flatten(1)], 1)


class Aside(nn.Module):
    """A convolution whose weight is also read beside the call."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Conv1d(2, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) * self.inner.weight.square().mean()


Way = Literal["kronecker", "hooks", "autograd"]


@dataclass(frozen=True)
class Kind:
    """How the layer is made, what it is given, and which way its gradients come."""

    layer: Callable[[], nn.Module]
    inputs: Tensor
    way: Way

    def problem(
        self,
        *,
        squared: bool = False,
        l2: float | Mapping[str, float] = 1e-2,
        batch: int = 512,
        dtype: torch.dtype = torch.float64,
    ) -> Problem:
        """Posed with weights that differ between records."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            module = Around(_settled(self.layer().double()), self.inputs, bend=not squared).eval()
        rows = len(self.inputs)
        aims = random(rows, 2, seed=1) if squared else torch.arange(rows) % 2
        return pose(
            module,
            squared_loss if squared else cross_entropy,
            (self.inputs,),
            aims,
            weight_decay=l2,
            weights=random(rows, seed=7).abs() + 0.1,
            batch=batch,
            dtype=dtype,
        )


ONE, TWO, THREE = random(RECORDS, 2, 9), random(RECORDS, 2, 6, 5), random(RECORDS, 2, 4, 3, 4)
FOUR = random(RECORDS, 4, 5, 4)

KINDS: dict[str, Kind] = {
    "linear": Kind(lambda: nn.Linear(5, 3), random(RECORDS, 5), "kronecker"),
    "linear without bias": Kind(lambda: nn.Linear(5, 3, bias=False), random(RECORDS, 5), "kronecker"),
    "linear at positions": Kind(lambda: nn.Linear(5, 3), random(RECORDS, 4, 5), "kronecker"),
    "linear at two dimensions of positions": Kind(lambda: nn.Linear(3, 2), random(RECORDS, 2, 3, 3), "kronecker"),
    "embedding": Kind(lambda: nn.Embedding(6, 3), _codes(RECORDS, 4, high=6), "kronecker"),
    "embedding of one code": Kind(lambda: nn.Embedding(6, 3), _codes(RECORDS, high=6), "kronecker"),
    "embedding with padding": Kind(lambda: nn.Embedding(6, 3, padding_idx=2), _codes(RECORDS, 4, high=6), "kronecker"),
    "conv1d": Kind(lambda: nn.Conv1d(2, 3, 3), ONE, "kronecker"),
    "conv1d, stride and dilation": Kind(lambda: nn.Conv1d(2, 3, 3, stride=2, dilation=2), ONE, "kronecker"),
    "conv1d, circular": Kind(lambda: nn.Conv1d(2, 3, 3, padding=2, padding_mode="circular"), ONE, "kronecker"),
    "conv1d, groups": Kind(lambda: nn.Conv1d(2, 4, 3, groups=2), ONE, "hooks"),
    "conv2d": Kind(lambda: nn.Conv2d(2, 3, 3), TWO, "kronecker"),
    "conv2d without bias": Kind(lambda: nn.Conv2d(2, 3, (2, 3), bias=False), TWO, "kronecker"),
    "conv2d, stride": Kind(lambda: nn.Conv2d(2, 3, 3, stride=(2, 1)), TWO, "kronecker"),
    "conv2d, padding": Kind(lambda: nn.Conv2d(2, 3, 3, padding=(1, 2)), TWO, "kronecker"),
    "conv2d, dilation": Kind(lambda: nn.Conv2d(2, 3, (3, 2), dilation=(2, 3)), TWO, "kronecker"),
    "conv2d, same": Kind(lambda: nn.Conv2d(2, 3, (4, 3), padding="same", dilation=(1, 2)), TWO, "kronecker"),
    "conv2d, valid": Kind(lambda: nn.Conv2d(2, 3, 3, padding="valid"), TWO, "kronecker"),
    "conv2d, reflect": Kind(lambda: nn.Conv2d(2, 3, 3, padding=2, padding_mode="reflect"), TWO, "kronecker"),
    "conv2d, same and replicate": Kind(
        lambda: nn.Conv2d(2, 3, 4, padding="same", padding_mode="replicate"), TWO, "kronecker"
    ),
    "conv2d, everything": Kind(
        lambda: nn.Conv2d(2, 3, 3, stride=2, padding=(2, 1), dilation=(1, 2), padding_mode="circular"), TWO, "kronecker"
    ),
    "conv2d, one position": Kind(lambda: nn.Conv2d(2, 3, (6, 5)), TWO, "kronecker"),
    "conv2d, groups": Kind(lambda: nn.Conv2d(4, 6, 3, groups=2, stride=2, padding=1), FOUR, "hooks"),
    "conv2d, depthwise": Kind(lambda: nn.Conv2d(4, 4, 3, groups=4, dilation=2, padding=2, bias=False), FOUR, "hooks"),
    "conv3d": Kind(lambda: nn.Conv3d(2, 2, 2), THREE, "kronecker"),
    "conv3d, everything": Kind(
        lambda: nn.Conv3d(2, 2, (2, 1, 3), stride=(1, 2, 1), padding=(1, 0, 2), dilation=(2, 1, 1)), THREE, "kronecker"
    ),
    "conv3d, groups": Kind(lambda: nn.Conv3d(2, 2, 2, groups=2), THREE, "hooks"),
    "convolution called twice": Kind(lambda: Twice(nn.Conv2d(2, 2, 2, padding=1)), TWO, "kronecker"),
    "grouped convolution called twice": Kind(lambda: Twice(nn.Conv1d(2, 2, 2, groups=2)), ONE, "hooks"),
    "norm called twice": Kind(lambda: Twice(nn.GroupNorm(1, 2)), TWO, "hooks"),
    "convolution with a second use": Kind(Aside, ONE, "autograd"),
    "transposed convolution": Kind(lambda: nn.ConvTranspose1d(2, 3, 3, stride=2), ONE, "autograd"),
    "layer norm": Kind(lambda: nn.LayerNorm(5), random(RECORDS, 5), "hooks"),
    "layer norm over two dimensions": Kind(lambda: nn.LayerNorm((3, 5)), random(RECORDS, 2, 3, 5), "hooks"),
    "layer norm without bias": Kind(lambda: nn.LayerNorm(5, bias=False), random(RECORDS, 4, 5), "hooks"),
    "rms norm": Kind(lambda: nn.RMSNorm(5), random(RECORDS, 4, 5), "hooks"),
    "group norm": Kind(lambda: nn.GroupNorm(2, 4), FOUR, "hooks"),
    "batch norm of features": Kind(lambda: nn.BatchNorm1d(5), random(RECORDS, 5), "hooks"),
    "batch norm of sequences": Kind(lambda: nn.BatchNorm1d(2), ONE, "hooks"),
    "batch norm of images": Kind(lambda: nn.BatchNorm2d(2), TWO, "hooks"),
    "batch norm of volumes": Kind(lambda: nn.BatchNorm3d(2), THREE, "hooks"),
    "instance norm": Kind(lambda: nn.InstanceNorm2d(2, affine=True), TWO, "autograd"),
    "prelu": Kind(lambda: nn.PReLU(2), TWO, "autograd"),
    "bilinear": Kind(Einsum, random(RECORDS, 7), "autograd"),
    "attention": Kind(Attend, random(RECORDS, 3, 4), "autograd"),
    "recurrent": Kind(Recurrent, random(RECORDS, 4, 3), "autograd"),
    "tied": Kind(Tied, _codes(RECORDS, 4, high=7), "autograd"),
    "weight norm": Kind(lambda: parametrizations.weight_norm(nn.Linear(5, 3)), random(RECORDS, 5), "autograd"),
    "orthogonal": Kind(lambda: parametrizations.orthogonal(nn.Linear(3, 3)), random(RECORDS, 3), "autograd"),
}


class Convolutional(nn.Module):
    """Convolutions with both kinds of normalisation, one of them depthwise."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.second, self.groups = nn.Conv2d(4, 4, 3, stride=2, groups=4, bias=False), nn.GroupNorm(2, 4)
        self.third, self.last = nn.Conv2d(4, 5, 2), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.norm(self.first(x)), inplace=True)
        x = functional.gelu(self.groups(self.second(x)))
        return self.last(torch.tanh(self.third(x)).mean((2, 3)))


class Transformer(nn.Module):
    """torch's own encoder layer, whose eval mode takes one fused call for all of it."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.embed, self.place = nn.Linear(3, width), nn.Parameter(0.3 * random(1, 5, width))
        self.encoder = nn.TransformerEncoderLayer(width, 2, 6, batch_first=True, activation="gelu")
        self.last = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.encoder(self.embed(x) + self.place).mean(1))


class Language(nn.Module):
    """Token table tied to the head, a norm and a hidden layer between."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.norm, self.hidden = nn.Embedding(9, 6), nn.LayerNorm(6), nn.Linear(6, 6)
        self.head = nn.Linear(6, 9, bias=False)
        self.head.weight = self.table.weight

    def forward(self, codes: Tensor) -> Tensor:
        return self.head(torch.tanh(self.hidden(self.norm(self.table(codes).mean(1)))))[:, :3]


class Raw(nn.Module):
    """Raw parameters in an einsum, a weight-normalised layer, and a layer called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.core, self.scale = nn.Parameter(0.4 * random(4, 3, 3)), nn.Parameter(torch.ones(4))
        self.twice = nn.Linear(4, 4)
        self.last = parametrizations.weight_norm(nn.Linear(4, 3))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.scale * torch.einsum("bl,olr,br->bo", x[:, :3], self.core, x[:, 3:]))
        return self.last(torch.tanh(self.twice(torch.tanh(self.twice(x)))))


WORLDS: dict[str, tuple[Callable[[], nn.Module], Tensor]] = {
    "convolutional": (Convolutional, random(90, 1, 7, 7)),
    "transformer": (Transformer, random(90, 5, 3)),
    "language": (Language, _codes(90, 5, high=9)),
    "raw parameters": (Raw, random(90, 6)),
}


def world(name: str, *, l2: float = 1e-2, steps: int = 150) -> Problem:
    """A small model of this kind, trained on labels that a fixed map of its inputs gives."""
    make, inputs = WORLDS[name]
    flat = inputs.flatten(1).double()
    labels = (flat @ random(flat.shape[1], 3, seed=11)).argmax(1)
    # Training draws too (dropout), so it stays inside what is seeded.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        module = make().double()
        optimiser = torch.optim.Adam(module.parameters(), lr=2e-2)
        for _ in range(steps):
            optimiser.zero_grad()
            decay = l2 / 2 * sum(p.square().sum() for p in module.parameters())
            (cross_entropy(module(inputs), labels).mean() + decay).backward()
            optimiser.step()
    return posed(module.eval(), inputs, labels, l2=l2)
