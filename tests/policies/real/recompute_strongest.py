"""Success at a fixed false-positive rate, and the strongest of all attacks, by scipy, scikit-learn and another root.

The rate is read off scikit-learn's curve; the limits are those of scipy's exact test, joined with the curve at the
limits of the threshold. What several attacks on the same records cost is found from scipy's multivariate normal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize, stats
from scipy.special import expit, logit
from sklearn.metrics import roc_auc_score, roc_curve

from tests.policies.real.claims import Near, Says
from tests.policies.real.recompute_data import FALSE_POSITIVE_RATES, LEVEL, MINIMUM_CELL, Floats, Mask
from tests.policies.real.recompute_rates import entry

EXPECTED = 10
SLACK = 0.006
"""Of the joint critical value, as two ways of drawing the joint law may differ."""


@dataclass(frozen=True)
class Tested:
    """One attack's scores; `free` are the non-members on which it was not fitted."""

    members: Floats
    others: Floats
    free: Mask

    @property
    def used(self) -> Floats:
        """The non-members that measure."""
        return self.others[self.free]

    def curve(self) -> tuple[Floats, Floats]:
        """Corners of the curve, as counts of non-members and shares of members."""
        truth = np.r_[np.ones(len(self.members)), np.zeros(len(self.used))]
        x, y, _ = roc_curve(truth, np.r_[self.members, self.used], drop_intermediate=False)
        return np.round(x * len(self.used)), y

    def at(self, fpr: float) -> float:
        """The curve at a false-positive rate, on the straight line between two corners."""
        x, y = self.curve()
        count = fpr * len(self.used)
        count = round(count) if abs(count - round(count)) < 1e-9 * max(1.0, count) else count
        return float(np.interp(count, x, y))

    def flagged(self, values: Floats, fpr: float) -> Floats:
        """How surely each of `values` is flagged by the rule of that rate."""
        ordered = np.sort(self.used)
        edge = ordered[len(ordered) - 1 - min(math.floor(fpr * len(ordered) + 1e-9), len(ordered) - 1)]
        above, tied = (self.used > edge).sum(), (self.used == edge).sum()
        share = 0.0 if fpr * len(ordered) - above < 1e-9 else (fpr * len(ordered) - above) / tied
        return np.where(values > edge, 1.0, np.where(values == edge, share, 0.0))


def worth(flags: Floats) -> float:
    """Yes-or-no answers that are worth as much as the mean of these flags; one more is counted at each value."""
    shares = set(flags.tolist()) - {0.0, 1.0}
    if not shares:
        return float(len(flags))
    (share,) = shares
    added = np.r_[flags, 0.0, share, 1.0]
    return float(len(flags) * max(added.mean() * (1 - added.mean()) / added.var(), 1.0))


def exact_ends(rate: float, size: float, level: float) -> tuple[float, float]:
    """Clopper and Pearson's limits, also of counts that are no whole numbers."""
    tail, hits = (1 - level) / 2, rate * size
    low = stats.beta(hits, size - hits + 1).ppf(tail) if rate > 0 else 0.0
    high = stats.beta(hits + 1, size - hits).ppf(1 - tail) if rate < 1 else 1.0
    return float(low), float(high)


def spread_rates(fpr: float, size: float, z: float) -> tuple[float, float]:
    """What the threshold's own rate may be: arcsines have the standard deviation 1 / (2 sqrt(size))."""
    angle, step = math.asin(math.sqrt(fpr)), z / 2 / math.sqrt(size)
    return math.sin(max(angle - step, 0.0)) ** 2, math.sin(min(angle + step, math.pi / 2)) ** 2


def ends_of(tested: Tested, fpr: float, level: float) -> tuple[float, float]:
    """Limits of the members' rate: those of the rate itself and those of the threshold, squared and added."""
    rate, z = tested.at(fpr), stats.norm.ppf(0.5 + level / 2)
    low, high = exact_ends(rate, worth(tested.flagged(tested.members, fpr)), level)
    rates = spread_rates(fpr, worth(tested.flagged(tested.used, fpr)), z)
    ends = [tested.at(x) for x in rates]
    return (
        max(0.0, rate - math.hypot(rate - low, max(0.0, rate - ends[0]))),
        min(1.0, rate + math.hypot(high - rate, max(0.0, ends[1] - rate))),
    )


