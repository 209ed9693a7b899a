"""What the training gradient says of weight decay, by dense numpy: regressions through the origin, written out.

With pull = −(gradient of the mean loss) and theta the parameters, an L2 is pull = lambda theta, decoupled decay
pull = kappa s theta, s the standard deviation of a record's gradient, parameter by parameter. Both are tried for all
parameters and for matrices alone; the one that explains more is printed.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

from tests.policies.real.claims import Says
from tests.policies.real.recompute_data import Floats

RECORDS, FEWEST, NUMBERS = 4096, 256, 2**25


def decay_figures(gradients: Floats, theta: Floats, shapes: list[tuple[int, ...]], l2: float) -> Says:
    """The figures that the sentence may print; gradients [N, D] are those of the records' losses."""
    pull = -gradients.mean(0)
    moments = (_sampled(gradients) ** 2).mean(0)
    seen = moments > 0
    known = np.where(seen, theta, 0.0)
    deviation = np.sqrt(np.maximum(moments - pull**2, 0.0))
    units, sizes = _units(shapes), [int(np.prod(shape)) for shape in shapes]
    matrices = np.repeat([float(len(shape) > 1) for shape in shapes], sizes)
    patterns = [np.ones(len(theta))] + ([matrices] if 0 < matrices.sum() < len(theta) else [])
    one, other = (max((_fit(pull, x * p, units) for p in patterns), key=lambda fit: fit[2])
                  for x in (known, deviation * known))  # fmt: skip
    gain = _gain(one[3][seen], other[3][seen])
    sums = np.bincount(units[seen], gain)[np.bincount(units[seen]) > 0]
    z = sums.sum() / (sums.std(ddof=1) * np.sqrt(len(sums))) if len(sums) > 1 else 0.0
    stated = 1 - ((pull - l2 * theta) ** 2).sum() / (pull**2).sum()
    figures = [one[2], one[0], one[0] - one[1], one[0] + one[1], other[2], stated, 95, norm.cdf(abs(z))]
    for part in np.split(np.arange(len(theta)), np.cumsum(sizes)[:-1]):
        slope, _, share, _ = _fit(pull[part], known[part], units[part] - units[part].min())
        figures += [slope, 1 - share]
    return Says(*map(float, figures), names=["L2"])


def _sampled(gradients: Floats) -> Floats:
    n, size = gradients.shape
    count = min(n, max(FEWEST, min(RECORDS, NUMBERS // size)))
    return gradients[np.round(np.linspace(0, n - 1, count)).astype(int)]


def _fit(y: Floats, x: Floats, units: Floats) -> tuple[float, float, float, Floats]:
    """Slope, half of its 95 % interval (sandwich by unit), explained share, residuals."""
    square = float(x @ x)
    slope = float(x @ y) / square if square else 0.0
    left = y - slope * x
    spread = np.sqrt((np.bincount(units, x * left) ** 2).sum())
    return (
        slope,
        float(norm.ppf(0.975) * spread / square) if square else 0.0,
        1 - float(left @ left) / float(y @ y),
        left,
    )


def _gain(one: Floats, other: Floats) -> Floats:
    """Gaussian log-likelihood of the first residuals less that of the second, parameter by parameter."""
    a, b = (max(float((e**2).mean()), np.finfo(float).tiny) for e in (one, other))
    gain: Floats = norm.logpdf(one, scale=np.sqrt(a)) - norm.logpdf(other, scale=np.sqrt(b))
    return gain


def _units(shapes: list[tuple[int, ...]]) -> Floats:
    """Rows of a matrix or its columns, whichever are more; entries of a vector."""
    parts, start = [], 0
    for shape in shapes:
        rows, columns = shape[0], int(np.prod(shape[1:]))
        place = np.indices((rows, columns))[0 if rows >= columns else 1].ravel()
        parts.append(start + place)
        start += max(rows, columns)
    return np.concatenate(parts)
