"""Lower limits of epsilon from a membership attack at one threshold that was stated before measuring.

Who tells members from non-members by a threshold hits a share TPR of the members and FPR of the non-members. If the
training is (epsilon, delta)-differentially private, TPR <= e^epsilon FPR + delta and 1 - FPR <= e^epsilon (1 - TPR) +
delta for every record, and so on the mean over records. Hence

    epsilon >= log((TPR_low - delta) / FPR_high)    and    epsilon >= log((1 - FPR_high - delta) / (1 - TPR_low)).

Both forms rest on the same two limits, each one-sided at (1 - level) / 2, so that the larger of them keeps the level
without a further correction. Sources: Kairouz, Oh & Viswanath, The Composition Theorem for Differential Privacy, ICML
2015; Jagielski, Ullman & Oprea, Auditing Differentially Private Machine Learning, NeurIPS 2020 (Clopper-Pearson).

A limit says what no honest claim of differential privacy can go below. It never shows that epsilon is small: a stronger
attacker finds more. Membership is drawn by halves (of records against a reserve, of a pool), so what is told apart is a
record that was learned from and one that stood in its place: neighbours by replacement.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import Final

import numpy as np
from scipy import stats

from auditkit.privacy.attacks.lira import log_ratio
from auditkit.privacy.clustered import exact_limits, repeats
from auditkit.privacy.disclosure import isolates, published_rate, small
from auditkit.privacy.membership import Retrained, Scores
from auditkit.privacy.registry import ATTACKS
from auditkit.privacy.strength import Sides, operating
from auditkit.privacy.trial import PLAIN, Tried
from auditkit.result import EpsilonBound, Estimate
from auditkit.stats import roc
from auditkit.subject.persons import support
from auditkit.subject.types import Ints, Mask

AUDITED: Final = "privacy.epsilon_lower_bound"
RECIPE: Final = "privacy.recipe_epsilon_lower_bound"
FEWEST: Final = 8
"""Models that measure, below which Student's t says too little."""
PREFERRED: Final = "lira"
"""The attack that is used where it could be run; the plain one elsewhere. Decided before anything is measured."""
SHARED: Final = (
    "Training and reserve records are exchangeable: drawn alike, and told apart by nothing but the training.",
    "Hits of different records are counted as independent, although they share one model.",
)
DRAWN: Final = (
    "Each held-out model learned from a random half of the pool, so inclusion was drawn by chance; neither the attack "
    "nor its threshold saw these models.",
    "Means over models are taken as normal (Student's t), with limits never narrower than exact ones of as many "
    "independent answers.",
)
FIRST, SECOND = "true positives over false positives", "true negatives over false negatives"


@dataclass(frozen=True)
class Asked:
    """What is stated beforehand: false-positive rate of the threshold, delta, level of the limit, minimum cell.

    `others` are the false-positive rates at which the same attack's success is published besides.
    """

    fpr: float
    delta: float
    level: float
    minimum: int
    others: tuple[float, ...] = ()


@dataclass(frozen=True)
class Limits:
    """One-sided limits of both rates, each at (1 - level) / 2."""

    true_positives: float
    false_positives: float

    def epsilon(self, delta: float) -> tuple[float, str]:
        """The larger of the two forms and which it is; 0 and nothing where neither is above 0."""
        gained, kept = self.true_positives - delta, 1 - self.false_positives - delta
        forms = [
            (log(gained / self.false_positives) if gained > 0 and self.false_positives > 0 else 0.0, FIRST),
            (log(kept / (1 - self.true_positives)) if kept > 0 and self.true_positives < 1 else 0.0, SECOND),
        ]
        value, form = max(forms, key=lambda found: found[0])
        return (value, form) if value > 0 else (0.0, "")


@dataclass(frozen=True)
class Bounded:
    """A lower limit as it may be published, and the limits of the rates behind it."""

    public: EpsilonBound
    limits: Limits | None = None


