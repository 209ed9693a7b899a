"""Leave-one-out on a convex model: scikit-learn's breast cancer, every training row removed and the model refitted.

80/20, standardised; softmax regression in float64, mean cross-entropy plus 1e-3/2 of the squared norm of everything,
Newton's method to 1e-12, the other rows keep weight 1/N; slices: each class, and large radius.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import pearsonr, spearmanr

from benchmarks.contest import Case, Found
from tests.worlds import SoftmaxWorld, breast_cancer, leave_one_out, slices_of

Floats: TypeAlias = NDArray[np.float64]

TITLE = "Leave-one-out, breast cancer, softmax regression"


def case_of(world: SoftmaxWorld) -> Case:
    """Each of the evaluation rows is asked about; slices are means of them."""
    x, y = torch.from_numpy(world.x_eval), torch.from_numpy(world.y_eval)
    rows = {f"row {m}": (x[m : m + 1], y[m : m + 1]) for m in range(len(y))}
    return Case(world.module(), torch.from_numpy(world.x), torch.from_numpy(world.y), rows, world.l2)


def truth(world: SoftmaxWorld) -> tuple[Floats, Floats]:
    """Changes of the slices' mean losses [N, 3] and of each row's own loss [N] by refitting."""
    return leave_one_out(world, slices_of(world), np.arange(len(world.x)))


def figures(world: SoftmaxWorld, found: Found, actual: tuple[Floats, Floats]) -> dict[str, float]:
    """The least favourable of the three slices, and self-influence; scale is the slope of predicted on actual."""
    effects, own = actual
    scores = found.scores.numpy() @ slices_of(world)
    each = [_compare(scores[:, s], effects[:, s]) for s in range(scores.shape[1])]
    shown = {
        "slices: Pearson": min(e["pearson"] for e in each),
        "Spearman": min(e["spearman"] for e in each),
        "scale": max((e["scale"] for e in each), key=lambda v: abs(np.log(max(v, 1e-300)))),
        "same sign": min(e["sign"] for e in each),
    }
    if found.self_influence is not None:
        mine = _compare(found.self_influence.numpy(), own)
        shown |= {"self: Pearson": mine["pearson"], "self: scale": mine["scale"]}
    return shown


def _compare(predicted: Floats, actual: Floats) -> dict[str, float]:
    return {
        "pearson": float(pearsonr(predicted, actual)[0]),
        "spearman": float(spearmanr(predicted, actual)[0]),
        "scale": float(predicted @ actual / (actual @ actual)),
        "sign": float(np.mean(np.sign(predicted) == np.sign(actual))),
    }


def world() -> SoftmaxWorld:
    """The world of this task."""
    return breast_cancer()
