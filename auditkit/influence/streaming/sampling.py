"""A stated subsample of the table's records, the same for the same generator."""

from __future__ import annotations

import torch
from torch import Tensor

from auditkit.influence.streaming.encoding import Reader, Records


def draw(n: int, count: int, generator: torch.Generator) -> Tensor:
    """[count] positions of n in ascending order, each set of them as likely as any other (Floyd's method).

    Memory and work grow with `count` only. Source: Bentley & Floyd 1987.
    """
    if count >= n:
        return torch.arange(n)
    chances = torch.rand(count, generator=generator, dtype=torch.float64).tolist()
    chosen: set[int] = set()
    for last, chance in zip(range(n - count, n), chances, strict=True):
        place = min(int(chance * (last + 1)), last)
        chosen.add(last if place in chosen else place)
    return torch.tensor(sorted(chosen))


def gather(reader: Reader, positions: Tensor) -> Records:
    """The records at these ascending positions, from one pass over the stretch of the table that holds them."""
    found = []
    for part in reader.table.parts(
        reader.size, start=int(positions[0]), stop=int(positions[-1]) + 1, shard=reader.shard
    ):
        inside = positions[(positions >= part.start) & (positions < part.stop)] - part.start
        if len(inside):
            found.append(reader.encoded(part, None if len(inside) == len(part.batch) else inside))
    weights = [records.weights for records in found]
    return Records(
        tuple(torch.cat(column) for column in zip(*(records.inputs for records in found), strict=True)),
        torch.cat([records.targets for records in found]),
        torch.cat([w for w in weights if w is not None]) if weights[0] is not None else None,
    )