def resolved(tested: Tested, fpr: float) -> dict[str, Any]:
    """One row of an attack's success, as it is printed: a band where it tells of fewer than the minimum."""
    total, needed = len(tested.used), math.ceil(round(EXPECTED / fpr, 6))
    row: dict[str, Any] = {"false_positive_rate": fpr, "expected_false_positives": total * fpr, "needed_n": None}
    if total < needed:
        missing = entry(level=LEVEL, withheld=Says(fpr, needed, total))
        return row | {"needed_n": needed, "tpr": missing, "realised_fpr": missing}
    own = exact_ends(fpr, worth(tested.flagged(tested.used, fpr)), LEVEL)
    return row | {"tpr": success(tested, fpr), "realised_fpr": entry(fpr, *own, level=LEVEL, n=total)}


def success(tested: Tested, fpr: float) -> dict[str, Any]:
    """The members' rate with its interval, or as a band."""
    rate, n = tested.at(fpr), len(tested.members)
    count = float(tested.flagged(tested.members, fpr).sum())
    if not (0 < count < MINIMUM_CELL or 0 < n - count < MINIMUM_CELL):
        return entry(rate, *ends_of(tested, fpr, LEVEL), level=LEVEL, n=n)
    most, z = (MINIMUM_CELL - 1) / n, stats.norm.ppf(0.5 + LEVEL / 2)
    rates = spread_rates(fpr, worth(tested.flagged(tested.used, fpr)), z)
    said = {"withheld": Says(MINIMUM_CELL)}
    if count < MINIMUM_CELL:
        edge = exact_ends(most, n, LEVEL)[1]
        high = min(1.0, most + math.hypot(edge - most, max(tested.at(rates[1]), most)))
        return entry(None, 0.0, high, level=LEVEL, n=n, **said)
    edge = exact_ends(1 - most, n, LEVEL)[0]
    low = max(0.0, 1 - most - math.hypot(1 - most - edge, 1 - min(tested.at(rates[0]), 1 - most)))
    return entry(None, low, 1.0, level=LEVEL, n=n, **said)


def area(tested: Tested, level: float) -> tuple[float, float, float]:
    """AUC by scikit-learn with DeLong's interval on the logit scale."""
    truth = np.r_[np.ones(len(tested.members)), np.zeros(len(tested.used))]
    value = float(roc_auc_score(truth, np.r_[tested.members, tested.used]))
    seen, unseen = placements(tested)
    deviation = math.sqrt(seen.var(ddof=1) / len(seen) + unseen.var(ddof=1) / len(unseen))
    half = stats.norm.ppf(0.5 + level / 2) * deviation / (value * (1 - value))
    return value, float(expit(logit(value) - half)), float(expit(logit(value) + half))


def placements(tested: Tested) -> tuple[Floats, Floats]:
    """Share of non-members below each member, and of members above each non-member; ties by half."""
    seen = stats.rankdata(np.r_[tested.members, tested.used])[: len(tested.members)] - stats.rankdata(tested.members)
    unseen = stats.rankdata(np.r_[-tested.used, -tested.members])[: len(tested.used)] - stats.rankdata(-tested.used)
    return seen / len(tested.used), unseen / len(tested.members)


def expected_strongest(attacks: dict[str, Tested]) -> dict[str, dict[str, Any]]:
    """Rows of the measures that name no attack, by measure; `attacks` by title, in the order of the audit."""
    found = {"privacy.attack_auc": _largest_area(attacks)}
    for fpr in FALSE_POSITIVE_RATES:
        found[f"privacy.tpr_at_fpr_{fpr!r}"] = _largest_rate(attacks, fpr)
    return found


