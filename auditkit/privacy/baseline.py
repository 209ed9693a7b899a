"""A baseline attack that never asks the audited model: can training records be told from the reserve without it?

A membership attack compares training records with a reserve. What it finds is the model's only if the two are alike in
everything else. If they can be told apart by features and labels alone, or by what models that learned from neither
say of them, an attack's success says nothing of the audited model.

Each of these scores every record out of fold, by models fitted on other records (other persons, other distinct rows):

* loss: minus the loss of models of the label given the features, fitted on both lots without a look at which is which
  (the mean of a logistic regression and of boosted trees). It sees other label noise, as any loss attack does.
* linear: a logistic regression of membership on features, label, their products and that loss.
* trees: boosted trees of membership on features, label, that loss and the predicted label.
* retrained: where there are models retrained on halves of both lots, the mean margin of those that did not learn from
  the record. It is the loss attack as models of the same recipe see it that never met the record.

The baseline's AUC is the largest of theirs (of loss and retrained an AUC below 0.5 counts as its mirror image, for they
may be higher or lower in either lot), with an interval that is simultaneous over them. Records count as different where
its lower limit exceeds 0.5 by more than MARGIN. That is an effect size and not a test: with many records a test finds
differences that move no attack, and stops one honest audit of twenty. At MARGIN = 0.02 a division by chance is stopped
only where the estimate errs by several of its deviations, and what passes can raise an attack's AUC by a few hundredths
at the most, within the room that usual thresholds (0.55 to 0.60) leave.

Sources: the two-sample classifier test of Lopez-Paz & Oquab, Revisiting Classifier Two-Sample Tests, ICLR 2017; blind
baselines of Das, Zhang & Tramèr, Blind Baselines Beat Membership Inference Attacks for Foundation Models, 2024. Wrong
where the two differ in columns that are not given, or in a way that neither trees nor products of two columns show.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from auditkit.privacy.describing import numbers
from auditkit.privacy.membership import Retrained
from auditkit.result import Baseline, Estimate, Measurement
from auditkit.stats import roc
from auditkit.subject.persons import support
from auditkit.subject.types import Floats, Ints, Mask, Split

BASELINE: Final = "privacy.baseline_auc"
MARGIN: Final = 0.02
MOST: Final = 4_000
"""Records of a side that the baseline is measured on; of more, a random part (whole persons)."""
FEWEST: Final = 30
"""Records of a side below which nothing can be fitted."""
FOLDS: Final = 5
TREES: Final = 40
LEAVES: Final = 8
RATE: Final = 0.1
PENALTY: Final = 0.05
"""C of the logistic regressions, on standardised columns."""
MOST_LEVELS: Final = 30
GAP: Final = -1.25e300
"""Stands for a missing number where rows are compared."""
UNUSABLE: Final = "a baseline needs features and labels of the training records and of the reserve"
FEW: Final = f"a baseline needs {FEWEST} records on each side, and a label of both values"
MIRRORED: Final = ("loss", "retrained")
"""Baselines that were not fitted to membership: what they find has no side of its own."""
TITLES: Final = {
    "loss": "loss of models fitted on both",
    "linear": "logistic regression of membership on features and label",
    "trees": "boosted trees of membership on features and label",
    "retrained": "margin under retrained models that did not learn from the record",
}
METHOD: Final = "simultaneous over {count} baselines, the strongest stated: {title}"
DIFFER: Final = (
    "training records and reserve can be told apart without the model (baseline AUC {value:.3f}, at least {low:.3f}, "
    "where {most:.2f} is the most allowed), so this is no evidence about the model; a reserve of the same population "
    "and period as the training records is needed"
)


@dataclass(frozen=True)
class Lots:
    """Features and labels of training records and reserve."""

    train: pd.DataFrame
    reserve: pd.DataFrame
    labels: tuple[Floats, Floats]
    numeric: Collection[str] | None
    persons: tuple[Ints, Ints] | None


@dataclass(frozen=True)
class Measured:
    """The public part, and for restricted evidence the strongest baseline's scores by side, NaN where not measured."""

    public: Baseline
    train: Floats | None = None
    reserve: Floats | None = None

    @property
    def measurement(self) -> Measurement:
        """The baseline's AUC as a row of the result."""
        return Measurement(measure=BASELINE, unit="score", estimate=self.public.auc)

    @property
    def arrays(self) -> dict[str, Floats]:
        """For restricted evidence: `baseline_train` [N] and `baseline_reserve` [K]."""
        if self.train is None or self.reserve is None:
            return {}
        return {"baseline_train": self.train, "baseline_reserve": self.reserve}


@dataclass(frozen=True)
class _Records:
    """The records that are measured, members first."""

    raw: Floats
    levels: Mask
    wide: Floats
    """[P, D] standardised columns, gaps and levels as columns of 0 and 1."""
    label: Floats
    member: Mask
    fold: Ints


