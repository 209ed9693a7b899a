"""The privacy part by scipy, scikit-learn and sorting: gap, attack, screen.

Nothing is drawn here but what the audit says it drew: which half of the reserve attacks may be fitted on is read from
the restricted evidence.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import stats
from scipy.special import expit, logit
from sklearn.metrics import roc_auc_score, roc_curve

from tests.policies.real.claims import Says, about
from tests.policies.real.recompute_data import (
    FALSE_POSITIVE_RATES,
    LEVEL,
    MINIMUM_CELL,
    Floats,
    Mask,
    World,
)
from tests.policies.real.recompute_model import Answers
from tests.policies.real.recompute_rates import banded, entry, exact, exact_limits
from tests.policies.real.recompute_strongest import EXPECTED, Tested, resolved

WITHHELD = Says(MINIMUM_CELL)


def expected_attack(world: World, answers: Answers, half: Mask) -> dict[str, Any]:
    """Gap, AUC, success at fixed false-positive rates; `half` is the part of the reserve that may be fitted on."""
    seen, unseen, held = (answers.loss[split] for split in ("train", "evaluation", "reserve"))
    assert int(half.sum()) == len(held) // 2
    welch = stats.ttest_ind(unseen, seen, equal_var=False)
    gap = welch.confidence_interval(LEVEL)
    rows = {
        "privacy.train_loss": _mean(seen),
        "privacy.evaluation_loss": _mean(unseen),
        "privacy.train_evaluation_gap": entry(
            float(unseen.mean() - seen.mean()), float(gap.low), float(gap.high), level=LEVEL, n=len(seen) + len(unseen)
        ),
        "privacy.accuracy_gap": _accuracy_gap(world, answers),
    }
    names = {"auc": "privacy.loss_threshold_auc", "tpr": "privacy.loss_threshold_tpr_at_fpr_"}
    measured, success = expected_success(-seen, -held, **names)
    return {"measurements": rows | measured, **success}


def expected_success(
    members: Floats, others: Floats, *, auc: str, tpr: str, fitted: Mask | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What one attack's scores say: its measurements by name, and its resolution and curve.

    Those that the attack was fitted on set no threshold and take no part in area and curve.
    """
    free = np.ones(len(others), dtype=bool) if fitted is None else ~fitted
    resolution = [resolved(Tested(members, others, free), fpr) for fpr in FALSE_POSITIVE_RATES]
    rates = {f"{tpr}{row['false_positive_rate']!r}": row["tpr"] for row in resolution}
    n = len(members) + int(free.sum())
    return {auc: _auc(members, others[free])} | rates, {"resolution": resolution, "roc": {"n": n}}


def _mean(loss: Floats) -> dict[str, Any]:
    ends = stats.ttest_1samp(loss, 0.0).confidence_interval(LEVEL)
    return entry(float(loss.mean()), float(ends.low), float(ends.high), level=LEVEL, n=len(loss))


def _accuracy_gap(world: World, answers: Answers) -> dict[str, Any]:
    right = [answers.decision[split] == world.label(split) for split in ("train", "evaluation")]
    (p, q), ends = (r.mean() for r in right), [exact_limits(int(r.sum()), len(r), LEVEL) for r in right]
    low = p - q - math.hypot(p - ends[0][0], ends[1][1] - q)
    high = p - q + math.hypot(ends[0][1] - p, q - ends[1][0])
    return entry(p - q, low, high, level=LEVEL, n=sum(map(len, right)))


def _auc(members: Floats, others: Floats) -> dict[str, Any]:
    return area(members, others, LEVEL)


def area(members: Floats, others: Floats, level: float) -> dict[str, Any]:
    """AUC by scikit-learn, DeLong's variance from the placements of every record, interval on the logit scale."""
    truth = np.r_[np.ones(len(members)), np.zeros(len(others))]
    value = float(roc_auc_score(truth, np.r_[members, others]))
    ordered, others_ordered = np.sort(members), np.sort(others)
    beats = (np.searchsorted(others_ordered, members) + np.searchsorted(others_ordered, members, "right")) / 2
    beaten = len(members) - (np.searchsorted(ordered, others) + np.searchsorted(ordered, others, "right")) / 2
    variance = np.var(beats / len(others), ddof=1) / len(members)
    variance += np.var(beaten / len(members), ddof=1) / len(others)
    half = stats.norm.ppf(0.5 + level / 2) * math.sqrt(variance) / (value * (1 - value))
    low, high = expit(logit(value) - half), expit(logit(value) + half)
    return entry(value, float(low), float(high), level=level, n=len(truth))


