"""How large effects are: the slope of retrained on predicted changes, and what is said where it is not known.

A model retrained on a share f of the records as a mean over them gives each of these 1/f times its weight and the
others none, so that to first order its measure s lies at

    actual_ks = a_s + b_s · predicted_ks,       predicted_ks = 1/f · Σ_{n left out} effect_ns

with b_s = 1 where effects have the size of the changes. b_s is the slope by least squares over the models, its interval
the jackknife's with t quantiles.

A half is a larger change than one record, and what it changes is less than the sum of what its records change each. So
the slope of halves is no factor for single effects: these are told as predicted, with the slope beside them. Measured
on 200 records, slope of retraining on first-order effects, for single removals and for halves:

    model (outputs)                 ekfac: single, halves   whole curvature: single, halves
    linear (2), linear (4)          1.10, 0.99; 0.92, 0.96  1.04, 0.96; 1.10, 1.22
    networks 6-8-2, 6-6-5-2         0.76, 0.53; 1.07, 0.54  1.13, 0.97; 1.36, 1.18
    networks 6-8-3, 6-6-1           0.72, 0.39; 0.97, 0.86  1.58, 0.82; 1.25, 1.12

Wrong when: single effects are read as times the slope; chance of training adds to the interval and not to the slope.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from auditkit.result import Estimate, Quality
from auditkit.subject.types import Floats

SIZE = "slope of retrained on predicted changes over retrained models; jackknife over models"
WITHOUT = (
    "Order, not size: effects rank the records, and no retrained model says how large they are. Those of estimators "
    "that treat layers one by one were up to twice as large as those of the whole curvature on small networks."
)
NAME, BY_MEMBERS = "size of effects", "size of effects by the members"


def slopes(predicted: Floats, actual: Floats) -> Floats:
    """[S] slopes of the columns of actual [K, S] on those of predicted [K, S]; NaN where these are constant."""
    change, answer = (values - values.mean(0) for values in (predicted, actual))
    squares = (change**2).sum(0)
    found = np.full(predicted.shape[1], np.nan)
    np.divide((change * answer).sum(0), squares, out=found, where=squares > 0)
    return found


def slope_estimates(predicted: Floats, actual: Floats, *, level: float) -> tuple[Estimate, tuple[Estimate, ...]]:
    """The mean slope over the measures, and each measure's own [S].

    Args:
        predicted: [K, S] changes, up to a constant for each measure. actual: [K, S] measures under the models.
        level: coverage of the intervals.
    """
    n = len(predicted)
    values = slopes(predicted, actual)
    others = np.stack([slopes(np.delete(predicted, k, axis=0), np.delete(actual, k, axis=0)) for k in range(n)])
    known = np.isfinite(values) & np.isfinite(others).all(0)
    none = Estimate(value=None, level=level, n=n, method=SIZE, withheld="the predicted values all tie")
    each = tuple(
        _jackknifed(float(values[s]), others[:, s], level=level) if known[s] else none for s in range(len(values))
    )
    if not known.any():
        return none, each
    return _jackknifed(float(values[known].mean()), others[:, known].mean(1), level=level), each


def order_row() -> Quality:
    """Said where no retrained model was compared with."""
    return Quality(name=NAME, value=None, text=WITHOUT)


def size_row(size: Estimate, *, applied: str, name: str = NAME) -> Quality:
    """The slope with its interval; or that there is none. `applied` says where effects are told times it."""
    if size.value is None or size.low is None or size.high is None:
        return Quality(name=name, value=None, text=f"{WITHOUT} No slope is known: {size.withheld}.")
    text = (
        f"Slope of retrained on predicted changes over n = {size.n} models, mean over the measures; "
        f"{100 * size.level:g} % interval {size.low:.3f} to {size.high:.3f} (jackknife over models). At 1 effects "
        f"have the size of such changes; what a single record changes may be more. {applied}"
    )
    reaches = size.low <= 0
    if reaches:
        text += " The interval reaches 0: order, not size."
    return Quality(name=name, value=size.value, text=text, warns=reaches)


def _jackknifed(value: float, left_out: Floats, *, level: float) -> Estimate:
    n = len(left_out)
    error = float(np.sqrt((n - 1) / n * ((left_out - left_out.mean()) ** 2).sum()))
    width = float(stats.t.ppf(0.5 + level / 2, n - 1)) * error
    return Estimate(value=value, low=value - width, high=value + width, level=level, n=n, method=SIZE)
