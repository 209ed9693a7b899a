"""The notebook's door, and that of tables of any size: groups, labels and decisions in, a FairnessPart out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from auditkit.errors import DataError
from auditkit.fairness.assess import measured
from auditkit.fairness.references import Reference, largest, referred
from auditkit.fairness.tally import Source, Tally, tally
from auditkit.policy.schema import REFERENCES, FairnessSettings
from auditkit.result import FairnessPart
from auditkit.subject.decisions import DEFAULT_THRESHOLD
from auditkit.subject.groups import intersect
from auditkit.subject.labels import attributes_of, column_of, references_of
from auditkit.subject.types import Grouping


def measure(
    truth: ArrayLike,
    decision: ArrayLike | None = None,
    *,
    score: ArrayLike | None = None,
    threshold: float = DEFAULT_THRESHOLD,
    groups: Mapping[str, ArrayLike] | pd.DataFrame | pd.Series,
    persons: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    intersections: Sequence[Sequence[str]] = (),
    reference: Mapping[str, object] | Reference | object = "largest",
    settings: FairnessSettings | None = None,
    minimum_cell: int = 10,
    seed: int = 0,
) -> FairnessPart:
    """Group statistics of decisions, with intervals and disclosure control, from arrays.

    Args:
        truth: [M] 1 favourable, 0 not, missing unknown. decision: [M] likewise; or score [M] and threshold (a score of
            at least the threshold, in its own precision, is favourable).
        groups: attribute -> [M] label of each record, missing is unknown.
        persons: [M] ids; persons are resampled, not rows. weights: [M] sample weights of at least 0.
        intersections: of which attributes, any number of each.
        reference: attribute -> group compared with (a text, a number or a truth value), or one word for all
            attributes: `largest` group, `best`, that with the highest selection rate among those large enough to be
            assessed (which favours finding a gap: no interval allows for the choice), or `overall`, all records. A word
            in place of a group's name does the same for one attribute, unless a group has that name.
        settings: minimum group and denominator, level, replicates; the policy's defaults if not given.
        minimum_cell: persons below which nothing is shown exactly. seed: of the bootstrap.

    Raises:
        DataError: lengths differ, a label or decision is neither 0, 1 nor missing, a reference is no group.
    """
    attributes = attributes_of(groups)
    columns = {f"g{at}": column_of(values, name) for at, (name, values) in enumerate(attributes.items())}
    given = {"truth": truth, "decision": decision, "score": score, "person": persons, "weight": weights}
    columns |= {name: column_of(values, name) for name, values in given.items() if values is not None}
    lengths = {len(values) for values in columns.values()}
    if len(lengths) != 1:
        raise DataError(f"arrays of one length are needed, and these have {', '.join(map(str, sorted(lengths)))}")
    return measure_table(
        pd.DataFrame(columns),
        groups={name: f"g{at}" for at, name in enumerate(attributes)},
        truth="truth",
        decision=None if decision is None else "decision",
        score=None if score is None else "score",
        threshold=threshold,
        person=None if persons is None else "person",
        weight=None if weights is None else "weight",
        intersections=intersections,
        reference=reference,
        settings=settings,
        minimum_cell=minimum_cell,
        seed=seed,
    )


def measure_table(
    source: Source,
    *,
    groups: Mapping[str, str],
    truth: str,
    decision: str | None = None,
    score: str | None = None,
    threshold: float = DEFAULT_THRESHOLD,
    person: str | None = None,
    weight: str | None = None,
    intersections: Sequence[Sequence[str]] = (),
    reference: Mapping[str, object] | Reference | object = "largest",
    settings: FairnessSettings | None = None,
    minimum_cell: int = 10,
    seed: int = 0,
) -> FairnessPart:
    """As `measure`, from a frame or Parquet files, in one pass and in memory that does not grow with the rows.

    Args:
        source: a frame, or the path (or glob) of Parquet files. groups: attribute -> column.
        truth, decision, score, person, weight: columns. The rest: as for `measure`.

    Raises:
        DataError: as `measure`, and for a missing column or a file that cannot be read.
    """
    settings = FairnessSettings() if settings is None else settings
    counted = tally(
        source, groups=groups, truth=truth, decision=decision, score=score, threshold=threshold, person=person,
        weight=weight,
    )  # fmt: skip
    stated = reference if reference in REFERENCES else references_of(reference, groups)
    plain = {name: _attribute(counted, name, stated, settings, minimum_cell) for name in groups}
    crossed = [intersect([_named(plain, part) for part in parts]) for parts in intersections]
    return measured(
        groupings=plain | {grouping.name: grouping for grouping in crossed},
        cells=counted.cells,
        rows=len(counted.cell),
        undecided=counted.undecided,
        settings=settings,
        minimum_cell=minimum_cell,
        generator=np.random.default_rng(seed),
    )


def table(part: FairnessPart) -> pd.DataFrame:
    """The measurements as a frame: measure, on, group, reference, value, low, high, level, n, method, withheld."""
    rows = [
        {
            "measure": row.measure, "on": row.on, "group": row.group, "reference": row.reference,
            "value": row.estimate.value, "low": row.estimate.low, "high": row.estimate.high,
            "level": row.estimate.level, "n": row.estimate.n, "method": row.estimate.method,
            "withheld": row.estimate.withheld,
        }
        for row in part.measurements
    ]  # fmt: skip
    return pd.DataFrame(rows)


def _attribute(
    counted: Tally, name: str, reference: Mapping[str, str] | str, settings: FairnessSettings, minimum: int
) -> Grouping:
    labels = counted.labels[name]
    if not labels:
        raise DataError(f"no record is in a group of {name!r}")
    grouping = Grouping(name, labels, counted.codes[name], reference="", reference_stated=False)
    cells = counted.cells(grouping)
    how: str = "largest"
    if isinstance(reference, str):
        how = reference
    elif name in reference:
        how = reference[name]
        if how in labels:
            return replace(grouping, reference=how, reference_stated=True)
        if how == "largest":
            return referred(grouping, how, cells, settings=settings, minimum=minimum)
    if how == "largest":
        return replace(grouping, reference=labels[largest(cells)])
    if how not in REFERENCES:
        raise DataError(f"the reference {how!r} is no group of {name!r}; there are {', '.join(labels)}")
    return referred(grouping, how, cells, settings=settings, minimum=minimum)


def _named(plain: Mapping[str, Grouping], name: str) -> Grouping:
    if name not in plain:
        raise DataError(f"an intersection names {name!r}, and the attributes are {', '.join(plain)}")
    return plain[name]
