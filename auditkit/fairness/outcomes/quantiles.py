"""Quantiles of the error by group, with Woodruff's limits: the test of the share below, turned round."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from auditkit.fairness.outcomes.answers import Answers
from auditkit.stats.intervals import effective_n
from auditkit.stats.mover import Bounded
from auditkit.subject.types import Floats, Ints


@dataclass(frozen=True)
class Quantile:
    """One quantile of one group."""

    errors: Floats
    """[N] sorted."""
    below: Floats
    """[N] weighted share of errors up to and with this one."""
    q: float
    effective: float
    """Equally weighted, independent records that would know the share below as well."""

    @property
    def value(self) -> float:
        """The smallest error that at least the share q does not exceed."""
        return self._at(self.q)

    def at(self, z: float) -> Bounded | None:
        """Value and limits: all x with |F(x) - q| <= z sqrt(q (1 - q) / n); None where a limit lies beyond the data.

        Woodruff, JASA 47 (1952) 635, with the variance under the tested quantile. For independent records it is the
        score form of the sign test's interval: no density is estimated.
        """
        half = z * math.sqrt(self.q * (1 - self.q) / self.effective) if self.effective > 0 else math.inf
        if self.q - half <= 0 or self.q + half >= 1:
            return None
        after = int(np.searchsorted(self.below, self.q + half - 1e-12, side="left"))
        high = float(self.errors[min(after + 1, len(self.errors) - 1)])
        return Bounded(self.value, self._at(self.q - half), high)

    def _at(self, share: float) -> float:
        at = int(np.searchsorted(self.below, share - 1e-12, side="left"))
        return float(self.errors[min(at, len(self.errors) - 1)])


def quantile_of(answers: Answers, rows: Ints, q: float) -> Quantile:
    """One quantile of a group's errors; rows [N] are its counted records.

    The effective n is that of the weighted share of errors up to the quantile, over persons where they repeat.
    """
    order = np.argsort(answers.error[rows], kind="stable")
    rows = rows[order]
    errors, w = answers.error[rows], answers.weights[rows]
    below = np.asarray(np.cumsum(w) / w.sum(), dtype=np.float64)
    found = Quantile(errors, below, q, 0.0)
    # Equal errors are passed together, so that the share up to a value does not hang on the order of the file.
    last = np.searchsorted(errors, errors, side="right") - 1
    below = below[last]
    hit = errors <= found.value
    rate = float(w[hit].sum() / w.sum())
    units = np.unique(answers.units[rows], return_inverse=True)[1].ravel()
    held = np.bincount(units, weights=w)
    moved = np.bincount(units, weights=w * (hit - rate))
    count = len(held)
    factor = 1.0 if answers.unit == "records" else count / max(count - 1, 1)
    n = effective_n(
        rate=rate, total=float(w.sum()), squares=float((w**2).sum()), person_squares=float((held**2).sum()),
        spread=float((moved**2).sum()) * factor,
    )  # fmt: skip
    return Quantile(errors, below, q, n)
