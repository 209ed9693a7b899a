"""`adapter: estimator`: any object with `predict_proba`, given by the user's `module:function`.

An object that is already fitted is taken as it is. One that is not fitted but has `fit` is fitted on the training rows
(features and 1/0 labels), and the report says so. Without gradients there is no influence; fairness and loss-based
privacy run. A refit clones the object (scikit-learn's `clone`) and draws its `random_state`s from the given generator.

Which class is the favourable one: the classes must be the label's values, or the object says it itself in
`favourable_class`. Anything else is refused, because a guess would turn every verdict round.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from auditkit.errors import Complaint, ModelError
from auditkit.policy.schema import Policy
from auditkit.subject.effort import operations
from auditkit.subject.importing import WHERE, import_object, said
from auditkit.subject.refit import fit, kind_of, seeded
from auditkit.subject.types import Floats, Subject, Table
from auditkit.subject.values import levels, listing, means, text_of

REASON = "an estimator gives probabilities but no gradients"


@dataclass(frozen=True)
class Bound:
    """A fitted estimator with what is needed to ask it and to fit it again."""

    estimator: Any
    columns: tuple[str, ...]
    named: bool
    """Whether it takes a frame; one that was fitted on plain arrays takes an array."""
    favourable: int
    """Column of `predict_proba` that is the favourable outcome."""
    threshold: float
    weight: str | None
    fitted_here: bool
    said_class: str

    def probabilities(self, frame: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.floating[Any]]]:
        """`predict_proba` [B, 2] in its own precision, or a ModelError that says what came instead."""
        rows = frame[list(self.columns)]
        try:
            found = np.asarray(self.estimator.predict_proba(rows if self.named else rows.to_numpy()))
        except (Exception, SystemExit) as error:
            raise ModelError(Complaint(f"predict_proba failed: {said(error)}", WHERE)) from error
        if found.shape != (len(frame), 2) or not np.issubdtype(found.dtype, np.floating):
            message = f"predict_proba gave {found.dtype} of shape {found.shape} for {len(frame)} records"
            raise ModelError(Complaint(message, WHERE, "one row per record and one column per class are needed"))
        return found

    def score(self, frame: pd.DataFrame) -> Floats:
        """Probability of the favourable class [B]."""
        return self.probabilities(frame)[:, self.favourable].astype(np.float64)

    def loss(self, frame: pd.DataFrame, label: Floats) -> Floats:
        """-log of the probability of the label's class [B]; kept from infinity by the probabilities' own precision."""
        found = self.probabilities(frame)
        right = np.where(label == 1.0, found[:, self.favourable], found[:, 1 - self.favourable])
        losses: Floats = -np.log(np.clip(right.astype(np.float64), np.finfo(found.dtype).eps, 1.0))
        return losses


def open_subject(policy: Policy, table: Table, base: Path) -> Subject:
    """Call the user's function and bind what it returns to the data.

    Raises:
        ModelError: no such function, it fails, or what it returns has no usable `predict_proba`, unknown classes, other
            features, or cannot be fitted.
    """
    return bind(_obtain(policy, policy.model.path or base), policy, table)


def bind(estimator: Any, policy: Policy, table: Table) -> Subject:
    """Bind an object with `predict_proba` to the data, fitting it on the training rows where it is not fitted.

    Raises:
        ModelError: see `open_subject`.
    """
    columns = _columns(estimator, policy, table)
    unfitted = _unfitted(estimator)
    if unfitted:
        rows = table.rows("train")
        if not len(rows):
            message = "the estimator is not fitted and the policy names no training data (data.train)"
            raise ModelError(Complaint(message, WHERE))
        estimator = seeded(estimator, torch.Generator().manual_seed(policy.seed), only_unset=True)
        fit(estimator, table.frame.iloc[rows], table.label[rows], columns, policy.data.weight)
    favourable, said_class = _favourable(estimator, policy, table, fitted_here=unfitted)
    named = hasattr(estimator, "feature_names_in_") or not hasattr(estimator, "n_features_in_")
    weight, threshold = policy.data.weight, policy.model.threshold
    bound = Bound(estimator, columns, named, favourable, threshold, weight, unfitted, said_class)
    return _subject(bound, table.frame.iloc[table.rows("evaluation")])


def _subject(bound: Bound, frame: pd.DataFrame) -> Subject:
    """The subject; its digest is that of its answers on `frame`, for estimators have no common form of weights."""
    score = bound.score(frame)
    trainable = callable(getattr(bound.estimator, "fit", None)) and hasattr(bound.estimator, "get_params")
    return Subject(
        adapter="estimator",
        kind=kind_of(bound.estimator),
        digest=sha256(score.tobytes()).hexdigest(),
        threshold=bound.threshold,
        score=bound.score,
        decide=lambda rows: (bound.score(rows) >= bound.threshold).astype(np.float64),
        loss=bound.loss,
        features=bound.columns,
        no_gradient_reason=REASON,
        train=partial(_retrain, bound) if trainable else None,
        work=partial(operations, bound.estimator, len(bound.columns)) if trainable else None,
        recipe=(
            ("Fitted", "by auditkit on the training records" if bound.fitted_here else "before the audit"),
            ("Favourable class", bound.said_class),
            ("Digest", "of the scores of the evaluation records"),
        ),
    )


def _retrain(bound: Bound, frame: pd.DataFrame, label: Floats, generator: torch.Generator) -> Subject:
    """A clone fitted on other rows, its labels 1 favourable and 0 not."""
    try:
        fresh = clone(bound.estimator)
    except (Exception, SystemExit) as error:
        raise ModelError(Complaint(f"the estimator cannot be cloned: {said(error)}", WHERE)) from error
    fresh = seeded(fresh, generator, only_unset=False)
    fit(fresh, frame, label, bound.columns, bound.weight)
    favourable = [float(value) for value in fresh.classes_].index(1.0)
    rebound = replace(bound, estimator=fresh, named=True, favourable=favourable, fitted_here=True)
    return _subject(rebound, frame)


def _obtain(policy: Policy, base: Path) -> Any:
    """What the user's function returns; an object that can already be asked is taken as it is."""
    spec = policy.model.subject
    found: Any = import_object(spec, base)
    if callable(found) and (isinstance(found, type) or not hasattr(found, "predict_proba")):
        try:
            found = found()
        except (Exception, SystemExit) as error:
            raise ModelError(Complaint(f"calling {spec} failed: {said(error)}", WHERE)) from error
    if not callable(getattr(found, "predict_proba", None)):
        hint = "return a classifier that gives probabilities"
        raise ModelError(Complaint(f"{spec} gave {type(found).__name__}, without predict_proba", WHERE, hint))
    return found


