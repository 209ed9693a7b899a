"""Who is in which subset: exact random halves of the pool, drawn before anything is trained.

`train-halves`: the pool is the training rows; what influence is measured on, because it speaks of training rows only.
`pool-halves`: training and reserve rows; with a reserve as large as the training set every model has the audited
model's own size, and rows of both kinds are in and out alike: what membership risk is measured on.

Subsets are independent draws, not complementary pairs: a pair would be one draw counted twice in every interval.
"""

from __future__ import annotations

import numpy as np

from auditkit.bank.types import Kind, Plan, Size
from auditkit.errors import DataError
from auditkit.subject.persons import person_codes
from auditkit.subject.types import Ints, Mask, Table


def plan(table: Table, kind: Kind, size: Size, generator: np.random.Generator) -> Plan:
    """Draw the subsets and the seeds.

    Args:
        table: training (and reserve) rows form the pool; evaluation rows never do.
        kind: see above. size: models in the part for fitting, in the part for measuring, and repeated.
        generator: the only randomness.

    Raises:
        DataError: the pool has fewer than two persons (or, without persons, records), or `pool-halves` has no reserve.
    """
    rows = pool(table, kind)
    persons = np.arange(len(rows)) if table.persons is None else person_codes(table.persons[rows])
    if len(np.unique(persons)) < 2:
        raise DataError("random halves need at least two persons (or records) to draw from")
    drawn = np.stack([half(persons, generator) for _ in range(size.fitting + size.measuring)])
    again = np.arange(size.fitting, size.fitting + size.repeated)
    subset = np.concatenate([np.arange(len(drawn)), again])
    return Plan(
        kind=kind,
        rows=rows,
        masks=drawn[subset],
        subset=subset,
        measuring=subset >= size.fitting,
        seeds=generator.integers(0, 2**62, size=len(subset)),
    )


def half(persons: Ints, generator: np.random.Generator) -> Mask:
    """A random half [P] of the rows, whole persons only.

    Persons are taken in random order as long as they fit into floor(P/2) rows. What remains free is fewer rows than
    any person left out has, so without persons (one row each) the half is exact. Where persons differ in size, those
    who fill the last places are a little likelier to be small; with many persons that is a matter of 1/P.

    Args:
        persons: [P] codes; equal codes are one person. generator: the only randomness.
    """
    _, person, rows = np.unique(persons, return_inverse=True, return_counts=True)
    order = generator.permutation(len(rows))
    free = len(persons) // 2
    taken = np.zeros(len(rows), dtype=np.bool_)
    fits = np.cumsum(rows[order]) <= free
    taken[order[fits]] = True
    free -= int(rows[taken].sum())
    rest = order[~fits]
    while len(rest := rest[rows[rest] <= free]):
        taken[rest[0]] = True
        free -= int(rows[rest[0]])
        rest = rest[1:]
    members: Mask = taken[person]
    return members


def pool(table: Table, kind: Kind) -> Ints:
    """Positions [P] of the pool's rows in the table, ascending.

    Raises:
        DataError: `pool-halves` has no reserve.
    """
    if kind == "train-halves":
        return table.rows("train")
    reserve = table.rows("reserve")
    if not len(reserve):
        raise DataError("halves of training and reserve records need a reserve (data.reserve)")
    return np.sort(np.concatenate([table.rows("train"), reserve]))