def audited(attacked: Tried, sides: Sides, asked: Asked) -> Bounded:
    """The limit of the audited model, at the threshold above which the stated share of the reserve lies.

    With k of K non-members above it, the threshold's own false-positive rate is at most a Beta(k + 1, K - k) variable,
    whatever the law of the scores (an order statistic; Wilks, Ann. Math. Stat. 12 (1941) 91): its quantile is Clopper
    and Pearson's upper limit of k in K. Members are counted at a threshold that they had no part in.

    Args:
        attacked: the scores; LiRA where it was run, else the loss threshold.
        sides: person codes; a person's records are one unit, by Korn and Graubard's limits.
        asked: what was stated beforehand.

    Wrong where training records and reserve differ in more than the training. Too optimistic where the hits of
    different records hang together through the one model; `recipe` has no such assumption.
    """
    persons = pooled(sides.members, sides.nonmembers)
    absent = attacked.reason
    frame = _frame(AUDITED, "The audited model", "the audited model", persons=persons, asked=asked, absent=absent)
    name = PREFERRED if PREFERRED in attacked.scores else PLAIN
    if name not in attacked.scores:
        return Bounded(frame)
    scores = attacked.scores[name]
    measured = scores.nonmembers[scores.free]
    if not len(measured):
        return _withheld(frame, "the attack was fitted on the whole reserve")
    threshold = roc.threshold_at_fpr(measured, asked.fpr)
    hits, alarms = scores.members > threshold, measured > threshold
    others = None if sides.nonmembers is None else sides.nonmembers[scores.free]
    found = published_rate(hits, sides.members, level=asked.level, minimum=asked.minimum)
    wrong = published_rate(alarms, others, level=asked.level, minimum=asked.minimum)
    if found.low is None or wrong.high is None:
        return _withheld(frame, f"fewer than {asked.minimum} persons or records on one side")
    if _tells(hits, scores, sides, asked):
        return _withheld(frame, f"beside another rate it would tell of fewer than {asked.minimum} persons or records")
    more = {"attack": ATTACKS[name].title, "true_positives": found, "false_positives": wrong, "assumes": SHARED}
    return _stated(
        frame.model_copy(update=more), Limits(found.low, wrong.high), n=len(hits) + len(alarms),
        method="from the exact limits of both rates, each at half of what the level leaves; the larger of two forms",
    )  # fmt: skip


def recipe(known: Retrained | None, persons: Ints | None, asked: Asked, *, absent: str) -> Bounded:
    """The limit of the recipe: LiRA with the first half of the models against others that it never saw.

    The next quarter of the models sets the threshold, the last measures. Every model is a draw of its own of who is
    inside and of all chance in training, so that models are the independent units whatever a model does to its records.

    Args:
        known: models on halves of the pool [B, P], in the order in which they were drawn. persons: [P] codes; halves
            keep persons together. asked: what was stated beforehand. absent: why there are no such models.

    Wrong with few models, whose mean rates are not normal; and the models learn from half of the pool, not of what the
    audited model learned from.
    """
    about = "the recipe on random halves of training and reserve records"
    title = "The recipe, on held-out retrained models"
    frame = _frame(RECIPE, title, about, persons=persons, asked=asked, absent=absent)
    if known is None:
        return Bounded(frame)
    models = len(known.inside)
    setting, measuring = models // 2, 3 * models // 4
    inside = known.inside[measuring:]
    if len(inside) < FEWEST:
        need = f"{models} retrained models leave {len(inside)} to measure on, and {FEWEST} are needed"
        return _withheld(frame, need)
    score = log_ratio(known.margin[setting:], Retrained(known.margin[:setting], known.inside[:setting]))
    outside = ~known.inside[setting:measuring]
    threshold = roc.threshold_at_fpr(score[: measuring - setting][outside], asked.fpr)
    hits = score[measuring - setting :] > threshold
    if any(small(_persons(cell, persons), asked.minimum) for cell in _cells(hits, inside)):
        return _withheld(frame, f"the rates would tell of fewer than {asked.minimum} persons or records")
    found, wrong = (_mean_rate(hits, of, asked.level) for of in (inside, ~inside))
    more = {"attack": ATTACKS[PREFERRED].title, "models": len(inside), "assumes": DRAWN}
    frame = frame.model_copy(update=more | {"true_positives": found, "false_positives": wrong})
    return _stated(
        frame, Limits(found.low or 0.0, wrong.high or 0.0), n=inside.shape[1],
        method="from limits of both mean rates over models, each at half of what the level leaves; larger of two forms",
    )  # fmt: skip