def curve_complaints(points: Sequence[dict[str, Any]], members: Floats, others: Floats) -> list[str]:
    """Points of the printed curve that are no corner of the empirical one, or whose steps tell of too few records."""
    truth = np.r_[np.ones(len(members)), np.zeros(len(others))]
    fpr, tpr, _ = roc_curve(truth, np.r_[members, others], drop_intermediate=False)
    counts = {(round(x * len(others)), round(y * len(members))) for x, y in zip(fpr, tpr, strict=True)}
    shown = [(point["x"] * len(others), point["y"] * len(members)) for point in points]
    found = []
    for x, y in shown:
        whole = (round(x), round(y))
        if whole not in counts or abs(x - whole[0]) > 1e-6 or abs(y - whole[1]) > 1e-6 or x < EXPECTED - 1e-9:
            found.append(f"privacy.roc: ({x}, {y}) is no corner of the attack's curve")
    for one, other in pairwise(shown):
        steps = [round(b - a) for a, b in zip(one, other, strict=True)]
        if any(0 < step < MINIMUM_CELL or step < 0 for step in steps):
            found.append(f"privacy.roc: from {one} to {other} tells of fewer than {MINIMUM_CELL}")
    return found


SCREEN_LEVEL = 0.10


def expected_screen(world: World, own: Floats, kept: dict[str, Any], slices: dict[str, Mask]) -> dict[str, Any]:
    """The screen of self-influence: share flagged, who they are; own [N] is recomputed self-influence.

    `kept` are the audit's p-values, marks and the reserve's self-influence, which is held against ours in
    `tests/influence/test_unseen`; beyond its largest the tail is fitted on random samples, so p lies below its rank.
    """
    reference, p = kept["screen_reference"], kept["screen_p"]
    count = len(reference)
    ranks = np.array([(1 + (reference >= value).sum()) / (count + 1) for value in own])
    # Ours is known to rounding, of the value and of a typical one: where a probability is 1 it is exactly 0.
    rounding = 1e-6 * own + 1e-9 * np.median(own)
    near = np.array([(np.abs(reference - value) < off).sum() for value, off in zip(own, rounding, strict=True)])
    inside = ranks > 1.5 / (count + 1)
    assert (np.abs(p - ranks)[inside] <= (near[inside] + 1e-9) / (count + 1)).all()
    assert (p[~inside] <= ranks[~inside] + 1e-12).all() and (p > 0).all()
    order = np.sort(p)
    passing = np.flatnonzero(order <= SCREEN_LEVEL * np.arange(1, len(p) + 1) / len(p) + 1e-15)
    flag = p <= (order[passing[-1]] if len(passing) else -1.0)
    np.testing.assert_array_equal(kept["screen_flag"], flag)
    cut = None
    if flag.any():
        cut = about(float(np.sqrt(own[flag].min() * own[~flag].max()) / np.median(own)), 1e-5)
    by_group, by = {}, []
    label = world.label("train") == 1
    cells = {"favourable": label, "not favourable": ~label}
    if flag.any():
        by += [_share("label", name, cells[name], flag) for name in cells if _shown(cells, flag)[name]]
    for attribute in world.attributes:
        codes = attribute.codes["train"]
        names = [*attribute.labels, *(["unknown"] if (codes < 0).any() else [])]
        cells = {name: codes == (k if k < len(attribute.labels) else -1) for k, name in enumerate(names)}
        shown = _shown(cells, flag)
        for name, members in cells.items():
            hidden = entry(level=LEVEL, withheld=WITHHELD)
            found = exact(int(flag[members].sum()), int(members.sum()), LEVEL) if shown[name] else hidden
            by_group[f"privacy.screen_share / {attribute.name} / {name}"] = {"estimate": found}
            if shown[name] and flag.any():
                by.append(_share(attribute.name, name, members, flag))
    told = _by_slice(world, flag, slices)
    return {
        "rule": Says(count, SCREEN_LEVEL), "cut": cut, "n": len(own), "slices": told,
        "flagged": banded(flag, LEVEL, MINIMUM_CELL), "by_group": by_group, "by": by,
    }  # fmt: skip


