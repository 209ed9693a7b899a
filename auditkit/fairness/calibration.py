"""Calibration within groups: whether a score of 0.7 means 70 of 100 in every group."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from auditkit.fairness.scored import Scored, rows
from auditkit.result import Estimate, Measurement, Point, Series
from auditkit.stats import weighted
from auditkit.stats.clusters import covariance, variance
from auditkit.stats.intervals import critical, design_effect, effective_n, wilson_bounds
from auditkit.stats.rounding import rate_step, rounded
from auditkit.subject.types import Floats, Ints, Mask

BINS = 10
RECORDS = 50
"""Records of a bin, wherever the group has enough for two."""


@dataclass(frozen=True)
class Bins:
    """A group's records in bins of about equal size, lowest scores first."""

    code: Ints
    """[N] bin of each record."""
    size: Ints
    """[K]"""
    score: Floats
    """[N]; and the labels, below."""
    truth: Floats
    persons: Ints
    weight: Floats
    """[N] sample weights with mean 1; ones where there are none."""

    @property
    def gap(self) -> Floats:
        """[K] sum over the bin of (label - score), weighted."""
        return self.sums(self.weight * (self.truth - self.score))

    @property
    def middle(self) -> Floats:
        """[K] mean score."""
        total = self.sums(self.weight)
        return self.sums(self.weight * self.score) / np.where(total > 0, total, 1.0)

    def sums(self, values: Floats) -> Floats:
        """[K] sums [N] by bin."""
        return np.asarray(np.bincount(self.code, weights=values, minlength=self.size.size), dtype=np.float64)


def measurements(scored: Scored, generator: np.random.Generator) -> Iterator[Measurement]:
    """`fairness.calibration_error` and `fairness.brier` of every group."""
    children = dict(zip(scored.groups, generator.spawn(len(scored.groups)), strict=True))

    def ece(group: int, level: float) -> Estimate:
        return error(scored, group, level, children[group])

    def score(group: int, level: float) -> Estimate:
        return brier(scored, group, level)

    for row in rows(scored, "calibration_error", ece, unit="score", bounds=(0.0, 1.0)):
        group = scored.setting.grouping.labels.index(row.group)
        known = row.estimate.known and not row.estimate.step
        yield row.model_copy(update={"parts": (*row.parts, floor_note(binned(scored, group)))}) if known else row
    yield from rows(scored, "brier", score, unit="score", bounds=(0.0, 1.0))


