"""The likelihood-ratio attack from the restricted evidence of the retrained models, record by record.

Who was inside which model is drawn by the audit and read from its evidence. What the models answered is held against
the stated recipe carried out again on their rows; the rest is Carlini et al. with Smyth's prior, in a plain loop.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy import optimize, special, stats
from sklearn.isotonic import IsotonicRegression

from tests.policies.real.claims import Says, about
from tests.policies.real.recompute_data import LEVEL, MINIMUM_CELL, Floats, Mask, World
from tests.policies.real.recompute_fidelity import RETRAINED_AGAIN, learned
from tests.policies.real.recompute_influence import Dense
from tests.policies.real.recompute_model import logit
from tests.policies.real.recompute_privacy import FALSE_POSITIVE_RATES, expected_success, group_shares
from tests.policies.real.recompute_rates import banded, entry, exact

ROUNDING = 1e-24
AVERAGE, SHARE, LEVEL_OF_FLAGS, THRESHOLD_OF_RISK = "privacy.average_risk", "privacy.exposed_share", 0.10, 0.75


@dataclass(frozen=True)
class Pool:
    """The retrained models' losses of training rows and reserve rows, in that order."""

    inside: Mask
    loss: Floats
    seeds: Any
    members: int

    @cached_property
    def margin(self) -> Floats:
        """Logit of the probability of the true label."""
        return log_odds(self.loss)


def log_odds(loss: Floats) -> Floats:
    """Logit of the probability whose -log this is; above 30 nats by log(e^x - 1) = x + log(1 - e^-x)."""
    kept = np.maximum(loss, 1e-15)
    return np.where(kept > 30, -kept - np.log1p(-np.exp(-kept)), -np.log(np.expm1(np.minimum(kept, 30))))


