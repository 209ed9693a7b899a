"""The notebook's door for outcomes that are no single decision: arrays in, an OutcomePart out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from auditkit.errors import DataError
from auditkit.fairness import weights as given_weights
from auditkit.fairness.outcomes.reading import outcome_parts
from auditkit.policy.outcomes import Outcome
from auditkit.policy.schema import FairnessSettings
from auditkit.result.outcomes import OutcomePart
from auditkit.stats.weighted import relative
from auditkit.subject.groups import intersect
from auditkit.subject.labels import attributes_of, column_of, group_levels, group_texts, numbers_of, references_of
from auditkit.subject.types import Grouping


def measure_outcome(
    prediction: ArrayLike,
    truth: ArrayLike | None = None,
    *,
    kind: Literal["classes", "number", "ranking"],
    groups: Mapping[str, ArrayLike] | pd.DataFrame | pd.Series,
    persons: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    within: ArrayLike | None = None,
    classes: Sequence[bool | int | float | str] = (),
    quantiles: Sequence[float] = (0.1, 0.5, 0.9),
    top: Sequence[float] = (0.1,),
    intersections: Sequence[Sequence[str]] = (),
    reference: object = None,
    settings: FairnessSettings | None = None,
    minimum_cell: int = 10,
    seed: int = 0,
) -> OutcomePart:
    """Group statistics of classes, numbers or a ranking, with intervals and disclosure control.

    Args:
        prediction: [M] class, number, or score (the highest stands first). truth: [M] likewise, or merit; a ranking
            needs none. Missing is unknown, and such records are left out.
        groups: attribute -> [M] label of each record, missing is unknown membership. persons: [M] ids, kept whole.
        weights: [M] at least 0. within: [M] the list that each record of a ranking is placed in.
        classes: those assessed; without, every value met. quantiles: of the error. top: depths of the list, below 1 a
            share of it. intersections: of which attributes. reference: attribute -> group compared with; else the
            largest. settings, minimum_cell, seed: as for `auditkit.fairness.measure`.

    Raises:
        DataError: lengths differ, a number is none, a merit or weight is negative, a reference is no group.
    """
    given = {"prediction": prediction, "truth": truth, "within": within}
    attributes = attributes_of(groups)
    frame = _frame({name: values for name, values in given.items() if values is not None}, attributes, persons, weights)
    references = references_of(reference, attributes)
    plain = {name: _grouping(name, values, references) for name, values in attributes.items()}
    crossed = [intersect([_named(plain, part) for part in parts]) for parts in intersections]
    stated = {"kind": kind, "prediction": "prediction", "classes": tuple(classes), "quantiles": tuple(quantiles),
              "top": tuple(top), "truth": None if truth is None else "truth",
              "within": None if within is None else "within"}  # fmt: skip
    if truth is None and kind != "ranking":
        raise DataError(f"an outcome of the kind {kind!r} needs the truth")
    own = None if weights is None else numbers_of(weights, "weights")
    if own is not None:
        given_weights.check(own, rows=len(frame))
        own = relative(own)
    (part,) = outcome_parts(
        {"outcome": Outcome.model_validate(stated)}, frame,
        groupings=plain | {grouping.name: grouping for grouping in crossed},
        persons=None if persons is None else group_texts(persons, "persons"), weights=own,
        settings=FairnessSettings() if settings is None else settings, minimum_cell=minimum_cell,
        generator=np.random.default_rng(seed),
    )  # fmt: skip
    return part


def outcome_table(part: OutcomePart) -> pd.DataFrame:
    """The rows as a frame: metric, of, on, group, reference, comparison, unit, value, low, high, level, n, method."""
    told = ("value", "low", "high", "level", "n", "method", "withheld")
    where = ("metric", "of", "on", "group", "reference", "comparison", "unit")
    rows = [
        {**{name: getattr(row, name) for name in where}, **{name: getattr(row.estimate, name) for name in told}}
        for row in part.rows
    ]
    return pd.DataFrame(rows, columns=[*where, *told])


def _frame(
    columns: Mapping[str, ArrayLike], attributes: Mapping[str, ArrayLike], *others: ArrayLike | None
) -> pd.DataFrame:
    arrays = {name: column_of(values, name) for name, values in columns.items()}
    named = dict(attributes)
    named |= {name: values for name, values in zip(("persons", "weights"), others, strict=True) if values is not None}
    lengths = {len(values) for values in arrays.values()} | {len(column_of(x, name)) for name, x in named.items()}
    if len(lengths) != 1:
        raise DataError(f"arrays of one length are needed, and these have {', '.join(map(str, sorted(lengths)))}")
    return pd.DataFrame(arrays)


def _grouping(name: str, values: ArrayLike, reference: Mapping[str, str]) -> Grouping:
    codes, labels = group_levels(values, name)
    if not labels:
        raise DataError(f"no record is in a group of {name!r}")
    if name in reference and reference[name] not in labels:
        raise DataError(f"the reference {reference[name]!r} is no group of {name!r}; there are {', '.join(labels)}")
    largest = labels[int(np.bincount(codes[codes >= 0], minlength=len(labels)).argmax())]
    chosen = reference.get(name, largest)
    return Grouping(name, labels, codes, reference=chosen, reference_stated=name in reference)


def _named(plain: Mapping[str, Grouping], name: str) -> Grouping:
    if name not in plain:
        raise DataError(f"an intersection names {name!r}, and the attributes are {', '.join(plain)}")
    return plain[name]