def _unfitted(estimator: Any) -> bool:
    """Whether it still has to be fitted; what has no `fit` is taken as fitted."""
    if not callable(getattr(estimator, "fit", None)):
        return False
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        return True
    except TypeError:
        return not hasattr(estimator, "classes_")
    return False


def _columns(estimator: Any, policy: Policy, table: Table) -> tuple[str, ...]:
    """The features: those the estimator names, else those of the policy, else every column but keys, label, weight."""
    data = policy.data
    names = getattr(estimator, "feature_names_in_", None)
    if names is not None:
        lacking = [str(name) for name in names if name not in table.frame.columns]
        if lacking:
            message = f"the estimator reads columns that the data do not have: {listing(lacking)}"
            raise ModelError(Complaint(message, WHERE))
        return tuple(str(name) for name in names)
    keys = {data.id, data.person, data.label.column, data.weight}
    columns = (*data.numeric, *data.categorical) or tuple(c for c in table.frame.columns if c not in keys)
    expected = getattr(estimator, "n_features_in_", len(columns))
    if expected != len(columns):
        message = f"the estimator was fitted on {expected} features, the data give {len(columns)}"
        hint = "list them in its order under data.numeric and data.categorical"
        raise ModelError(Complaint(message, WHERE, hint))
    return columns


def _favourable(estimator: Any, policy: Policy, table: Table, *, fitted_here: bool) -> tuple[int, str]:
    """Column of the favourable class in `predict_proba`, and the class in words."""
    classes = [text_of(value) for value in getattr(estimator, "classes_", ())]
    if fitted_here:
        return classes.index("1"), f"1 (the label {policy.data.label.favourable})"
    stated = getattr(estimator, "favourable_class", None)
    wanted = policy.data.label.favourable if stated is None else stated
    matching = [place for place, text in enumerate(classes) if means(text, wanted)]
    values = levels(table.frame[policy.data.label.column])[1]
    alike = len(classes) == 2 and all(any(_same(text, value) for text in classes) for value in values)
    if len(classes) == 2 and len(matching) == 1 and (alike or stated is not None):
        return matching[0], classes[matching[0]]
    message = f"its classes are {listing(classes) or 'not stated'}, the label's values are {listing(values)}"
    hint = "fit it on the label as the file has it, or set `favourable_class` on the object"
    raise ModelError(Complaint(f"cannot tell which class is favourable: {message}", WHERE, hint))


def _same(text: str, value: str) -> bool:
    """Whether a class is a label value; False and True are also 0 and 1."""
    return means(text, value) or {"true": "1", "false": "0"}.get(text.casefold()) == value
