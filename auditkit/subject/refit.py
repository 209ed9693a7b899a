"""Fitting an estimator: its chance drawn from a generator, sample weights by the name that its `fit` has for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

from auditkit.errors import Complaint, ModelError
from auditkit.subject.importing import WHERE, said
from auditkit.subject.types import Floats
from auditkit.subject.values import text_of


def seeded(estimator: Any, generator: torch.Generator, *, only_unset: bool) -> Any:
    """The estimator with every `random_state` drawn from the generator, or only those that would be left to chance."""
    if not hasattr(estimator, "get_params"):
        return estimator
    for name, value in sorted(estimator.get_params(deep=True).items()):
        if name.rsplit("__", 1)[-1] == "random_state" and (value is None or not only_unset):
            seed = int(torch.randint(2**31 - 1, (1,), generator=generator))
            estimator.set_params(**{name: seed})
    return estimator


def fit(estimator: Any, features: Any, label: Floats, weights: Floats | None) -> None:
    """Fit in place.

    Args:
        estimator: what is fitted. features: a frame, or an array for one that takes arrays. label: [N] 1.0 or 0.0.
        weights: [N] sample weights, or None.

    Raises:
        ModelError: fitting fails, or the classes afterwards are not 0 and 1.
    """
    arguments: dict[str, Any] = {} if weights is None else {_weight_argument(estimator): weights}
    fit: Callable[..., object] = estimator.fit
    try:
        fit(features, label.astype(np.int64), **arguments)
    except (Exception, SystemExit) as error:
        raise ModelError(Complaint(f"fit failed: {said(error)}", WHERE)) from error
    if sorted(text_of(value) for value in getattr(estimator, "classes_", ())) != ["0", "1"]:
        raise ModelError(Complaint("after fit, classes_ are not 0 and 1", WHERE, "both labels must occur"))


def _weight_argument(estimator: Any) -> str:
    """The name by which `fit` takes sample weights, in a pipeline that of its last step."""
    if isinstance(estimator, Pipeline):
        name, last = estimator.steps[-1]
        if has_fit_parameter(last, "sample_weight"):
            return f"{name}__sample_weight"
    elif has_fit_parameter(estimator, "sample_weight"):
        return "sample_weight"
    message = f"{kind_of(estimator)} takes no sample weights, and the policy states data.weight"
    raise ModelError(Complaint(message, WHERE))


def kind_of(estimator: Any) -> str:
    """`Pipeline ending in LogisticRegression (sklearn)`: what it is and where from."""
    last = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else None
    ending = f" ending in {type(last).__name__}" if last is not None else ""
    return f"{type(estimator).__name__}{ending} ({type(estimator).__module__.split('.')[0]})"
