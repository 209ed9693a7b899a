"""A small world for the gradient store, and what two stores are compared by."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from auditkit.influence import build_store
from auditkit.influence.store import Store
from tests.worlds import cross_entropy, trained_mlp

World = tuple[nn.Module, tuple[Tensor, Tensor], dict[str, tuple[Tensor, Tensor]]]
L2 = {"0.weight": 1e-2, "2.weight": 3e-2, "2.bias": 1e-2}


def small_world() -> World:
    module, x, y = trained_mlp()
    slices = {"even": (x[::2], y[::2]), "few": (x[:3], y[:3]), "one": (x[5:6], y[5:6])}
    return module, (x, y), slices


def built(world: World, folder: Path, **given: object) -> Store:
    module, train, _ = world
    settings = {"weight_decay": L2, "shard_rows": 17, **given}
    return build_store(module, cross_entropy, train, folder, **settings)  # type: ignore[arg-type]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def away(got: Tensor, truth: Tensor) -> float:
    return float(((got - truth).norm(dim=0) / truth.norm(dim=0)).max())
