"""The audited model beside others on the same evaluation records: one comparison per rate, gap, group and model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from auditkit.fairness import disclosure
from auditkit.fairness.comparison.answers import SLOTS, Answers, Standing, answers, board, standing
from auditkit.fairness.comparison.changes import Setting, changes
from auditkit.fairness.fine import FINE, fine
from auditkit.policy.schema import FairnessSettings
from auditkit.result import Estimate
from auditkit.result.comparison_of_models import ComparedModel, ModelChange, ModelComparison
from auditkit.stats import paired
from auditkit.stats.intervals import critical, wilson_bounds
from auditkit.stats.rounding import coarse_rate
from auditkit.subject.types import Floats, Grouping, Ints

AFTER = (
    "A change is the other model's figure less the audited model's, over the same records: what both have in common "
    "cancels. Rates with one denominator under both models are tested by McNemar's test over the records that change "
    "sides; predictive values and gaps by the smoothed difference over its standard error."
)
TOGETHER = (
    "Intervals of changes hold together over all groups and models of one measure on one attribute; p-values are put "
    "right for the same number. What two models that are both compared have between them is not tested."
)

EARLIER = (
    "Releases are held against each other by the audited model's answers. What another model answers differently from "
    "one release to the next is not looked for: compare the same models, or let more persons change."
)


@dataclass(frozen=True)
class Other:
    """A model beside the audited one, as it answered."""

    decision: Floats
    """[M] 1.0 favourable, 0.0 not, NaN missing."""
    source: str
    """What it is, in words."""
    threshold: float | None = None


def assess(
    *,
    groupings: Mapping[str, Grouping],
    truth: Floats,
    decision: Floats,
    others: Mapping[str, Other],
    persons: Ints | None,
    settings: FairnessSettings,
    minimum_cell: int,
    weights: Floats | None = None,
) -> ModelComparison:
    """Compare the audited model with every other one, for all records and for the groups of every grouping.

    Args:
        groupings: by name; codes [M]. truth, decision: [M] of the audited model. others: by name.
        persons: [M] codes of persons, or None where every record is a person of its own.
        settings: minimum group and denominator, level, multiplicity. minimum_cell: see `answers.standing`.
        weights: [M] sample weights, or None.

    Raises:
        DataError: answers, labels and memberships do not fit each other.
    """
    found = answers(
        truth=truth, decision=decision, others={name: other.decision for name, other in others.items()},
        persons=persons, weights=weights,
    )  # fmt: skip
    if not found.truth.size:
        return ModelComparison(status="not-applicable", reason="no record has a decision of every model")
    whole = Grouping("", ("",), np.zeros(len(truth), dtype=np.int64), reference="", reference_stated=True)
    asked = {"": whole, **groupings}
    rows = list[ModelChange]()
    models = tuple[ComparedModel, ...]()
    first: Standing | None = None
    for name, grouping in asked.items():
        along = disclosure.lines(name, groupings) if name else (np.arange(2),)
        kept = replace(grouping, codes=grouping.codes[found.kept])
        state = standing(found, kept, along=along, settings=settings, minimum_cell=minimum_cell)
        first = state if first is None else first
        setting = Setting(found, kept, state, settings, minimum_cell, whole=first)
        rows += changes(setting) if weights is None else map(_fine, changes(setting))
        if not name:
            models = tuple(_models(setting, others))
    return ModelComparison(
        status="assessed", multiplicity=settings.multiplicity, models=models, changes=tuple(rows),
        notes=tuple(_notes(found, minimum_cell)),
    )  # fmt: skip


def _models(setting: Setting, others: Mapping[str, Other]) -> Iterator[ComparedModel]:
    """Each model, and on how many records it decides otherwise."""
    for name, other in others.items():
        yield ComparedModel(
            name=name, source=other.source, threshold=other.threshold, disagree=_disagree(setting, name)
        )


def _disagree(setting: Setting, name: str) -> Estimate:
    """Share of records that the two decide differently, with Wilson's interval."""
    level, m = setting.settings.level, setting.minimum_cell
    if setting.state.why_not[0]:
        return Estimate(value=None, level=level, withheld=setting.state.why_not[0])
    own = board(setting.found, setting.grouping.codes, 1, "", name)
    cells = np.arange(2 * SLOTS)
    first, second = cells // 2 % 2, cells % 2
    rate = paired.Rate((first != second).astype(np.float64), np.ones(2 * SLOTS))
    value = float(rate.events @ own.tallied.weight / (rate.trials @ own.tallied.weight))
    effective = paired.effective(own.tallied, rate)
    low, high = wilson_bounds(rate=value, n=effective, z=critical(level))
    n = own.count(rate.trials)
    words = "" if setting.found.persons is None and setting.found.weights is None else ", n effective"
    exact = Estimate(
        value=value, low=low, high=high, level=level, n=n, method=f"Wilson score interval{words}",
        events=own.count(rate.events),
    )  # fmt: skip
    shown = coarse_rate(exact, trials=n, minimum=m) if setting.state.closed[0] else exact
    return shown if setting.found.weights is None else fine(shown)


def _fine(row: ModelChange) -> ModelChange:
    """To four decimals, p-values upwards: the last digits of a sum of weights would tell whose they are."""
    figures = {name: fine(getattr(row, name)) for name in ("before", "after", "change")}
    known = {name: getattr(row, name) for name in ("p_value", "adjusted_p_value")}
    up = {name: round(math.ceil(p / FINE - 1e-9) * FINE, 6) for name, p in known.items() if p is not None}
    return row.model_copy(update={**figures, **up})


def _notes(found: Answers, minimum_cell: int) -> Iterator[str]:
    yield AFTER
    yield TOGETHER
    yield EARLIER
    left = int((~found.kept).sum())
    if left:
        said = f"{left:,}" if left >= minimum_cell else f"Fewer than {minimum_cell}"
        weighed = "" if found.weights is None else ", or a weight of 0"
        yield f"{said} evaluation records have no decision of one of the models{weighed}; they are in no comparison."