def binned(scored: Scored, group: int) -> Bins:
    """Bins of whole ties: a bin ends once it holds its share of the records, and at least the minimum cell's persons.

    At most BINS, of at least RECORDS records each where there are enough. A rest too small joins the last.
    """
    own = scored.of(group)
    order = np.argsort(scored.score[own], kind="stable")
    score, truth, persons = scored.score[own][order], scored.truth[own][order], scored.persons[own][order]
    weight = scored.weigh(own)[order]
    several = int(np.bincount(persons).max())
    least = max(math.ceil(score.size / BINS), min(RECORDS, score.size // 2), scored.setting.minimum_cell * several)
    ends, start = [], 0
    for end in (np.flatnonzero(np.diff(score)) + 1).tolist():
        if end - start >= least and score.size - end >= least:
            ends.append(end)
            start = end
    code = np.searchsorted(np.array(ends), np.arange(score.size), side="right").astype(np.int64)
    return Bins(code, np.bincount(code), score, truth, persons, weight * (weight.size / weight.sum()))


def error(scored: Scored, group: int, level: float, generator: np.random.Generator) -> Estimate:
    """Expected calibration error: sum over bins of |sum of (label - score)| / records.

    Naeini, Cooper and Hauskrecht, AAAI 2015, with bins of equal size. The interval is value ± q, cut at 0: q is the
    `level` quantile of sum |deviation of the bins' sums| / records, the deviations drawn from a normal law with their
    covariance over persons. By the triangle inequality the value differs from the true one by no more than that, so the
    interval covers at every calibration; of a calibrated score it holds 0 at the level, and for others it is wider than
    need be. A percentile bootstrap never holds 0: absolute values bias estimate and replicates upwards. Wrong about
    miscalibration inside a bin, which it cannot see.
    """
    found = binned(scored, group)
    n, gap = int(found.size.sum()), found.gap
    residual = found.weight * (found.truth - found.score)
    spread = covariance(residual, persons=found.persons, bins=found.code, count=found.size.size)
    values, axes = np.linalg.eigh(spread)
    root = axes * np.sqrt(np.maximum(values, 0.0))
    replicates = scored.setting.settings.replicates
    drawn = np.abs(generator.standard_normal((replicates, gap.size)) @ root.T).sum(axis=1) / n
    value, q = float(np.abs(gap).sum() / n), float(np.quantile(drawn, level))
    what = "persons" if scored.setting.cells.repeats else "records"
    what += ", weighted" if scored.weights is not None else ""
    method = f"{gap.size} bins of equal size, bootstrap of their deviations over {what}, {replicates:,} replicates"
    low, high = max(0.0, value - q), min(1.0, value + q)
    return Estimate(value=value, low=low, high=high, level=level, n=n, method=method)


def floor_note(found: Bins) -> str:
    """What the error of a calibrated score would be on so many records: the estimate is biased upwards by up to that.

    Sum over bins of the mean absolute value of a normal sum of labels with the bin's mean score: sqrt(2 v / pi) / n,
    v = n_b p (1 - p), with sum of w² in place of n_b where records are weighted.
    """
    p, squares = found.middle, found.sums(found.weight**2)
    noise = float(np.sqrt(2 / np.pi * squares * np.clip(p * (1 - p), 0, None)).sum() / found.size.sum())
    return f"calibration error is biased upwards: a calibrated score would show about {noise:.3f} on so many records"


def brier(scored: Scored, group: int, level: float) -> Estimate:
    """Mean of (score - label)², Brier (Mon. Weather Rev. 78 (1950) 1); a normal interval, persons kept together.

    It mixes calibration with how predictable the group is: groups of different base rates differ in it without any
    difference in treatment.
    """
    own = scored.of(group)
    squares = (scored.score[own] - scored.truth[own]) ** 2
    if scored.weights is not None:
        return _weighted_brier(scored, own, squares, level)
    value = float(squares.mean())
    moved = (squares - value) / squares.size
    half = critical(level) * math.sqrt(variance(moved, persons=scored.persons[own]))
    by = " over persons" if scored.setting.cells.repeats else ""
    method = f"normal interval, variance{by}, simultaneous over the groups (Šidák)"
    return Estimate(
        value=value, low=max(0.0, value - half), high=min(1.0, value + half), level=level, n=squares.size, method=method
    )


def _weighted_brier(scored: Scored, own: Mask, squares: Floats, level: float) -> Estimate:
    found = weighted.mean(squares, scored.weigh(own), persons=scored.persons[own])
    half = critical(level) * found.error
    by = " over persons" if scored.setting.cells.repeats else ""
    method = f"normal interval, variance of weighted records{by}, simultaneous over the groups (Šidák)"
    low, high = max(0.0, found.value - half), min(1.0, found.value + half)
    return Estimate(value=found.value, low=low, high=high, level=level, n=squares.size, method=method)


def curve(scored: Scored, group: int) -> Series:
    """Share of favourable labels by bin, with Wilson's interval, n divided by the design effect where persons repeat.

    Where any bin has fewer favourable or unfavourable labels than the minimum cell, all shares of the group are rounded
    to steps half a cell wide, limits outwards, so that none follows from the others and the base rate.
    """
    found, m, level = binned(scored, group), scored.setting.minimum_cell, scored.setting.settings.level
    middle = found.middle
    shares = [_share(found, b, level=level) for b in range(found.size.size)]
    coarse = any(min(e.events or 0, (e.n or 0) - (e.events or 0)) < m for e in shares)
    points = []
    for x, share in zip(middle.tolist(), shares, strict=True):
        if share.value is None:
            continue
        step = rate_step(trials=share.n or 0, minimum=m) if coarse else 0.0
        if step is None:
            continue
        shown = rounded(share, step=step, bounds=(0.0, 1.0)) if step else share
        if shown.value is not None:
            points.append(Point(x=round(x, 3), y=shown.value, low=shown.low, high=shown.high))
    words = "Wilson score intervals" + (f", shares rounded: a bin has fewer than {m} of one label" if coarse else "")
    return Series(
        name="Calibration", x_label="Mean score", y_label="Share of favourable labels", points=tuple(points),
        n=int(found.size.sum()), method=words,
    )  # fmt: skip


def _share(found: Bins, place: int, *, level: float) -> Estimate:
    """Favourable labels of one bin."""
    inside = found.code == place
    truth, (_, codes) = found.truth[inside], np.unique(found.persons[inside], return_inverse=True)
    events, trials = np.bincount(codes, weights=truth).astype(np.int64), np.bincount(codes)
    effect = design_effect(events=events, trials=trials, counts=np.ones_like(trials))
    n, value = truth.size, float(truth.mean())
    if (found.weight != 1).any():
        value, effect = _weighted_share(truth, found.weight[inside], codes)
        if not effect:
            return Estimate(value=None, level=level, n=n, events=int(truth.sum()))
    low, high = wilson_bounds(rate=value, n=n / effect, z=critical(level))
    return Estimate(value=value, low=low, high=high, level=level, n=n, events=int(truth.sum()))


def _weighted_share(truth: Floats, weight: Floats, persons: Ints) -> tuple[float, float]:
    """Share of favourable labels of weighted records, and the design effect of their weights; 0, 0 without weight."""
    if not weight.any():
        return 0.0, 0.0
    total = float(weight.sum())
    value = float(weight @ truth) / total
    moved, own = (np.bincount(persons, weights=x) for x in (weight * (truth - value), weight))
    effective = effective_n(
        rate=value, total=total, squares=float(weight @ weight), person_squares=float(own @ own),
        spread=float(moved @ moved),
    )  # fmt: skip
    return value, truth.size / effective