def _largest_area(attacks: dict[str, Tested]) -> dict[str, Any]:
    values = {title: area(one, LEVEL)[0] for title, one in attacks.items()}
    best = max(values, key=lambda title: values[title])
    n = len(attacks[best].members) + len(attacks[best].used)
    if len(attacks) == 1:
        return {"estimate": entry(*area(attacks[best], LEVEL), level=LEVEL, n=n), "parts": [Says(names=[best])]}
    pulls = []
    for one in attacks.values():
        seen, unseen = placements(one)
        pulls.append((seen - seen.mean(), _placed(unseen - unseen.mean(), one)))
    c = _critical(pulls)
    lows = [max(area(one, _level(c + away))[1] for one in attacks.values()) for away in (SLACK, -SLACK)]
    high = max(area(one, LEVEL)[2] for one in attacks.values())
    estimate = entry(values[best], Near(*lows), high, level=LEVEL, n=n, method=Says(len(attacks)))
    return {"estimate": estimate, "parts": [Says(len(attacks), names=[best])]}


def _largest_rate(attacks: dict[str, Tested], fpr: float) -> dict[str, Any]:
    fit = {title: one for title, one in attacks.items() if len(one.used) >= math.ceil(round(EXPECTED / fpr, 6))}
    if not fit:
        return {"estimate": resolved(next(iter(attacks.values())), fpr)["tpr"], "parts": []}
    values = {title: one.at(fpr) for title, one in fit.items()}
    best = max(values, key=lambda title: values[title])
    own = {title: success(one, fpr) for title, one in fit.items()}
    left = [Says(names=attacks)] if len(fit) < len(attacks) else []
    if len(fit) == 1:
        return {"estimate": own[best], "parts": [Says(names=[best]), *left]}
    pulls = []
    for one in fit.values():
        sure = [one.flagged(side, fpr) for side in (one.members, one.used)]
        rates = spread_rates(fpr, worth(sure[1]), stats.norm.ppf(0.5 + LEVEL / 2))
        slope = (one.at(rates[1]) - one.at(rates[0])) / (rates[1] - rates[0])
        pulls.append((sure[0] - one.at(fpr), _placed(-slope * (sure[1] - fpr), one)))
    c = _critical(pulls)
    lows = [max(_low(own[title], fit[title], fpr, c + away) for title in fit) for away in (SLACK, -SLACK)]
    high = max(one["high"] for one in own.values())
    estimate = own[best] | {"low": Near(*lows), "high": high, "method": Says(len(fit))}
    return {"estimate": estimate, "parts": [Says(len(fit), names=[best]), *left]}


def _low(own: dict[str, Any], tested: Tested, fpr: float, c: float) -> float:
    """The lower limit at the joint critical value; a band of few begins at 0, and one of nearly all moves with it."""
    if own["value"] is not None:
        return ends_of(tested, fpr, _level(c))[0]
    assert own["low"] == 0.0, "a band of nearly all is not met in these data"
    return 0.0


def _placed(pulls: Floats, tested: Tested) -> Floats:
    """Pulls of all non-members, 0 for those on which the attack was fitted."""
    found = np.zeros(len(tested.others))
    found[tested.free] = pulls * len(tested.members) / len(tested.used)
    return found


def _level(critical: float) -> float:
    return float(2 * stats.norm.cdf(critical) - 1)


def _critical(pulls: list[tuple[Floats, Floats]]) -> float:
    """c with P(max Z <= c) = (1 + level) / 2 under the correlations of the pulls, no larger than Bonferroni's."""
    table = np.stack([np.concatenate(pair) for pair in pulls])
    law = table @ table.T
    law /= np.sqrt(np.outer(np.diag(law), np.diag(law)))
    tail = (1 - LEVEL) / 2
    ends = stats.norm.isf(tail), stats.norm.isf(tail / len(law))

    def excess(c: float) -> float:
        joint = stats.multivariate_normal(cov=law, allow_singular=True, maxpts=400_000, abseps=1e-6, seed=1)
        return float(joint.cdf(np.full(len(law), c))) - (1 - tail)

    if excess(ends[0]) >= 0 or excess(ends[1]) <= 0:
        return float(ends[0] if excess(ends[0]) >= 0 else ends[1])
    return float(optimize.brentq(excess, *ends, xtol=1e-4))
