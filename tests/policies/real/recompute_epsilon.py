"""The lower limits of epsilon from kept scores and the retrained models' losses, by scipy's own intervals.

Coins and scores of canaries are read from the evidence. Records are persons of their own.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import optimize, special, stats

from tests.policies.real.claims import UNCLAIMED, Near, Says, about
from tests.policies.real.recompute_data import FALSE_POSITIVE_RATES, LEVEL, MINIMUM_CELL, Floats, Mask
from tests.policies.real.recompute_membership import Pool, smyth
from tests.policies.real.recompute_rates import banded, entry, exact_limits
from tests.policies.real.recompute_strongest import EXPECTED

AIMED, DELTA, FEWEST, LEAST = 0.01, 1e-5, 8, 16
SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)
NAMES = (
    "privacy.epsilon_lower_bound", "privacy.recipe_epsilon_lower_bound", "privacy.canary_epsilon_lower_bound",
)  # fmt: skip


def expected_epsilon(
    scores: tuple[Floats, Floats] | None,
    half: Mask | None,
    pool: Pool | None,
    why: Says | None = None,
    *,
    planted: tuple[Floats, Mask, int] | None = None,
    claimed: dict[str, Any] | None = None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Measurements by name, and the part.

    `scores` are of LiRA where it was run, of the plain attack elsewhere; `planted` are scores, coins, and how many
    training records stood beside them; `claimed` is the policy's claim.
    """
    why = Says() if why is None else why
    nothing = {
        "delta": DELTA, "aimed_fpr": AIMED, "reason": why, "models": None, "true_positives": None,
        "false_positives": None, "most": None, "bound": entry(level=LEVEL, withheld=why),
    }  # fmt: skip
    whole = dict(nothing) if scores is None or half is None else nothing | _audited(*scores, half)
    again = dict(nothing) if pool is None else nothing | _recipe(pool)
    canary = nothing | {"aimed_fpr": None, "reason": Says(0), "bound": entry(level=LEVEL, withheld=Says(0))}
    part: dict[str, Any] = dict.fromkeys(("canaries", "guesses", "right", "inserted_into"))
    part |= {"reason": Says(0), "counts": []}
    if planted is not None:
        score, coins, among = planted
        counts = _counts(score, coins)
        best = max(counts, key=lambda count: _least(count["bound"]))
        value, most = best["bound"], max((count["most"] for count in counts), key=_least)
        bound = entry(value, value, level=LEVEL, n=among, method=Says(len(counts)))
        canary |= {"reason": "", "bound": bound, "most": most}
        part = {"canaries": len(score), "guesses": best["guesses"], "right": best["right"], "counts": counts}
        part |= {"inserted_into": among}
    bounds = [row | {"name": name} for row, name in zip((whole, again, canary), NAMES, strict=True)]
    rows = {f"{row['name']} /  / ": {"estimate": row["bound"]} for row in bounds}
    return rows, {"bounds": bounds, "canaries": part, "claim": None if claimed is None else _claim(claimed, bounds)}


def _counts(score: Floats, coins: Mask) -> list[dict[str, Any]]:
    """Each number of guesses, at its part of the error."""
    m = len(score)
    numbers = sorted({2 * round(share * m / 2) for share in SHARES if 2 * round(share * m / 2) >= LEAST})
    level, found = 1 - (1 - LEVEL) / len(numbers), []
    for r in numbers:
        right = _right(score, coins, r)
        bound, most = _one_run(m, r, right, level), _one_run(m, r, r, level)
        found.append({"guesses": r, "right": right, "level": level, "bound": bound, "most": most})
    return found


def _least(value: float | Near) -> float:
    return value.low if isinstance(value, Near) else value


def _right(score: Floats, coins: Mask, guesses: int) -> int:
    """Highest scores guessed in, lowest guessed out."""
    half, ranked = guesses // 2, coins[np.lexsort((np.arange(len(score)), -score))]
    return int(ranked[:half].sum() + half - ranked[-half:].sum())


def _one_run(m: int, r: int, right: int, level: float) -> float | Near:
    """The epsilon at which the theorem's bound reaches what the level leaves, by another root finder."""

    def excess(epsilon: float) -> float:
        law = stats.binom(r, special.expit(epsilon))
        more = max((law.cdf(right - 1) - law.cdf(right - 1 - i)) / i for i in range(1, right + 1))
        return float(law.sf(right - 1) + 2 * m * DELTA * more - (1 - level))

    return 0.0 if excess(0.0) >= 0 else about(optimize.brentq(excess, 0, 50, xtol=1e-13), 1e-9)


def _needed(epsilon: float) -> int:
    """Canaries that, all guessed rightly, contradict a claim of this epsilon at one part of the error."""
    return math.floor(math.log((1 - LEVEL) / len(SHARES)) / math.log(special.expit(epsilon))) + 1


def _claim(claimed: dict[str, Any], bounds: list[dict[str, Any]]) -> dict[str, Any]:
    """A claim of adding or removing a record: two such changes for limits that replace one."""
    epsilon, delta = float(claimed["epsilon"]), float(claimed["delta"])
    assert (claimed["unit"], delta) == ("record", DELTA) and "neighbours" not in claimed
    wider = (1 + math.exp(epsilon)) * delta
    held = []
    for row in bounds:
        if row["bound"]["value"] is None:
            continue
        canary, value = row["name"] == NAMES[2], row["bound"]["value"]
        if not canary:
            value = _larger(row["true_positives"]["low"], row["false_positives"]["high"], wider)
        limit, at = (epsilon, delta) if canary else (2 * epsilon, wider)
        least = value.low if isinstance(value, Near) else value
        most = row["most"]
        short = [] if most is None or _least(most) > limit else [most, limit, _needed(limit)]
        text = Says(limit, about(at, 1e-7), LEVEL, *short)
        held.append({"value": value, "text": text, "warns": least > limit})
    points = [{"value": Says(epsilon, delta) if k == 0 else UNCLAIMED} for k in range(6)]
    return {"epsilon": epsilon, "delta": delta, "points": points, "held": held}


