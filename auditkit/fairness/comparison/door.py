"""The door for notebooks: several models' decisions on the same records, compared in pairs with the first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from auditkit.errors import DataError
from auditkit.fairness.comparison.assess import Other, assess
from auditkit.policy.schema import FairnessSettings
from auditkit.result.comparison_of_models import ModelComparison
from auditkit.stats.weighted import relative
from auditkit.subject.groups import intersect
from auditkit.subject.labels import (
    answers_of,
    attributes_of,
    column_of,
    group_levels,
    group_texts,
    numbers_of,
    references_of,
)
from auditkit.subject.persons import person_codes
from auditkit.subject.types import ALL_RECORDS, Grouping


def compare(
    truth: ArrayLike,
    decisions: Mapping[str, ArrayLike],
    *,
    groups: Mapping[str, ArrayLike] | pd.DataFrame | pd.Series,
    persons: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    intersections: Sequence[Sequence[str]] = (),
    reference: object = None,
    settings: FairnessSettings | None = None,
    minimum_cell: int = 10,
) -> ModelComparison:
    """How every rate and every gap changes from the first model to each of the others, paired.

    Args:
        truth: [M] 1 favourable, 0 not, missing unknown. decisions: model -> [M] likewise; the first is the one that
            all others are compared with. groups: attribute -> [M] label, missing is unknown.
        persons: [M] ids; a person's records are one witness. weights: [M] sample weights.
        intersections: of which attributes.
        reference: attribute -> group, or `overall` for all records; the largest group where none is stated.
        settings: minimum group and denominator, level, multiplicity. minimum_cell: persons below which nothing is
            shown exactly.

    Raises:
        DataError: fewer than two models, lengths differ, a value is neither 0, 1 nor missing, a reference is no group.
    """
    names = list(decisions)
    if len(names) < 2:
        raise DataError("two models are needed at least")
    own = answers_of(truth, "truth")
    given = {name: column_of(values, name) for name, values in attributes_of(groups).items()}
    uneven = [name for name, values in given.items() if len(values) != len(own)]
    if uneven:
        raise DataError(f"the groups of {', '.join(uneven)} do not fit {len(own):,} labels")
    answers = {name: answers_of(decisions[name], f"the decisions of {name}") for name in names}
    short = [name for name, values in answers.items() if len(values) != len(own)]
    if short:
        raise DataError(f"the decisions of {', '.join(short)} do not fit {len(own):,} labels")
    stated = references_of(reference, given)
    plain = {name: _grouping(name, values, stated.get(name)) for name, values in given.items()}
    lacking = [part for parts in intersections for part in parts if part not in plain]
    if lacking:
        raise DataError(f"no attribute {', '.join(dict.fromkeys(lacking))}; there are {', '.join(plain)}")
    crossed = [intersect([plain[part] for part in parts]) for parts in intersections]
    codes = None if persons is None else person_codes(group_texts(persons, "persons"))
    if codes is not None and len(codes) != len(own):
        raise DataError(f"{len(codes):,} persons do not fit {len(own):,} labels")
    return assess(
        groupings=plain | {grouping.name: grouping for grouping in crossed},
        truth=own,
        decision=answers[names[0]],
        others={name: Other(answers[name], "decisions") for name in names[1:]},
        persons=codes,
        settings=FairnessSettings() if settings is None else settings,
        minimum_cell=minimum_cell,
        weights=None if weights is None else relative(numbers_of(weights, "weights")),
    )


def comparison_table(part: ModelComparison) -> pd.DataFrame:
    """The changes as a frame, one row each."""
    rows = [
        {
            "model": row.model, "measure": row.measure, "on": row.on, "group": row.group, "reference": row.reference,
            "before": row.before.value, "after": row.after.value, "change": row.change.value, "low": row.change.low,
            "high": row.change.high, "level": row.change.level, "n": row.change.n, "lost": row.lost,
            "gained": row.gained, "p": row.p_value, "adjusted_p": row.adjusted_p_value, "test": row.test,
            "withheld": row.change.withheld,
        }
        for row in part.changes
    ]  # fmt: skip
    return pd.DataFrame(rows)


def _grouping(name: str, values: pd.Series, reference: str | None) -> Grouping:
    codes, labels = group_levels(values, name)
    if not labels:
        raise DataError(f"no record is in a group of {name!r}")
    if reference == "overall" and reference not in labels:
        return Grouping(name, labels, codes, reference=ALL_RECORDS, reference_stated=True, chosen="overall")
    if reference is not None and reference not in labels:
        raise DataError(f"the reference {reference!r} is no group of {name!r}; there are {', '.join(labels)}")
    largest = labels[int(np.bincount(codes[codes >= 0], minlength=len(labels)).argmax())]
    return Grouping(name, labels, codes, reference=reference or largest, reference_stated=reference is not None)
