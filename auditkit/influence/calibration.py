"""What the members of an ensemble answer themselves, set against what the others predict of them: a ridge fit.

Member k lacks the records outside its mask; x_ks, the sum of their effects on measure s, rests on other members only,
and y_ks is the measure under member k. What the effects leave over is fitted on the predictions for all S measures,

    y_ks = a_s + b_s x_ks + sum_r B_rs z_kr + rest,          z the columns of x, standardised; ridge t on B alone

with one t for all measures, the one of least leave-one-out squared error (exact by the hat matrix: Allen 1974, PRESS).
The fit is then divided by b_s, so that effects keep the unit and the size of single removals, which halves cannot tell:

    score'[n, s] = score[n, s] + 1/b_s sum_r B'_rs score[n, r]        (B' = B in their own units, less its part of b_s)

It is used only where it lowers the leave-one-out squared error by LEAST_GAIN and every b_s is positive. A ridge on the
records themselves (a datamodel of the residual, Ilyas et al. 2022) was tried and added nothing at 64 members. Measured
by slice on 60 further halves: COMPAS 0.935 -> 0.947 with 64 members, 0.934 -> 0.940 with 24; on digits it is not used,
because single retrainings are too noisy there (a gain of at most 0.011, and 0.62 would have become 0.62 or less).

Wrong when: the members are few, or their measures are mostly chance of training; the gain then stays below the least.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from torch import Tensor, from_numpy

from auditkit.result import Quality
from auditkit.subject.types import Floats

FEWEST: Final = 24
"""Members that lack records, below which nothing is fitted."""
LEAST_GAIN: Final = 0.03
RIDGES: Final = (1000.0, 300.0, 100.0, 30.0, 10.0, 3.0, 1.0, 0.3)


def calibrate(effects: Tensor, masks: Tensor, values: Tensor) -> tuple[Tensor, tuple[Quality, ...]]:
    """The effects with what their sums leave over, where that helps, and what is said of it.

    Args:
        effects: [N, S] averaged over the members. masks: [K, N] who learned from what. values: [K, S] measures.
    """
    partial = ~masks.all(1)
    if int(partial.sum()) < FEWEST or effects.shape[1] < 2:
        return effects, ()
    given = effects.cpu().numpy()
    predicted = (~masks[partial]).cpu().numpy().astype(np.float64) @ given
    mixing, gain = _fitted(predicted, values[partial].cpu().numpy())
    used = mixing is not None and gain >= LEAST_GAIN
    text = (
        f"Share by which a ridge fit of what n = {len(predicted)} members answer, on what the others predict for "
        f"all measures, lowers the leave-one-out squared error; {'' if used else 'not '}used, the least being "
        f"{LEAST_GAIN:g}."
    )
    row = Quality(name="calibration on the members", value=gain, text=text)
    if mixing is None or not used:
        return effects, (row,)
    return from_numpy(given @ mixing).to(effects.device), (row,)


def _fitted(predicted: Floats, actual: Floats) -> tuple[Floats | None, float]:
    """[S, S] by which effects are multiplied, None where a slope is not positive; and the gain."""
    spread = predicted.std(axis=0)
    if not (spread > 0).all() or not (actual.std(axis=0) > 0).all():
        return None, 0.0
    z = (predicted - predicted.mean(axis=0)) / spread
    plain, errors, columns = [], [], []
    for s in range(predicted.shape[1]):
        before, after, mixed = _of_measure(predicted[:, s], z, actual[:, s])
        plain.append(before)
        errors.append(after)
        columns.append(mixed)
    best = int(np.argmin(np.mean(errors, axis=0)))
    gain = float(1 - np.mean(errors, axis=0)[best] / np.mean(plain))
    slopes = np.array([mixed[0] for mixed in columns])
    if not (slopes > 0).all():
        return None, gain
    mixing = np.column_stack([mixed[1][best] / spread for mixed in columns])
    own = np.array([slope - mixed[2][best] for slope, mixed in zip(slopes, columns, strict=True)])
    return (mixing + np.diag(own)) / slopes, gain


def _of_measure(x: Floats, z: Floats, y: Floats) -> tuple[float, list[float], tuple[float, list[Floats], list[float]]]:
    """Leave-one-out error over the variance, plain and by ridge; then b, B by ridge, and the part of b that B takes."""
    line = np.column_stack([np.ones(len(x)), x])
    flat, corner = np.linalg.qr(line)
    left = y - flat @ (flat.T @ y)
    leverage = np.square(flat).sum(axis=1)
    u, d, vt = np.linalg.svd(z - flat @ (flat.T @ z), full_matrices=False)
    total = float(np.square(y - y.mean()).sum())
    errors, fits, parts = [], [], []
    for ridge in RIDGES:
        kept = d**2 / (d**2 + ridge)
        rest = left - u @ (kept * (u.T @ left))
        hat = leverage + (np.square(u) * kept).sum(axis=1)
        errors.append(float(np.square(rest / (1 - hat)).sum()) / total)
        fits.append(vt.T @ (d / (d**2 + ridge) * (u.T @ left)))
        parts.append(float(np.linalg.solve(corner, flat.T @ (z @ fits[-1]))[1]))
    before = float(np.square(left / (1 - leverage)).sum()) / total
    return before, errors, (float(np.linalg.solve(corner, flat.T @ y)[1]), fits, parts)
