"""What the screen is worth on this very model: its marks held against the risks that retrained models show.

Truth here is the twentieth of the training records with the highest measured risk. It is itself estimated from a
limited number of models, which lowers precision and recall of every ranking alike; so the plain loss stands beside,
ranked by the same rule. Judged by precision among the top and never by a correlation over all records, which the many
unexposed ones decide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Final

import numpy as np

from auditkit.privacy.clustered import rate
from auditkit.privacy.disclosure import published_rate, safe_cell
from auditkit.privacy.rankings import LOSS, SELF
from auditkit.privacy.screen import ranks
from auditkit.result import Estimate, RankingQuality, Screen
from auditkit.subject.persons import support
from auditkit.subject.types import Floats, Ints, Mask

TRUTH_SHARE: Final = 0.05
TOPS: Final = (0.05, 0.01)
MEASURED: Final = "measured"
STEPS: Final = (0.1, 0.2, 0.25, 0.5)
"""Widths of the bands of a share that may not be told exactly."""


def measured(
    public: Screen,
    *,
    rankings: Mapping[str, Floats],
    absent: tuple[tuple[str, str], ...] = (),
    flag: Mask | None,
    risk: Floats | None,
    persons: Ints | None,
    level: float,
    minimum: int,
) -> Screen:
    """The screen with precision, recall and lift of its rankings; as it was where there is no risk to hold it against.

    Args:
        public: the screen. flag: [N] its marks. rankings: by name, [N] of the training records, largest most at risk;
            self-influence and loss among them. absent: rankings that this model does not have, and why.
        risk: [N] from retrained models. persons: [N] or None. level: coverage. minimum: minimum cell.
    """
    if public.status != "assessed" or not {SELF, LOSS} <= set(rankings) or risk is None:
        return public
    truth = top(risk, TRUTH_SHARE)
    marked = [] if flag is None else [("marked by the screen", flag)]
    rows = [
        row
        for name, values in rankings.items()
        for row in _rows(
            name, [*(marked if name == SELF else []), *_tops(values)], truth, persons, level=level, minimum=minimum
        )
    ]
    return public.model_copy(
        update={
            "calibration": MEASURED, "quality": tuple(rows), "truth_share": float(truth.mean()), "not_ranked": absent,
        }
    )  # fmt: skip


def top(values: Floats, share: float) -> Mask:
    """The records whose rank lies within `share` of all; ties at the edge fall out together."""
    place = ranks(values)
    ties = np.sort(values)[::-1]
    count = ceil(share * len(values))
    if len(values) > count and ties[count - 1] == ties[count]:
        return np.asarray(values > ties[count], dtype=np.bool_)
    return np.asarray(place <= count, dtype=np.bool_)


def _tops(values: Floats) -> list[tuple[str, Mask]]:
    return [(f"highest {share:.0%}", top(values, share)) for share in TOPS]


def _rows(
    ranking: str,
    selections: Sequence[tuple[str, Mask]],
    truth: Mask,
    persons: Ints | None,
    *,
    level: float,
    minimum: int,
) -> list[RankingQuality]:
    """One row per selection of one ranking.

    A selection is withheld where its counts, or their difference from those of one shown before, tell of a few persons.
    """
    shown: list[Mask] = []
    rows = []
    for name, chosen in selections:
        parts = [chosen, ~chosen, *(part for other in shown for part in (chosen & ~other, other & ~chosen))]
        safe = all(safe_cell(part, truth, persons, minimum=minimum) for part in parts)
        if safe:
            shown.append(chosen)
        row = _row(chosen, truth, persons, safe=safe, level=level, minimum=minimum)
        rows.append(row.model_copy(update={"ranking": ranking, "selection": name}))
    return rows


def _row(chosen: Mask, truth: Mask, persons: Ints | None, *, safe: bool, level: float, minimum: int) -> RankingQuality:
    """Precision, recall and lift of one selection; where exact figures would tell of few persons, as bands."""
    base = float(truth.mean())
    if not chosen.any() or not truth.any():
        nothing = Estimate(value=None, level=level, withheld="no records are picked")
        return RankingQuality(precision=nothing, recall=nothing, lift=nothing)
    parts = (truth[chosen], None if persons is None else persons[chosen]), (
        chosen[truth], None if persons is None else persons[truth],
    )  # fmt: skip
    if safe:
        precision, recall = (rate(hits, whose, level=level) for hits, whose in parts)
    else:
        precision, recall = (band(hits, whose, level=level, minimum=minimum) for hits, whose in parts)
        few = published_rate(*parts[0], level=level, minimum=minimum)
        precision = few if not few.known and few.low is not None else precision
    method = f"precision over the base rate; {precision.method}" if precision.method else ""
    lift = Estimate(
        value=_over(precision.value, base), low=_over(precision.low, base), high=_over(precision.high, base),
        level=level, n=precision.n, method=method, withheld=precision.withheld,
    )  # fmt: skip
    return RankingQuality(precision=precision, recall=recall, lift=lift)


def band(hits: Mask, persons: Ints | None, *, level: float, minimum: int) -> Estimate:
    """The band of STEPS that holds the share of hits: the narrowest that leaves the minimum of persons open."""
    count = support(np.ones(len(hits), dtype=np.bool_), persons)
    width = next((step for step in STEPS if step * count >= minimum), None)
    if width is None:
        few = f"it would tell of fewer than {minimum} persons, here or by subtraction"
        return Estimate(value=None, level=level, withheld=few)
    bands = round(1 / width)
    at = min(int(float(hits.mean()) * bands + 1e-9), bands - 1)
    told = f"the band of {width:.0%} that holds it; more would tell of fewer than {minimum} persons"
    return Estimate(value=None, low=at / bands, high=(at + 1) / bands, level=level, n=len(hits), withheld=told)


def _over(value: float | None, base: float) -> float | None:
    return None if value is None else value / base
