from __future__ import annotations

import numpy as np
from scipy.special import logit

from auditkit.bank.margins import margins


def test_a_margin_is_the_logit_of_the_probability_of_the_true_label() -> None:
    p = np.linspace(0.001, 0.999, 500)
    np.testing.assert_allclose(margins(-np.log(p)), logit(p), rtol=1e-10, atol=1e-12)


def test_extreme_losses_stay_finite_and_in_order() -> None:
    loss = np.array([[0.0, 1e-300, 1e-12], [1.0, 700.0, 5000.0]])
    found = margins(loss)
    assert found.shape == loss.shape and np.isfinite(found).all()
    assert found[1, 2] == -5000.0
    assert (np.diff(found.ravel()[1:]) < 0).all() and 34 < found[0, 0] < 35
