"""The likelihood-ratio attack from the restricted evidence of the retrained models, record by record.

Who was inside which model is drawn by the audit and read from its evidence. What the models answered is held against
the stated recipe carried out again on their rows; the rest is Carlini et al. with Smyth's prior, in a plain loop.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy import optimize, special, stats

from tests.policies.real.claims import Says
from tests.policies.real.recompute_data import LEVEL, MINIMUM_CELL, Floats, Mask, World
from tests.policies.real.recompute_fidelity import RETRAINED_AGAIN, learned
from tests.policies.real.recompute_influence import Dense
from tests.policies.real.recompute_model import logit
from tests.policies.real.recompute_privacy import FALSE_POSITIVE_RATES, expected_success
from tests.policies.real.recompute_rates import entry

TITLE, AUC, TPR = "Likelihood ratio (LiRA, online)", "privacy.lira_auc", "privacy.lira_tpr_at_fpr_"


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
        return -np.log(np.expm1(np.maximum(self.loss, 1e-15)))


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


def expected_lira(pool: Pool | None, loss: Any, half: Mask | None, scores: tuple[Floats, Floats] | None) -> Any:
    """Measurements and the attack's part; `scores` are the audit's, held against ours, whose ties they decide."""
    if pool is None or half is None or scores is None:
        nothing = entry(level=LEVEL, withheld=Says())
        names = (AUC, *(f"{TPR}{rate!r}" for rate in FALSE_POSITIVE_RATES))
        return dict.fromkeys(names, nothing), []
    own = likelihood_ratios(pool, np.concatenate([loss["train"], loss["reserve"]]))
    np.testing.assert_allclose(np.concatenate(scores), own, rtol=1e-7, atol=1e-7)
    measured, success = expected_success(*scores, half, auc=AUC, tpr=TPR)
    roc = success["roc"] | {"method": Says(MINIMUM_CELL)}
    return measured, [success | {"roc": roc, "title": TITLE, "models": len(pool.inside)}]


def likelihood_ratios(pool: Pool, loss: Floats) -> Floats:
    """Log of the Student-t predictive with the record over the one without it."""
    target, found = -np.log(np.expm1(np.maximum(loss, 1e-15))), np.zeros(len(loss))
    enough = (pool.inside.sum(0) >= 2) & ((~pool.inside).sum(0) >= 2)
    for sign, chosen in ((1, pool.inside), (-1, ~pool.inside)):
        sides = [pool.margin[chosen[:, i], i] for i in range(len(loss))]
        n = np.array([len(side) for side in sides])
        mean = np.array([side.mean() if len(side) else 0.0 for side in sides])
        squares = np.array([((side - m) ** 2).sum() for side, m in zip(sides, mean, strict=True)])
        prior, centre = smyth(squares[n > 1] / (n[n > 1] - 1), n[n > 1] - 1)
        freedom = prior + np.maximum(n - 1, 0)
        spread = np.sqrt((prior * centre + squares) / freedom * (1 + 1 / np.maximum(n, 1)))
        found += sign * (stats.t.logpdf((target - mean) / spread, freedom) - np.log(spread))
    return np.where(enough, found, 0.0)


def smyth(variance: Floats, freedom: Any) -> tuple[float, float]:
    """Prior degrees of freedom and scale from the moments of the logarithms."""
    e = np.log(variance) - special.digamma(freedom / 2) + np.log(freedom / 2)
    left = e.var(ddof=1) - special.polygamma(1, freedom / 2).mean()
    if left <= special.polygamma(1, 5e5):
        prior = 1e6
    else:
        # On the logarithm, where the trigamma function is nearly straight.
        root = optimize.brentq(lambda u: np.log(special.polygamma(1, np.exp(u)) / left), -5, 14, xtol=1e-13)
        prior = 2 * np.exp(root)
    return prior, float(np.exp(e.mean() + special.digamma(prior / 2) - np.log(prior / 2)))