def _tells(cell: Mask, scores: Scores, sides: Sides, asked: Asked) -> bool:
    """Whether the members in `cell` [N] and those flagged at a rate that is published differ by a few persons only.

    What is published as a band for its few persons (or all but a few) has no number to subtract.
    """
    points = (operating(scores, sides, rate, minimum=asked.minimum) for rate in asked.others)
    # A coin among equals publishes something between those above the threshold and all down to it.
    others = [flagged for point in points if point is not None for flagged in (point.hits == 1, point.hits > 0)]
    for other in others:
        counts = [support(part, sides.members) for both in (cell, other) for part in (both, ~both)]
        banded = any(small(count, asked.minimum) for count in counts)
        if not banded and isolates(cell, other, sides.members, asked.minimum):
            return True
    return False


def at(limits: Limits | None, delta: float) -> float | None:
    """The limit at another delta; None where there is none, or delta is no probability below 1."""
    return None if limits is None or delta >= 1 else limits.epsilon(delta)[0]


def pooled(members: Ints | None, nonmembers: Ints | None) -> Ints | None:
    """Person codes of members, then non-members."""
    return None if members is None or nonmembers is None else np.concatenate([members, nonmembers])


def _frame(
    name: str, title: str, about: str, *, persons: Ints | None, asked: Asked, absent: str
) -> EpsilonBound:
    return EpsilonBound(
        name=name, title=title, about=about, status="not-applicable", reason=absent, relation="replace",
        unit="person" if repeats(persons) else "record", delta=asked.delta, aimed_fpr=asked.fpr,
        bound=Estimate(value=None, level=asked.level, withheld=absent),
    )  # fmt: skip


def _persons(cell: Mask, persons: Ints | None) -> int:
    """Persons with an answer in the cell [M, P]."""
    return support(np.asarray(cell.any(axis=0), dtype=np.bool_), persons)


def _cells(hits: Mask, inside: Mask) -> tuple[Mask, ...]:
    """[M, P] what the two published rates count and what they do not."""
    return (inside & hits, inside & ~hits, ~inside & hits, ~inside & ~hits)


def _mean_rate(hits: Mask, of: Mask, level: float) -> Estimate:
    """Mean over models of the share of hits among `of` [M, P]: Student's t, never narrower than the exact limit.

    Where no answer at all is a hit (or a miss), t knows no spread: the exact limit for models as units stands there.
    """
    counts, size = (hits & of).sum(axis=1), of.sum(axis=1)
    rate, events, total = counts / size, int(counts.sum()), int(size.sum())
    value, models = float(rate.mean()), len(rate)
    low, high = exact_limits(float(events), float(total), level=level)
    half = float(stats.t.ppf((1 + level) / 2, models - 1)) * float(rate.std(ddof=1)) / float(np.sqrt(models))
    low, high = min(low, max(0.0, value - half)), max(high, min(1.0, value + half))
    if events == 0:
        high = exact_limits(0.0, float(models), level=level)[1]
    elif events == total:
        low = exact_limits(float(models), float(models), level=level)[0]
    method = "mean over held-out models, Student's t"
    return Estimate(value=value, low=low, high=high, level=level, n=of.shape[1], method=method)


def _stated(frame: EpsilonBound, limits: Limits, *, n: int, method: str) -> Bounded:
    value, form = limits.epsilon(frame.delta)
    bound = Estimate(value=value, low=value, level=frame.bound.level, n=n, method=method)
    update = {"status": "assessed", "reason": "", "bound": bound, "form": form}
    return Bounded(frame.model_copy(update=update), limits)


def _withheld(frame: EpsilonBound, reason: str) -> Bounded:
    nothing = Estimate(value=None, level=frame.bound.level, withheld=reason)
    return Bounded(frame.model_copy(update={"status": "withheld", "reason": reason, "bound": nothing}))