def _by_slice(world: World, flag: Mask, slices: dict[str, Mask]) -> list[dict[str, Any]]:
    """Share of each slice that is flagged, where it differs from what is shown by nobody or by ten."""
    def few(one: Mask, other: Mask) -> bool:
        return any(0 < int(part.sum()) < MINIMUM_CELL for part in (one & ~other, other & ~one))

    shown = [flag & False, flag | True]
    for attribute in world.attributes:
        codes = attribute.codes["train"]
        names = [*attribute.labels, *(["unknown"] if (codes < 0).any() else [])]
        cells = {name: codes == (k if k < len(attribute.labels) else -1) for k, name in enumerate(names)}
        open_ = _shown(cells, flag)
        shown += [cells[name] for name in names if open_[name]]
    found = []
    for name, mask in slices.items():
        hidden = entry(level=LEVEL, withheld=WITHHELD)
        estimate = hidden
        if mask.any() and not any(few(mask, other) for other in shown):
            estimate = banded(flag[mask], LEVEL, MINIMUM_CELL)
            sets = [other & flag for other in shown if (other & flag).any()]
            shown.append(mask)
            rest = [~mask, ~mask & flag, ~mask & ~flag]
            if estimate["value"] is None:
                estimate |= {"withheld": WITHHELD}
            elif any(0 < int(part.sum()) < MINIMUM_CELL for part in rest) or (
                (mask & flag).any() and any(few(mask & flag, other) for other in sets)
            ):
                estimate = hidden
        found.append({"measure": "privacy.screen_share", "group": name, "estimate": estimate})
    return found


def group_shares(world: World, flag: Mask, measure: str) -> dict[str, Any]:
    """Share of every protected group that is flagged, where its cell and what is left may be shown."""
    found = {}
    for attribute in world.attributes:
        codes = attribute.codes["train"]
        names = [*attribute.labels, *(["unknown"] if (codes < 0).any() else [])]
        cells = {name: codes == (k if k < len(attribute.labels) else -1) for k, name in enumerate(names)}
        shown = _shown(cells, flag)
        for name, members in cells.items():
            hidden = entry(level=LEVEL, withheld=WITHHELD)
            one = exact(int(flag[members].sum()), int(members.sum()), LEVEL) if shown[name] else hidden
            found[f"{measure} / {attribute.name} / {name}"] = {"estimate": one}
    return found


def _share(column: str, level: str, members: Mask, flag: Mask) -> dict[str, Any]:
    share = exact(int((members & flag).sum()), int(flag.sum()), LEVEL)
    base = float(members.mean())
    return {"column": column, "level": level, "share": share, "base_share": base, "lift": share["value"] / base}


def _shown(cells: dict[str, Mask], flag: Mask) -> dict[str, bool]:
    """Which cells may be published: those that are safe, and of which the rest, taken together, is safe as well."""
    shown = {name: _is_safe(members, flag) for name, members in cells.items()}
    while True:
        rest = np.logical_not(np.logical_or.reduce([m for n, m in cells.items() if shown[n]] or [flag & False]))
        open_ = [name for name, is_open in shown.items() if is_open and cells[name].any()]
        if _is_safe(rest, flag) or not open_:
            return shown
        shown[min(open_, key=lambda name: int((cells[name] & flag).sum()))] = False


def _is_safe(members: Mask, flag: Mask) -> bool:
    counts = (members.sum(), (members & flag).sum(), (members & ~flag).sum())
    return not any(0 < count < MINIMUM_CELL for count in counts)


def tail_complaints(points: Sequence[dict[str, Any]], own: Floats) -> list[str]:
    """Points of the printed tail whose share is wrong, that lie off the fixed steps, or that tell of too few."""
    scaled, found = own / np.median(own), []
    counts = [int((scaled >= point["x"]).sum()) for point in points]
    for point, count in zip(points, counts, strict=True):
        step = 10 * math.log10(point["x"])
        if abs(step - round(step)) > 1e-9 or abs(point["y"] - count / len(own)) > 1e-12:
            found.append(f"privacy.screen.tail: {point}, though {count} of {len(own)} records lie at or above")
    edges = [len(own), *counts, 0]
    if any(0 < a - b < MINIMUM_CELL for a, b in pairwise(edges)):
        found.append(f"privacy.screen.tail: a step tells of fewer than {MINIMUM_CELL}: {counts}")
    return found