@dataclass(frozen=True)
class _Sides:
    """Which rows of the two lots are measured, and whose they are."""

    rows: tuple[Ints, Ints]
    sizes: tuple[int, int]
    """Rows of the lots, measured or not."""
    persons: tuple[Ints, Ints] | None

    @property
    def pool(self) -> Ints:
        """Places of the measured rows among all training rows, then all reserve rows."""
        return np.concatenate([self.rows[0], self.sizes[0] + self.rows[1]])

    @property
    def member(self) -> Mask:
        """[P] measured rows that are training records."""
        return np.arange(len(self.pool)) < len(self.rows[0])

    @property
    def fewest(self) -> int:
        """Persons on the smaller side."""
        whose = (None, None) if self.persons is None else self.persons
        return min(
            support(np.ones(len(part), dtype=np.bool_), codes) for part, codes in zip(self.rows, whose, strict=True)
        )


def measured(
    lots: Lots | None, retrained: Retrained | None, *, measures: Collection[str], absent: str = "", level: float,
    minimum: int, generator: np.random.Generator,
) -> Measured:  # fmt: skip
    """The baseline of one audit.

    Args:
        lots: features and labels, or None where they are not known.
        retrained: models with and without each record, or None.
        measures: names of the measures that rest on training records against the reserve.
        absent: why there is no attack at all; empty where there is one.
        level: coverage of the interval, simultaneous over the baselines. minimum: minimum cell.
        generator: draws folds, and records where there are many.
    """
    if absent or lots is None:
        return _absent(absent or UNUSABLE, level)
    sides = _chosen(lots, generator)
    label = np.concatenate(lots.labels)[sides.pool]
    if min(map(len, sides.rows)) < FEWEST or not np.isfinite(label).all() or len(np.unique(label)) != 2:
        return _absent(FEW, level)
    if sides.fewest < minimum:
        return _absent(f"fewer than {minimum} persons or records on one side", level)
    records = _records(lots, sides, label, generator)
    with threadpool_limits(limits=1, user_api="openmp"), warnings.catch_warnings():
        # A regression that stopped early is still a score that was fitted on other records.
        warnings.simplefilter("ignore", ConvergenceWarning)
        scores = _scores(records)
    if retrained is not None:
        scores["retrained"] = _outside(retrained)[sides.pool]
    return _strongest(scores, sides, tuple(measures), level)


def confounded(part: Baseline | None) -> dict[str, str]:
    """Measure -> why no rule may be judged on it; empty where training records and reserve are alike enough."""
    return dict.fromkeys(part.measures, part.reason) if part is not None and part.differs else {}


def _strongest(scores: Mapping[str, Floats], sides: _Sides, measures: tuple[str, ...], level: float) -> Measured:
    """The baseline with the largest AUC, its interval at the level that all together need."""
    each, member = 1 - (1 - level) / len(scores), sides.member
    found = {
        name: _area(score, member, sides.persons, each, mirrored=name in MIRRORED) for name, score in scores.items()
    }
    name = max(found, key=lambda key: found[key][0].value or 0.0)
    best, sign = found[name]
    value, low = best.value or 0.5, best.low or 0.0
    method = f"{best.method}; {METHOD.format(count=len(scores), title=TITLES[name])}"
    differs = low > 0.5 + MARGIN
    public = Baseline(
        status="assessed", auc=best.model_copy(update={"level": level, "method": method}), margin=MARGIN,
        differs=differs, strongest=TITLES[name], measures=measures,
        reason=DIFFER.format(value=value, low=low, most=0.5 + MARGIN) if differs else "",
    )  # fmt: skip
    train, reserve = (np.full(size, np.nan) for size in sides.sizes)
    train[sides.rows[0]], reserve[sides.rows[1]] = sign * scores[name][member], sign * scores[name][~member]
    return Measured(public, train, reserve)


def _area(
    score: Floats, member: Mask, whose: tuple[Ints, Ints] | None, level: float, *, mirrored: bool
) -> tuple[Estimate, float]:
    """AUC of the score, or of its opposite where that is asked for and larger, and the sign."""
    found = roc.auc(positives=score[member], negatives=score[~member], level=level, persons=whose)
    if mirrored and found.value is not None and found.value < 0.5:
        found = roc.auc(positives=-score[member], negatives=-score[~member], level=level, persons=whose)
        return found, -1.0
    return found, 1.0


def _absent(reason: str, level: float) -> Measured:
    nothing = Estimate(value=None, level=level, withheld=reason)
    return Measured(Baseline(status="not-applicable", reason=reason, auc=nothing, margin=MARGIN))


def _chosen(lots: Lots, generator: np.random.Generator) -> _Sides:
    """Rows of each side: all, or about MOST of whole persons."""
    sizes, found = (len(lots.train), len(lots.reserve)), []
    for k, size in enumerate(sizes):
        codes = np.arange(size) if lots.persons is None else np.unique(lots.persons[k], return_inverse=True)[1]
        if size <= MOST:
            found.append(np.arange(size))
            continue
        order = generator.permutation(int(codes.max()) + 1)
        before = np.cumsum(np.bincount(codes, minlength=len(order))[order])
        found.append(np.flatnonzero(np.isin(codes, order[before <= MOST])))
    rows = found[0], found[1]
    whose = None if lots.persons is None else (lots.persons[0][rows[0]], lots.persons[1][rows[1]])
    return _Sides(rows, sizes, whose)


