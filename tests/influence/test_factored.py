"""Products with shared positions: every way of taking them gives what per-record gradients give."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from auditkit.influence import factored
from auditkit.influence.kronecker import Basis, Block
from auditkit.influence.sites.convolution import windows
from auditkit.influence.sites.embedding import EmbeddingSite
from auditkit.influence.sites.linear import LinearSite
from auditkit.influence.sites.site import Site
from tests.influence.conftest import random

ROWS = 6


def linear(inputs: int, outputs: int) -> LinearSite:
    return LinearSite("layer", nn.Linear(inputs, outputs).double(), "layer.weight", "layer.bias")


def embedding(_: int, outputs: int) -> EmbeddingSite:
    return EmbeddingSite("table", nn.Embedding(5, outputs, padding_idx=1).double(), "table.weight", None)


def rows_of(site: Site, positions: int, inputs: int) -> Tensor:
    if site.is_embedding:
        return torch.randint(0, 5, (ROWS, positions), generator=torch.Generator().manual_seed(1))
    return torch.cat([random(ROWS, positions, inputs), torch.ones(ROWS, positions, 1, dtype=torch.float64)], 2)


def block_of(site: Site, *, bias: float) -> Block:
    o, i = site.shape
    left = torch.linalg.qr(random(o, o, seed=4)).Q
    right = None if site.is_embedding else torch.linalg.qr(random(i, i, seed=5)).Q
    return Block(Basis(left, right), random(o, i, seed=6).abs(), 0.1, bias, 0.0)


Kind = Callable[[int, int], Site]

CASES: list[tuple[Kind, tuple[int, int, int], tuple[int, int]]] = [
    # Positions, inputs, outputs; probes, directions: one position, few and many of them against the widths, and few and
    # many directions against the probes.
    (linear, (1, 4, 3), (1, 2)),
    (linear, (2, 7, 6), (1, 1)),
    (linear, (3, 7, 6), (2, 9)),
    (linear, (7, 3, 4), (1, 30)),
    (linear, (2, 40, 30), (1, 3)),
    (linear, (5, 40, 30), (4, 3)),
    (linear, (9, 3, 4), (3, 5)),
    (linear, (40, 4, 3), (1, 1)),
    (linear, (40, 4, 3), (1, 6)),
    (linear, (40, 4, 3), (3, 2)),
    (embedding, (1, 0, 3), (2, 2)),
    (embedding, (6, 0, 3), (2, 4)),
]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("cached", [1, 2**18])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_every_way_equals_per_record_gradients(
    case: tuple[Kind, tuple[int, int, int], tuple[int, int]],
    cached: int,
    dtype: torch.dtype,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kind, (positions, inputs, outputs), (probes, directions) = case
    monkeypatch.setattr(factored, "_CACHED", cached)
    site = kind(inputs, outputs)
    given, gradients = rows_of(site, positions, inputs), random(ROWS, probes, positions, outputs, seed=2)
    block, along = block_of(site, bias=0.0 if site.is_embedding else 0.4), random(directions, *site.shape, seed=3)
    matrices = site.gradient(given, gradients)
    cross = torch.einsum("bpoi,soi->bps", matrices, along)
    solved = block.solve(matrices.flatten(0, 1)).view(matrices.shape)
    gram = torch.einsum("bpoi,bqoi->bpq", matrices, solved)
    squares = block.basis.turn(matrices).square().sum((0, 1))
    own = given if site.is_embedding else given.to(dtype)
    found = (
        factored.cross(site, own, gradients.to(dtype), along),
        factored.gram(site, block, own, gradients.to(dtype)),
        factored.eigenvalue_sum(site, block.basis, own, gradients.to(dtype)),
        *factored.products(site, block, own, gradients.to(dtype), along),
    )
    for one, two in zip(found, (cross, gram, squares, cross, gram), strict=True):
        assert one.dtype == torch.float64
        bound = 1e-11 if dtype == torch.float64 else 1e-4
        assert float((one - two).abs().max()) <= bound * float(two.abs().max())


def test_the_ways_are_chosen_by_operations() -> None:
    def sums_first(probes: int, positions: int, directions: int) -> bool:
        return factored._sum_first(random(1, probes, positions, 2), directions)

    assert not sums_first(1, 1, 10) and not sums_first(1, 40, 1) and not sums_first(3, 2, 9)
    assert sums_first(1, 40, 6) and sums_first(3, 40, 9)
    cases = [(p, t) for p in (1, 3) for t in (1, 4, 6, 9, 12)]
    by_pairs = {(p, t): factored._by_pairs(random(1, t, 500), random(1, p, t, 400)) for p, t in cases}
    assert [at for at, pairs in by_pairs.items() if not pairs] == [(1, 6), (1, 9), (1, 12), (3, 12)]
    assert not factored._by_pairs(random(1, 4, 5), random(1, 1, 4, 4))


@pytest.mark.parametrize("kernel", [(2, 3), (1, 1), (4, 2)])
@pytest.mark.parametrize("stride", [(1, 1), (2, 3)])
@pytest.mark.parametrize("dilation", [(1, 1), (2, 1)])
@pytest.mark.parametrize("padding", [(0, 0), (2, 1)])
def test_windows_are_torchs_own_unfolding(
    kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int], padding: tuple[int, int]
) -> None:
    layer = nn.Conv2d(3, 2, kernel, stride=stride, dilation=dilation, padding=padding)
    images = random(ROWS, 3, 8, 7)
    wanted = nn.functional.unfold(images, kernel, dilation=dilation, padding=padding, stride=stride)
    found = windows(layer, images).reshape(wanted.shape[1], ROWS, -1)
    assert torch.equal(found.transpose(0, 1), wanted)


def test_windows_are_a_view_until_they_are_padded() -> None:
    images = random(ROWS, 3, 8, 7)
    assert windows(nn.Conv2d(3, 2, 3), images).untyped_storage().data_ptr() == images.untyped_storage().data_ptr()