def _audited(members: Floats, others: Floats, half: Mask) -> dict[str, Any]:
    hits, alarms = _called(members, others, half, AIMED)
    rates = [banded(one, LEVEL, MINIMUM_CELL) for one in (hits, alarms)]
    rates = [one | ({"withheld": Says(MINIMUM_CELL)} if one["value"] is None else {}) for one in rates]
    for rate in FALSE_POSITIVE_RATES:
        if len(alarms) < math.ceil(round(EXPECTED / rate, 6)):
            continue
        edge = np.sort(others)[len(others) - 1 - math.floor(rate * len(others) + 1e-9)]
        tossed = (others > edge).sum() < rate * len(others) - 1e-9  # a coin among those at the edge
        for other in (members > edge, members >= edge if tossed else members > edge):
            if any(0 < int(side.sum()) < MINIMUM_CELL for side in (hits, ~hits, other, ~other)):
                continue  # a band at one of the rates: nothing to subtract
            if any(0 < int(side.sum()) < MINIMUM_CELL for side in (hits & ~other, other & ~hits)):
                said = Says(MINIMUM_CELL)
                return {"reason": said, "bound": entry(level=LEVEL, withheld=said)}
    value = _larger(rates[0]["low"], rates[1]["high"])
    bound = entry(value, value, level=LEVEL, n=len(hits) + len(alarms))
    return {"reason": "", "bound": bound, "true_positives": rates[0], "false_positives": rates[1]}


def _called(members: Floats, others: Floats, half: Mask, rate: float) -> tuple[Mask, Mask]:
    """Members, and non-members, above the lowest value above which at most `rate` of the non-members lie."""
    threshold = np.sort(others)[len(others) - 1 - math.floor(rate * len(others) + 1e-9)]
    return members > threshold, others > threshold


def _larger(found: float, wrong: float, delta: float = DELTA) -> float:
    """The larger of the two ratios' logarithms, never below 0."""
    first = math.log((found - delta) / wrong) if found > delta else 0.0
    second = math.log((1 - wrong - delta) / (1 - found)) if 1 - wrong > delta else 0.0
    return max(first, second, 0.0)


def _recipe(pool: Pool) -> dict[str, Any]:
    """LiRA by the first half of the models; threshold by the third quarter; rates by the last."""
    models = len(pool.inside)
    a, b = models // 2, 3 * models // 4
    if models - b < FEWEST:
        said = Says(models, models - b, FEWEST)
        return {"reason": said, "bound": entry(level=LEVEL, withheld=said)}
    score = _ratios(pool.margin[a:], pool.inside[:a], pool.margin[:a])
    outside = np.sort(score[: b - a][~pool.inside[a:b]])
    threshold = outside[len(outside) - 1 - math.floor(AIMED * len(outside) + 1e-9)]
    hits, inside = score[b - a :] > threshold, pool.inside[b:]
    cells = (hits & inside, ~hits & inside, hits & ~inside, ~hits & ~inside)
    if any(0 < int(cell.any(0).sum()) < MINIMUM_CELL for cell in cells):
        said = Says(MINIMUM_CELL)
        return {"reason": said, "bound": entry(level=LEVEL, withheld=said)}
    found, wrong = (_mean(hits, of) for of in (inside, ~inside))
    value = _larger(found["low"], wrong["high"])
    bound = entry(value, value, level=LEVEL, n=inside.shape[1])
    return {
        "reason": "", "bound": bound, "true_positives": found, "false_positives": wrong, "models": len(inside),
    }  # fmt: skip


def _mean(hits: Mask, of: Mask) -> dict[str, Any]:
    rates = np.array([h[o].mean() for h, o in zip(hits, of, strict=True)])
    events, total = int((hits & of).sum()), int(of.sum())
    assert 0 < events < total and rates.std() > 0
    student, pooled = stats.ttest_1samp(rates, 0.0).confidence_interval(LEVEL), exact_limits(events, total, LEVEL)
    low, high = max(0.0, min(student.low, pooled[0])), min(1.0, max(student.high, pooled[1]))
    return entry(float(rates.mean()), float(low), float(high), level=LEVEL, n=of.shape[1])


def _ratios(target: Floats, inside: Mask, margin: Floats) -> Floats:
    """Log of the Student-t predictive with the record over the one without it, for many models [T, P]."""
    found = np.zeros(target.shape)
    enough = (inside.sum(0) >= 2) & ((~inside).sum(0) >= 2)
    for sign, chosen in ((1, inside), (-1, ~inside)):
        held = np.ma.masked_array(margin, ~chosen)
        n = chosen.sum(0)
        mean, squares = held.mean(0).filled(0.0), ((held - held.mean(0)) ** 2).sum(0).filled(0.0)
        prior, centre = smyth(squares[n > 1] / (n[n > 1] - 1), n[n > 1] - 1)
        freedom = prior + np.maximum(n - 1, 0)
        spread = np.sqrt((prior * centre + squares) / freedom * (1 + 1 / np.maximum(n, 1)))
        found += sign * (stats.t.logpdf((target - mean) / spread, freedom) - np.log(spread))
    return np.where(enough, found, 0.0)