def _records(lots: Lots, sides: _Sides, label: Floats, generator: np.random.Generator) -> _Records:
    """The measured rows as numbers, and their folds: persons, or else equal rows, stay together."""
    frame = pd.concat([lots.train.iloc[sides.rows[0]], lots.reserve.iloc[sides.rows[1]]], ignore_index=True)
    raw, levels = numbers(frame, lots.numeric)
    if sides.persons is not None:
        units = np.concatenate(sides.persons)
    else:
        # Where one lot repeats rows, a copy in another fold would give membership away. Gaps equal each other.
        units = np.unique(np.column_stack([np.nan_to_num(raw, nan=GAP), label]), axis=0, return_inverse=True)[1].ravel()
    units = np.unique(units, return_inverse=True)[1].ravel()
    fold = (generator.permutation(int(units.max()) + 1) % FOLDS)[units].astype(np.int64)
    return _Records(raw, levels, _wide(raw, levels), label, sides.member, fold)


def _wide(raw: Floats, levels: Mask) -> Floats:
    """Columns for a linear model: standardised numbers, gaps and the commonest levels as 0 and 1."""
    found: list[Floats] = []
    for column, is_level in zip(raw.T, levels, strict=True):
        gaps = ~np.isfinite(column)
        if is_level:
            found += [(column == code).astype(np.float64) for code in range(MOST_LEVELS) if (column == code).any()]
        elif not gaps.all():
            there = column[~gaps]
            # By ranks: one far value must not stand for the whole column.
            ranks = np.searchsorted(np.sort(there), np.where(gaps, np.median(there), column), side="left")
            plain = np.clip((np.where(gaps, there.mean(), column) - there.mean()) / (there.std() or 1.0), -5, 5)
            found += [plain, ranks / len(there) - 0.5]
        if gaps.any():
            found.append(gaps.astype(np.float64))
    return np.column_stack(found) if found else np.zeros((len(raw), 1))


def _scores(records: _Records) -> dict[str, Floats]:
    """Out-of-fold score of each baseline that needs no retrained models [P], the larger the more like a member."""
    label = records.label
    straight = _out_of_fold(records.wide, label == 1, records.fold, records.levels, linear=True)
    bent = _out_of_fold(records.raw, label == 1, records.fold, records.levels, linear=False)
    chance = (straight + bent) / 2
    right = np.clip(np.where(label == 1, chance, 1 - chance), 1e-6, 1.0)
    signed = 2 * label - 1
    facts = np.column_stack([np.log(right), label, chance])
    products = np.column_stack([records.wide, records.wide * signed[:, None], facts - facts.mean(axis=0)])
    full = np.column_stack([records.raw, facts])
    levels = np.append(records.levels, [False] * facts.shape[1])
    return {
        "loss": np.log(right),
        "linear": _out_of_fold(products, records.member, records.fold, levels, linear=True),
        "trees": _out_of_fold(full, records.member, records.fold, levels, linear=False),
    }


def _out_of_fold(x: Floats, target: Mask, fold: Ints, levels: Mask, *, linear: bool) -> Floats:
    """Predicted chance of the target [P], each by a model fitted on the other folds."""
    found = np.full(len(target), float(target.mean()))
    for k in range(FOLDS):
        learn, asked = fold != k, fold == k
        if not asked.any() or not 0 < target[learn].mean() < 1:
            continue
        found[asked] = _fitted(levels, linear=linear).fit(x[learn], target[learn]).predict_proba(x[asked])[:, 1]
    return found


def _fitted(levels: Mask, *, linear: bool) -> LogisticRegression | HistGradientBoostingClassifier:
    if linear:
        return LogisticRegression(C=PENALTY, max_iter=100, tol=1e-3)
    return HistGradientBoostingClassifier(
        max_iter=TREES, max_leaf_nodes=LEAVES, learning_rate=RATE, early_stopping=False, random_state=0,
        categorical_features=levels,
    )  # fmt: skip


def _outside(retrained: Retrained) -> Floats:
    """Mean margin [P] over the models that did not learn from the record; the mean of all where none is left."""
    out = ~retrained.inside
    count = out.sum(axis=0)
    sums = np.where(out, retrained.margin, 0.0).sum(axis=0)
    found: Floats = np.where(count > 0, sums / np.maximum(count, 1), retrained.margin.mean(axis=0))
    return found


def lots_of(
    features: Mapping[Split, pd.DataFrame], labels: tuple[Floats | None, Floats | None], *,
    numeric: Collection[str] | None, persons: Mapping[str, NDArray[np.int64]],
) -> Lots | None:  # fmt: skip
    """Both lots, or None where features or labels are not known."""
    train, reserve = features.get("train"), features.get("reserve")
    if train is None or reserve is None or labels[0] is None or labels[1] is None or not train.shape[1]:
        return None
    whose = (persons["train"], persons["reserve"]) if {"train", "reserve"} <= set(persons) else None
    return Lots(train, reserve, (labels[0], labels[1]), numeric, whose)
