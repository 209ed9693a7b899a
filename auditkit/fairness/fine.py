"""Figures of weighted records to four decimals: their last digits would tell which records they are made of.

A sum of distinct weights is another number for every set of records, so that whoever knows the weights could find the
set from an exact figure; a count of records has no such digits. Limits are rounded outwards and p-values upwards. Not
called rounded in the figures, because no reader could tell; a note says it.
"""

from __future__ import annotations

import math
from typing import TypeVar

from auditkit.result import AttributeTests, Conditional, Estimate, FairnessPart, Measurement, Series
from auditkit.result.estimate import Record
from auditkit.stats.rounding import rounded

FINE = 1e-4
_Row = TypeVar("_Row", bound=Record)


def fine(exact: Estimate) -> Estimate:
    """One estimate; what is rounded already stays as it is."""
    if exact.step or (exact.value is None and exact.low is None):
        return exact
    coarse = rounded(exact, step=FINE, bounds=(-math.inf, math.inf))
    return coarse.model_copy(update={"events": exact.events, "step": exact.step})


def fine_part(part: FairnessPart) -> FairnessPart:
    """Every figure of a part whose records have weights."""
    return part.model_copy(
        update={
            "measurements": tuple(_measurement(row) for row in part.measurements),
            "conditional": tuple(_conditional(row) for row in part.conditional),
            "tests": tuple(_tests(tests) for tests in part.tests),
            "scores": tuple(
                own.model_copy(
                    update={"distribution": _series(own.distribution), "calibration": _series(own.calibration)}
                )
                for own in part.scores
            ),
        }
    )


def _measurement(row: Measurement) -> Measurement:
    return row.model_copy(update={"estimate": fine(row.estimate)})


def _tests(tests: AttributeTests) -> AttributeTests:
    return tests.model_copy(
        update={
            "gaps": tuple(_up(gap.model_copy(update={"gap": fine(gap.gap)}), "p") for gap in tests.gaps),
            "pairs": tuple(
                _up(
                    pair.model_copy(update={"difference": fine(pair.difference), "ratio": fine(pair.ratio)}),
                    "z_p", "adjusted_p", "detectable",
                )
                for pair in tests.pairs
            ),
            "thresholds": tuple(_up(test, "p", "adjusted_p") for test in tests.thresholds),
        }
    )  # fmt: skip


def _conditional(row: Conditional) -> Conditional:
    figures = {name: fine(getattr(row, name)) for name in ("crude", "adjusted", "odds_ratio")}
    strata = tuple(
        stratum.model_copy(
            update={"group_rate": fine(stratum.group_rate), "reference_rate": fine(stratum.reference_rate)}
        )
        for stratum in row.strata
    )
    return _up(row.model_copy(update={**figures, "strata": strata}), "cmh_p", "heterogeneity_p")


def _up(row: _Row, *names: str) -> _Row:
    """The row with these figures rounded upwards, so that nothing is told more surely than it is known."""
    known = {name: getattr(row, name) for name in names}
    more = {name: round(math.ceil(x / FINE - 1e-9) * FINE, 6) for name, x in known.items() if x is not None}
    return row.model_copy(update=more)


def _series(series: Series) -> Series:
    return series.model_copy(
        update={
            "points": tuple(
                point.model_copy(
                    update={
                        name: round(value, 4)
                        for name in ("y", "low", "high")
                        if (value := getattr(point, name)) is not None
                    }
                )
                for point in series.points
            )
        }
    )