def read_pool(world: World, restricted: Path) -> Pool | None:
    """The evidence of the halves of training and reserve rows; None where there is none."""
    if not (restricted / "pool_bank_masks.npy").exists():
        return None
    kept = {name: np.load(restricted / f"pool_bank_{name}.npy") for name in ("rows", "masks", "loss", "seeds")}
    members, others = len(world.frames["train"]), len(world.frames["reserve"])
    assert (kept["rows"] == np.arange(members + others)).all()
    assert (kept["masks"].sum(axis=1) == (members + others) // 2).all()
    return Pool(kept["masks"], kept["loss"], kept["seeds"], members)


def hold_pool(dense: Dense, pool: Pool) -> None:
    """The first models' losses are those of the stated recipe on their rows."""
    design = np.vstack([dense.answers.design[split] for split in ("train", "reserve")])
    label = np.concatenate([dense.world.label(split) for split in ("train", "reserve")])
    for k in range(RETRAINED_AGAIN):
        rows, weights = pool.inside[k], dense.answers.weights
        again = learned(dense, design[rows], label[rows], int(pool.seeds[k]))
        z = logit({name: again[name].reshape(weights[name].shape) for name in weights}, design)
        np.testing.assert_allclose(pool.loss[k], np.logaddexp(0, z) - label * z, rtol=1e-6, atol=1e-7)


def diverged(reason: str) -> Says:
    """What the reason for having no models of the pool may say: how many of those trained diverged."""
    found = re.search(r"(\d+) of (\d+) retrained models diverged", reason)
    if found is None:
        return Says()
    assert 0 < int(found[1]) <= int(found[2]) <= MOST_MODELS
    return Says(int(found[1]), int(found[2]), 0.25)


def expected_attacks(
    pool: Pool | None, loss: Any, half: Mask | None, kept: dict[str, tuple[Floats, Floats]], why: Says | None = None
) -> Any:
    """Measurements and parts of the attacks with retrained models.

    `kept` are the audit's scores, held against ours; they decide ties. `why` there are no retrained models.
    """
    why = Says() if why is None else why
    measured: dict[str, Any] = {}
    parts = []
    for key, (title, auc, tpr, again) in ATTACKS.items():
        if pool is None or half is None:
            nothing = entry(level=LEVEL, withheld=why)
            measured |= dict.fromkeys((auc, *(f"{tpr}{rate!r}" for rate in FALSE_POSITIVE_RATES)), nothing)
            parts.append({"reason": why})
            continue
        own = again(pool, np.concatenate([loss["train"], loss["reserve"]]))
        # RMIA is a rank: two ratios equal but for rounding may stand either way.
        near = 3.0 / (len(own) - pool.members) if key == "rmia" else 1e-7
        np.testing.assert_allclose(np.concatenate(kept[key]), own, rtol=1e-7, atol=near)
        rows, success = expected_success(*kept[key], auc=auc, tpr=tpr)
        roc = success["roc"] | {"method": Says(MINIMUM_CELL)}
        measured |= rows
        parts.append(success | {"roc": roc, "title": title, "models": len(pool.inside)})
    return measured, parts


def expected_exposure(
    pool: Pool | None,
    world: World,
    scores: tuple[Floats, Floats] | None,
    kept: dict[str, Any],
    why: Says | None = None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Measurements and part of the record-level risk; `kept` are the audit's arrays, held against ours."""
    if pool is None or scores is None:
        why = Says() if why is None else why
        nothing = entry(level=LEVEL, withheld=why)
        return {f"{name} /  / ": {"estimate": nothing} for name in (AVERAGE, SHARE)}, {"reason": why}
    risk, low = risks(pool, np.random.default_rng(1))
    risk, low_reserve, low = risk[: pool.members], low[pool.members :], low[: pool.members]
    np.testing.assert_allclose(kept["risk"], risk, rtol=0, atol=1e-7)
    risk = kept["risk"]
    # Other bootstrap samples move a limit by a step of the grid now and then.
    assert np.abs(kept["risk_low"] - low).mean() < 0.01
    low = kept["risk_low"]
    members, others = scores
    p = np.array([(1 + (others >= score).sum()) / (1 + len(others)) for score in members])
    np.testing.assert_allclose(kept["membership_p"], p)
    # Those of the reserve whose limit lies at the threshold may stand on either side of it: p lies between the two.
    picked = low > THRESHOLD_OF_RISK
    ends = [
        np.array([
            (1 + (others[low_reserve > edge] >= score).sum()) / (1 + len(others)) if own else 1.0
            for score, own in zip(members, picked, strict=True)
        ])
        for edge in (THRESHOLD_OF_RISK + NEAR_LIMIT, THRESHOLD_OF_RISK - NEAR_LIMIT)
    ]
    joint = kept["membership_p_at_risk"]
    assert (ends[0] <= joint + 1e-12).all() and (joint <= ends[1] + 1e-12).all()
    flag = _survivors(joint, LEVEL_OF_FLAGS) & picked
    if picked.any():
        flag[picked] &= _survivors(p[picked], LEVEL_OF_FLAGS)
    np.testing.assert_array_equal(kept["exposed_flag"], flag)
    fewest = int(np.ceil(len(members) / (LEVEL_OF_FLAGS * (1 + len(others))) - 1e-9))
    average, share = _average(pool), banded(flag, LEVEL, MINIMUM_CELL)
    by_group = group_shares(world, flag, SHARE)
    part = {
        "rule": Says(LEVEL, THRESHOLD_OF_RISK, LEVEL_OF_FLAGS, fewest), "models": len(pool.inside),
        "learned_from": int(np.median(pool.inside.sum(1))), "audited_learned_from": pool.members,
        "average": average, "flagged": share, "by_group": by_group,
        "bands": _bands(risk, flag), "p_steps": 1 + len(others),
    }  # fmt: skip
    rows = {f"{AVERAGE} /  / ": {"estimate": average}, f"{SHARE} /  / ": {"estimate": share}}
    return rows | by_group, part


MOST_MODELS, FOLDS_LEFT_OUT = 256, 8
NEAR_LIMIT = 0.03
"""By how much other bootstrap samples may move a lower limit of risk: a step of the grid."""
GRID_STEP, LEAST_DISTANCE, HALF, EM_STEPS, EM_STEPS_AGAIN = 0.1, -1.5, 0.5, 200, 50


def risks(pool: Pool, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Risk and its lower limit of every record of the pool; the limit from bootstrap samples of our own."""
    grid, given = _likelihoods(pool.inside, pool.margin)
    success = stats.norm.cdf(np.abs(grid) / 2)
    first = _law(given, _start(grid), EM_STEPS)
    value = _posterior(given, first) @ success
    spread = _posterior(given, first)
    for _ in range(40):
        models = rng.integers(0, len(pool.inside), len(pool.inside))
        records = rng.integers(0, pool.inside.shape[1], pool.inside.shape[1])
        _, again = _likelihoods(pool.inside[models][:, records], pool.margin[models][:, records], grid)
        spread += _posterior(given, _law(again, _start(grid), EM_STEPS_AGAIN))
    spread /= 41
    met = held_out(pool, grid, first)
    low = np.empty(pool.inside.shape[1])
    order = np.argsort(success, kind="stable")
    for i, row in enumerate(spread):
        low[i] = success[order][np.searchsorted(np.cumsum(row[order]), (1 - LEVEL) / 2)]
    return met(value), np.minimum(met(low), met(value))


def held_out(pool: Pool, grid: Floats, first: Floats) -> Callable[[Floats], Floats]:
    """From stated risk to what the likelihood ratio's success on models left out in eight parts adds to it."""
    models, success = len(pool.inside), stats.norm.cdf(np.abs(grid) / 2)
    stated, right, expected = (np.empty(pool.inside.shape) for _ in range(3))
    for part in range(FOLDS_LEFT_OUT):
        rest = np.arange(models) % FOLDS_LEFT_OUT != part
        _, given = _likelihoods(pool.inside[rest], pool.margin[rest], grid)
        own = _posterior(given, _law(given, first, EM_STEPS_AGAIN))
        stated[~rest] = own @ success
        n = pool.inside[rest].sum(0)
        weight = (n * (rest.sum() - n) / rest.sum()).mean()
        near = stats.norm(scale=np.sqrt(4 + 1 / weight)).cdf(np.abs(grid)) - 0.5
        expected[~rest] = own @ (0.5 + near * (stats.norm.cdf(np.abs(grid * np.sqrt(weight))) * 2 - 1))
        others = Pool(pool.inside[rest], pool.loss[rest], pool.seeds[rest], pool.members)
        right[~rest] = (likelihood_ratios(others, pool.loss[~rest]) > 0) == pool.inside[~rest]
    count = stated.shape[1]
    size = max(30, count // 24)
    sizes = [size] * max(1, count // size)
    while sizes[-1] >= 60:
        sizes[-1:] = [sizes[-1] - sizes[-1] // 2, sizes[-1] // 2]
    ordered = np.sort(stated.ravel())
    edges = np.unique(ordered[[min(n * models, ordered.size - 1) for n in np.cumsum(sizes)[:-1]]])
    at, points = np.searchsorted(edges, stated, side="right"), []
    for k in range(len(edges) + 1):
        n = (at == k).sum(1)
        off = ((right - expected) * (at == k)).sum(1)
        change = off.sum() / n.sum()
        error = np.sqrt(models / (models - 1) * ((off - change * n) ** 2).sum()) / n.sum()
        change *= max(0.0, 1 - error**2 / max(change**2, 1e-300))
        points.append((stated[at == k].mean(), change, n.sum()))
    x, change, weight = np.array(points).T
    y = IsotonicRegression().fit_transform(x, np.clip(x + change, 0.5, 1), sample_weight=weight)
    x, y = np.r_[0.5, x], np.r_[0.5, y]
    return lambda risk: np.clip(np.interp(risk, x, y) + risk - np.clip(risk, x[0], x[-1]), 0.5, 1)


def _likelihoods(inside: Mask, margin: Floats, grid: Floats | None = None) -> tuple[Floats, Floats]:
    one, two = np.where(inside, margin, np.nan), np.where(inside, np.nan, margin)
    n, k = inside.sum(0), (~inside).sum(0)
    assert min(n.min(), k.min()) > 0
    squares = np.nanvar(one, axis=0) * n + np.nanvar(two, axis=0) * k
    prior, centre = smyth(squares / (n + k - 2), n + k - 2)
    freedom, weight = prior + n + k - 2, n * k / (n + k)
    d = (np.nanmean(one, axis=0) - np.nanmean(two, axis=0)) / np.sqrt((prior * centre + squares) / freedom)
    if grid is None:
        top = min(max(np.ceil(d.max()) + 1, 4.0), 12.0)
        grid = np.array([LEAST_DISTANCE + GRID_STEP * i for i in range(round((top - LEAST_DISTANCE) / GRID_STEP) + 1)])
        grid = grid.round(9)
    t = d * np.sqrt(weight)
    columns = [
        stats.norm.logpdf((t * (1 - 1 / (4 * freedom)) - at * np.sqrt(weight)) / np.sqrt(1 + t**2 / (2 * freedom)))
        for at in grid
    ]
    logs = np.stack(columns, axis=1)
    return grid, np.exp(logs - logs.max(axis=1, keepdims=True))


def _start(grid: Floats) -> Floats:
    return np.where(grid == 0, HALF, 0.0) + (1 - HALF) / len(grid)


def _posterior(given: Floats, law: Floats) -> Floats:
    return (given * law) / (given * law).sum(1, keepdims=True)


def _law(given: Floats, law: Floats, steps: int) -> Floats:
    for _ in range(steps):
        law = _posterior(given, law).mean(0)
    return law


def expected_quality(
    kept: dict[str, Any], own: Floats, rankings: dict[str, Floats], loss: Floats
) -> dict[str, Any]:
    """Precision, recall and lift of the screen and of every ranking; own [N] is recomputed self-influence."""
    place = stats.rankdata(-own, method="min")
    assert stats.spearmanr(kept["screen_rank"], place).statistic > 0.999
    size = len(own)
    truth = _highest(stats.rankdata(-kept["risk"], method="min"), 0.05)
    chosen = {
        "self-influence": {"marked by the screen": kept["screen_flag"], **_tops(kept["screen_rank"])},
        **{name: _tops(stats.rankdata(-values, method="min")) for name, values in rankings.items()},
        "loss": _tops(stats.rankdata(-loss, method="min")),
    }
    rows = []
    for ranking, selections in chosen.items():
        open_: list[Mask] = []
        for name, picked in selections.items():
            cells = [picked, ~picked, *(cell for other in open_ for cell in (picked & ~other, other & ~picked))]
            counts = [int(x.sum()) for cell in cells for x in (cell, cell & truth, cell & ~truth)]
            row: dict[str, Any] = {"ranking": ranking, "selection": name}
            if any(0 < count < MINIMUM_CELL for count in counts) or not picked.any():
                hidden = entry(level=LEVEL, withheld=Says(MINIMUM_CELL))
                if not picked.any():
                    rows.append(row | {"precision": hidden, "recall": hidden, "lift": hidden})
                    continue
                few = banded(truth[picked], LEVEL, MINIMUM_CELL)
                precision = _in_band(truth[picked])
                if few["value"] is None and few["low"] is not None:
                    precision = few | {"withheld": Says(MINIMUM_CELL)}
                lift = hidden
                if precision["low"] is not None:
                    ends, n = [precision[k] * size / truth.sum() for k in ("low", "high")], int(picked.sum())
                    lift = entry(None, *ends, level=LEVEL, n=n) | {"withheld": precision["withheld"]}
                rows.append(row | {"precision": precision, "recall": _in_band(picked[truth]), "lift": lift})
                continue
            open_.append(picked)
            hits = int((picked & truth).sum())
            precision = exact(hits, int(picked.sum()), LEVEL)
            base = truth.sum() / size
            lift = entry(*(precision[k] / base for k in ("value", "low", "high")), level=LEVEL, n=int(picked.sum()))
            rows.append(row | {"precision": precision, "recall": exact(hits, int(truth.sum()), LEVEL), "lift": lift})
    named = [{key: Says(5, 1) if key == "selection" else value for key, value in row.items()} for row in rows]
    return {"quality": named, "truth_share": float(truth.mean())}


def _in_band(hits: Mask) -> dict[str, Any]:
    """The narrowest of tenths, fifths, quarters and halves that leaves ten records open."""
    for parts in (10, 5, 4, 2):
        if len(hits) / parts >= MINIMUM_CELL:
            at = min(int(hits.mean() * parts + 1e-9), parts - 1)
            said = Says(1 / parts, MINIMUM_CELL)
            return entry(None, at / parts, (at + 1) / parts, level=LEVEL, n=len(hits)) | {"withheld": said}
    return entry(level=LEVEL, withheld=Says(MINIMUM_CELL))


def _tops(place: Any) -> dict[str, Mask]:
    return {f"highest {share:.0%}": _highest(place, share) for share in (0.05, 0.01)}


def _highest(place: Any, share: float) -> Mask:
    """Those of rank within the share; a group of ties across the edge is out."""
    count = int(np.ceil(share * len(place)))
    sizes = np.bincount(place.astype(int), minlength=len(place) + 1)[place.astype(int)]
    return place + sizes - 1 <= count


def _average(pool: Pool) -> dict[str, Any]:
    """The mean over training records; each jackknife law is taken up from the fitted one."""
    return means(pool, [np.ones(pool.members, dtype=bool)])[0]


def means(pool: Pool, cells: list[Mask]) -> list[dict[str, Any]]:
    """Mean risk of the training records in each cell; models left out in up to 32 groups."""
    grid, given = _likelihoods(pool.inside, pool.margin)
    success, groups = stats.norm.cdf(np.abs(grid) / 2), min(len(pool.inside), 32)
    fitted = _law(given, _start(grid), EM_STEPS)
    met = held_out(pool, grid, fitted)
    stated = _posterior(given, fitted) @ success
    value, slope = met(stated)[: pool.members], np.polyfit(stated, met(stated), 1)[0]
    others = np.empty((groups, len(cells)))
    for k in range(groups):
        rest = np.arange(len(pool.inside)) % groups != k
        _, left = _likelihoods(pool.inside[rest], pool.margin[rest], grid)
        risk = (_posterior(left, _law(left, fitted, EM_STEPS_AGAIN)) @ success)[: pool.members]
        others[k] = [slope * risk[cell].mean() for cell in cells]
    halves = stats.t.ppf(0.5 + LEVEL / 2, groups - 1) * np.sqrt((groups - 1) * others.var(axis=0))
    found = []
    for cell, half in zip(cells, halves, strict=True):
        mean = float(value[cell].mean())
        near = [about(v, 1e-7) for v in (mean, max(0.5, mean - half), min(1.0, mean + half))]
        found.append(entry(*near, level=LEVEL, n=int(cell.sum())))
    return found


def _survivors(p: Floats, level: float) -> Mask:
    """Benjamini and Hochberg's step-up rule as written: the largest k with p_(k) <= level k / N."""
    order = np.sort(p)
    passing = np.flatnonzero(order <= level * np.arange(1, len(p) + 1) / len(p) + 1e-15)
    return p <= (order[passing[-1]] if len(passing) else -1.0)


def _bands(risk: Floats, flag: Mask) -> list[dict[str, Any]]:
    """Shares between edges; an edge goes that sets 1 to 9 records apart from another edge's or from those marked."""
    def few(one: Mask, other: Mask) -> bool:
        return any(0 < int(x.sum()) < MINIMUM_CELL for x in (one & ~other, other & ~one))

    edges, sets = [1.0], [np.zeros(len(risk), dtype=bool)]
    for edge in (0.9, 0.75, 0.6, 0.5):
        if not any(few(risk >= edge, other) for other in [*sets, flag]):
            edges.append(edge)
            sets.append(risk >= edge)
    found = [
        {"low": edges[i], "high": edges[i - 1], "share": banded(sets[i] & ~sets[i - 1], LEVEL, MINIMUM_CELL)}
        for i in range(1, len(edges))
    ]
    return found[::-1]


def likelihood_ratios(pool: Pool, loss: Floats) -> Floats:
    """Log of the Student-t predictive with the record over the one without it, of one model's losses or of several."""
    target, found = log_odds(loss), np.zeros(loss.shape)
    enough = (pool.inside.sum(0) >= 2) & ((~pool.inside).sum(0) >= 2)
    for sign, chosen in ((1, pool.inside), (-1, ~pool.inside)):
        n = chosen.sum(0)
        mean = np.ma.array(pool.margin, mask=~chosen).mean(0).filled(0.0)
        squares = (((pool.margin - mean) ** 2) * chosen).sum(0)
        prior, centre = smyth(squares[n > 1] / (n[n > 1] - 1), n[n > 1] - 1)
        freedom = prior + np.maximum(n - 1, 0)
        spread = np.sqrt((prior * centre + squares) / freedom * (1 + 1 / np.maximum(n, 1)))
        found += sign * (stats.t.logpdf((target - mean) / spread, freedom) - np.log(spread))
    return np.where(enough, found, 0.0)


def surprise(pool: Pool, loss: Floats) -> Floats:
    """Place among the models without the record, by Student's t, on the normal scale."""
    target = log_odds(loss)
    sides = [pool.margin[~pool.inside[:, i], i] for i in range(len(loss))]
    n = np.array([len(side) for side in sides])
    assert n.min() > 1
    squares = np.array([((side - side.mean()) ** 2).sum() for side in sides])
    prior, centre = smyth(squares / (n - 1), n - 1)
    spread = np.sqrt((prior * centre + squares) / (prior + n - 1) * (1 + 1 / n))
    law = stats.t(prior + n - 1, loc=[side.mean() for side in sides], scale=spread)
    return np.where(law.cdf(target) < 0.5, stats.norm.ppf(law.cdf(target)), stats.norm.isf(law.sf(target)))


def relative(pool: Pool, loss: Floats) -> Floats:
    """Share of the reserve whose ratio of likelihoods, audited over usual, lies below the record's; ties by half."""
    usual = np.array([
        np.mean([np.exp(-pool.loss[side, i]).mean() for side in (pool.inside[:, i], ~pool.inside[:, i])])
        for i in range(len(loss))
    ])  # fmt: skip
    ratio = -loss - np.log(usual)
    others = ratio[pool.members :]
    found = [(others < r).mean() + (others == r).mean() / 2 for r in ratio[: pool.members]]
    rest = [((others < r).sum() + ((others == r).sum() - 1) / 2) / (len(others) - 1) for r in others]
    return np.array(found + rest)


def calibrated(pool: Pool, loss: Floats) -> Floats:
    """The mean loss of the models without the record, less its loss."""
    return np.array([pool.loss[~pool.inside[:, i], i].mean() for i in range(len(loss))]) - loss


ATTACKS = {
    "lira": ("Likelihood ratio (LiRA, online)", "privacy.lira_auc", "privacy.lira_tpr_at_fpr_", likelihood_ratios),
    "lira_offline": (
        "Likelihood ratio (LiRA, offline)", "privacy.lira_offline_auc", "privacy.lira_offline_tpr_at_fpr_", surprise,
    ),
    "rmia": ("Relative likelihood (RMIA)", "privacy.rmia_auc", "privacy.rmia_tpr_at_fpr_", relative),
    "calibrated_loss": ("Calibrated loss", "privacy.calibrated_auc", "privacy.calibrated_tpr_at_fpr_", calibrated),
}  # fmt: skip


def smyth(variance: Floats, freedom: Any) -> tuple[float, float]:
    """Prior degrees of freedom and scale from the moments of the logarithms.

    A record whose answers are all alike (a margin at its cap in every model) has a variance that is rounding; the
    logarithm of that, -63 where others have -4, would alone decide the spread of the logarithms of 14,000 records.
    """
    told = variance > ROUNDING
    variance, freedom = variance[told], np.broadcast_to(freedom, variance.shape)[told]
    e = np.log(variance) - special.digamma(freedom / 2) + np.log(freedom / 2)
    left = e.var(ddof=1) - special.polygamma(1, freedom / 2).mean()
    if left <= special.polygamma(1, 5e5):
        prior = 1e6
    else:
        # On the logarithm, where the trigamma function is nearly straight.
        root = optimize.brentq(lambda u: np.log(special.polygamma(1, np.exp(u)) / left), -5, 14, xtol=1e-13)
        prior = 2 * np.exp(root)
    return prior, float(np.exp(e.mean() + special.digamma(prior / 2) - np.log(prior / 2)))
