"""Quantile regression: is the record's margin high among non-members of the same features and label?"""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.special import digamma
from sklearn.ensemble import HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits

from auditkit.bank.margins import margins
from auditkit.errors import DataError
from auditkit.privacy.membership import Described, Evidence, Scores
from auditkit.subject.types import Floats, Ints, Mask

TREES: Final = 40
LEAVES: Final = 8
RATE: Final = 0.15
FEWEST: Final = 100
"""Non-members that may be fitted on; below it a law given the features cannot be told from chance."""
LEAST_SHARE: Final = 1e-3
"""Of the mean squared residual: what a record's squared residual counts at least, so that its logarithm is bounded."""
LOG_OF_SQUARE: Final = float(-digamma(0.5) - np.log(2.0))
"""Minus the mean of the logarithm of a squared standard normal."""


def score(evidence: Evidence) -> Scores:
    """Score each record by where its margin lies in the law of non-members with its features and label.

    s_i = (phi_i - mu(x_i, y_i)) / sigma(x_i, y_i), phi the margin logit. mu and log sigma² are gradient-boosted trees
    (of phi; of log squared residuals, plus LOG_OF_SQUARE). A threshold on s is then, at every false-positive rate at
    once, the quantile of that normal law given the features. Of one half of the non-members every other person is
    fitted on, and measures nothing; neither members nor the other non-members are fitted on. So members and the
    non-members that measure are judged by a law that none of them shaped. Residuals are those of the fit, hence sigma a
    little too small where the trees follow the noise; all are judged by it alike.

    Source: Bertran, Tang, Kearns, Morgenstern, Roth & Wu, Scalable Membership Inference Attacks via Quantile
    Regression, NeurIPS 2023, section 3 (their Gaussian form). It needs no retrained models. Wrong where the margin
    given the features is far from normal: the ranking then mixes records of different laws, while the rates stay
    right, as they are measured elsewhere. Blind where the model's answer is a plain function of the features, which the
    regression finds as well.

    Raises:
        DataError: the evidence tells no features, or of fewer than FEWEST non-members that may be fitted on.
    """
    known = evidence.described
    if known is None:
        raise DataError("the quantile attack needs the records' features")
    if int(known.setting.sum()) < FEWEST:
        raise DataError(f"the quantile attack needs {FEWEST} non-members to fit on")
    target, fitted = margins(evidence.losses), _fitted(known)
    at = len(evidence.loss_members) + np.flatnonzero(fitted)
    told = [c for c in range(known.columns.shape[1]) if len(np.unique(_present(known.columns[at, c]))) > 1]
    x, levels = known.columns[:, told], known.levels[told]
    # Small fits: threads would wait for each other far longer than they work.
    with threadpool_limits(limits=1, user_api="openmp"):
        away = target - _predicted(x, target, at, levels)
        square = np.square(away)
        least = LEAST_SHARE * float(square[at].mean())
        if least == 0:
            return evidence.split(away, fitted=fitted)
        spread = _predicted(x, np.log(np.maximum(square, least)), at, levels) + LOG_OF_SQUARE
    return evidence.split(away * np.exp(-spread / 2), fitted=fitted)


def _fitted(known: Described) -> Mask:
    """Non-members [K] that are fitted on: every other person of those that may be."""
    whose = np.arange(len(known.setting)) if known.persons is None else known.persons
    places = np.unique(whose[known.setting], return_inverse=True)[1]
    found = known.setting.copy()
    found[known.setting] = places % 2 == 0
    return found


def _present(values: Floats) -> Floats:
    return values[~np.isnan(values)]


def _predicted(x: Floats, target: Floats, at: Ints, levels: Mask) -> Floats:
    """Predictions [P] of a model fitted on the rows `at`."""
    if not x.shape[1]:
        return np.full(len(target), float(target[at].mean()))
    model = HistGradientBoostingRegressor(
        max_iter=TREES, max_leaf_nodes=LEAVES, learning_rate=RATE, early_stopping=False, random_state=0,
        categorical_features=levels,
    )  # fmt: skip
    found: Floats = model.fit(x[at], target[at]).predict(x)
    return found
