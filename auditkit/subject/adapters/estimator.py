"""`adapter: estimator`: any object with `predict_proba`, given by the user's `module:function`.

An object that is already fitted is taken as it is. One that is not fitted but has `fit` is fitted on the training rows
(features and 1/0 labels), and the report says so. Without gradients there is no influence; fairness and loss-based
privacy run. A refit clones the object (scikit-learn's `clone`) and draws its `random_state`s from the given generator.

What it is given is what its owner's own code would have passed (`views`): a user's frame untouched, a file as pandas
reads it; the columns that it names, in its order; an array where it was fitted on arrays. At the door its decisions are
held against its plain `predict` on the untouched rows (`echo`).

Its own `predict` decides, whatever threshold is inside it. Where the policy states a threshold, that decides, and the
report says how many evaluation decisions `predict` makes otherwise. Without `predict`, a score of 0.5 decides.

Which class is the favourable one: the classes must be the label's values, or the object says it itself in
`favourable_class`. Anything else is refused, because a guess would turn every verdict round.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from auditkit.errors import Complaint, ModelError
from auditkit.policy.schema import Policy
from auditkit.subject.decisions import DEFAULT_THRESHOLD, decisions_at
from auditkit.subject.echo import echo_decisions
from auditkit.subject.effort import operations
from auditkit.subject.importing import WHERE, import_object, said
from auditkit.subject.inputs import Answers, Views, view_of
from auditkit.subject.recorded import Levels, category_levels, recorded_levels
from auditkit.subject.refit import fit, kind_of, seeded
from auditkit.subject.types import Check, Floats, Ints, Subject, Table
from auditkit.subject.values import levels, listing, means, text_of
from auditkit.subject.views import Reading, ambiguity, choose_way, owner_views, readings, sample, statements_of

REASON: Final = "an estimator gives probabilities but no gradients"


@dataclass(frozen=True)
class Bound:
    """A fitted estimator with what is needed to ask it and to fit it again."""

    estimator: Any
    columns: tuple[str, ...]
    """Those that it reads, by their names in the data, in its own order."""
    named: bool
    """Whether it takes a frame; one that was fitted on plain arrays takes an array."""
    classes: tuple[str, ...]
    """Its classes as texts, in the order of `predict_proba`."""
    favourable: int
    """The favourable one of them."""
    threshold: float | None
    """The policy's; None lets `predict` decide."""
    weight: str | None
    fitted_here: bool
    categories: tuple[tuple[str, pd.CategoricalDtype], ...] = ()
    """Columns that it was fitted on as pandas categories, for files, which hold none."""

    def features(self, frame: pd.DataFrame) -> Any:
        """What is passed to it: the frame's columns in its order, or their array."""
        names = {str(name): name for name in frame.columns}
        rows = frame[[names[column] for column in self.columns]]
        for column, dtype in self.categories:
            if not isinstance(rows[names[column]].dtype, pd.CategoricalDtype):
                rows = rows.assign(**{column: rows[names[column]].astype(dtype)})
        return rows if self.named else rows.to_numpy()

    def probabilities(self, frame: pd.DataFrame) -> NDArray[np.floating[Any]]:
        """`predict_proba` [B, 2] in its own precision, or a ModelError that says what came instead."""
        try:
            found = np.asarray(self.estimator.predict_proba(self.features(frame)))
        except (Exception, SystemExit) as error:
            raise ModelError(Complaint(f"predict_proba failed: {said(error)}", WHERE)) from error
        if found.shape != (len(frame), 2) or not np.issubdtype(found.dtype, np.floating):
            message = f"predict_proba gave {found.dtype} of shape {found.shape} for {len(frame)} records"
            raise ModelError(Complaint(message, WHERE, "one row per record and one column per class are needed"))
        return found

    def score(self, frame: pd.DataFrame) -> NDArray[np.floating[Any]]:
        """Probability of the favourable class [B], in its own precision."""
        return self.probabilities(frame)[:, self.favourable]

    def loss(self, frame: pd.DataFrame, label: Floats) -> Floats:
        """-log of the probability of the label's class [B]; kept from infinity by the probabilities' own precision."""
        found = self.probabilities(frame)
        right = np.where(label == 1.0, found[:, self.favourable], found[:, 1 - self.favourable])
        losses: Floats = -np.log(np.clip(right.astype(np.float64), np.finfo(found.dtype).eps, 1.0))
        return losses

    @property
    def predicts(self) -> bool:
        """Whether it decides by itself."""
        return callable(getattr(self.estimator, "predict", None))

    def predict(self, features: Any) -> Floats:
        """Its own decisions [B] on what it takes, 1.0 favourable.

        Raises:
            ModelError: `predict` fails, or gives anything but one of its classes a record.
        """
        try:
            found = np.asarray(self.estimator.predict(features))
        except (Exception, SystemExit) as error:
            raise ModelError(Complaint(f"predict failed: {said(error)}", WHERE)) from error
        hint = "state model.threshold, and the probabilities decide"
        if found.size != len(features):
            message = f"predict gave {found.dtype} of shape {found.shape} for {len(features)} records"
            raise ModelError(Complaint(message, WHERE, hint))
        codes, names = levels(pd.Series(found.reshape(-1)))
        places = [next((k for k, own in enumerate(self.classes) if _alike(name, own)), -1) for name in names]
        strange = [name for name, place in zip(names, places, strict=True) if place < 0]
        if strange or (codes < 0).any():
            message = f"predict gave {listing(strange) or 'missing values'}, which are none of its classes"
            raise ModelError(Complaint(f"{message} {listing(self.classes)}", WHERE, hint))
        yes = np.array([place == self.favourable for place in places], dtype=np.float64)
        decision: Floats = yes[codes]
        return decision

    def decide(self, frame: pd.DataFrame) -> Floats:
        """Decisions [B]: by the policy's threshold, else by `predict`, else at a score of 0.5."""
        if self.threshold is None and self.predicts:
            return self.predict(self.features(frame))
        return decisions_at(self.score(frame), DEFAULT_THRESHOLD if self.threshold is None else self.threshold)


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
        ModelError: see `open_subject`; also where it decides otherwise than on its owner's own rows.
    """
    unfitted = _unfitted(estimator)
    recorded = {} if unfitted else recorded_levels(estimator)
    stated = statements_of(policy.data, recorded)
    views = owner_views(table, stated)
    columns = _columns(estimator, policy, table, views)
    weight = policy.data.weight
    if unfitted:
        rows = table.rows("train")
        if not len(rows):
            message = "the estimator is not fitted and the policy names no training data (data.train)"
            raise ModelError(Complaint(message, WHERE))
        estimator = seeded(estimator, torch.Generator().manual_seed(policy.seed), only_unset=True)
        frame = view_of(views, table, rows)
        names = {str(name): name for name in frame.columns}
        features = frame[[names[column] for column in columns]]
        fit(estimator, features, table.label[rows], None if weight is None else table.weights[rows])
    favourable, classes = _favourable(estimator, policy, table, views, fitted_here=unfitted)
    bound = Bound(
        estimator, columns, _takes_frames(estimator), classes, favourable, policy.model.threshold, weight, unfitted,
        _categories(estimator, columns),
    )  # fmt: skip
    bound, reading = _resolve_reading(bound, policy, table, recorded, Reading(stated, views))
    frame = view_of(reading.views, table, table.rows("evaluation"))
    subject = replace(
        _subject(bound, frame, _class_in_words(bound, policy), known=frozenset(map(str, table.frame.columns))),
        views=reading.views,
        checks=(*reading.checks, *_threshold_check(bound, frame)),
    )  # fmt: skip
    echo_decisions(subject, table, reading.stated, bound.decide)
    return subject


def _resolve_reading(
    bound: Bound, policy: Policy, table: Table, recorded: Levels, reading: Reading
) -> tuple[Bound, Reading]:
    """The columns' order and the reading of the files that the model was fitted with, where more than one can be meant.

    Raises:
        ModelError: it answers otherwise in another order or reading, and nothing shows which one is its own.
    """
    if bound.fitted_here or not table.sources:
        return bound, reading
    # What knows no names may take a frame or an array; where both give the same answers, what it says of itself holds.
    forms = [bound.named] if _names_known(bound.estimator) else [bound.named, not bound.named]
    pairs = [
        (replace(bound, columns=order, named=form), one)
        for order in _orders(bound, policy, reading.views)
        for one in readings(table, policy.data, recorded, bound.columns)
        for form in forms
    ]
    ways = [partial(_scores, own, table, one.views) for own, one in pairs]
    found, count = choose_way(table, ways)
    if found is None:
        orders = [listing(order, limit=12) for order in dict.fromkeys(own.columns for own, _ in pairs)]
        said_orders = " or ".join(orders) if len(orders) > 1 else "" if pairs[0][1].types else "as a frame or an array"
        raise ModelError(ambiguity(count, len(sample(table.rows("evaluation"))), pairs[0][1].types, said_orders))
    return pairs[found]


def _scores(bound: Bound, table: Table, views: Views, rows: Ints) -> Answers:
    """Scores [R] of rows of several splits, each split asked about by itself."""
    parts = [rows[table.split[rows] == split] for split in dict.fromkeys(table.split[rows].tolist())]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a frame that has names, for an estimator that knows none
        return np.concatenate([bound.score(view_of(views, table, part)) for part in parts])


def _orders(bound: Bound, policy: Policy, views: Views) -> list[tuple[str, ...]]:
    """The orders that a model which names no columns may have them in: the policy's two lists, and the data's."""
    listed = {*policy.data.numeric, *policy.data.categorical}
    by_data = tuple(str(name) for name in next(iter(views.values())).columns if str(name) in listed)
    two_lists = bool(policy.data.numeric and policy.data.categorical)
    if _names_known(bound.estimator) or not two_lists or len(by_data) != len(bound.columns):
        return [bound.columns]
    return list(dict.fromkeys((bound.columns, by_data)))


def _names_known(estimator: Any) -> bool:
    return getattr(estimator, "feature_names_in_", None) is not None


def _class_in_words(bound: Bound, policy: Policy) -> str:
    if bound.fitted_here:
        return f"1 (the label {policy.data.label.favourable})"
    return bound.classes[bound.favourable]


def _subject(
    bound: Bound, frame: pd.DataFrame, said_class: str, *, known: frozenset[str] | None = None
) -> Subject:
    """The subject; its digest is that of its answers on `frame`, for estimators have no common form of weights.

    `known` are the columns of the table; one that pandas alone has (`Unnamed: 0`) is left out of what is compared.
    """
    score = bound.score(frame).astype(np.float64)
    trainable = callable(getattr(bound.estimator, "fit", None)) and hasattr(bound.estimator, "get_params")
    by_itself = bound.threshold is None and bound.predicts
    decision = (("Decision", "by the model's own predict"),) if by_itself else ()
    return Subject(
        adapter="estimator",
        kind=kind_of(bound.estimator),
        digest=sha256(score.tobytes()).hexdigest(),
        threshold=None if by_itself else DEFAULT_THRESHOLD if bound.threshold is None else bound.threshold,
        score=bound.score,
        decide=bound.decide,
        loss=bound.loss,
        features=bound.columns if known is None else tuple(c for c in bound.columns if c in known),
        no_gradient_reason=REASON,
        train=partial(_retrain, bound, said_class=said_class) if trainable else None,
        work=partial(operations, bound.estimator, len(bound.columns)) if trainable else None,
        recipe=(
            ("Fitted", "by auditkit on the training records" if bound.fitted_here else "before the audit"),
            ("Favourable class", said_class),
            *decision,
            ("Digest", "of the scores of the evaluation records"),
        ),
        whole_split=True,
    )


def _retrain(
    bound: Bound, frame: pd.DataFrame, label: Floats, generator: torch.Generator, *, said_class: str
) -> Subject:
    """A clone fitted on other rows, its labels 1 favourable and 0 not."""
    try:
        fresh = clone(bound.estimator)
    except (Exception, SystemExit) as error:
        raise ModelError(Complaint(f"the estimator cannot be cloned: {said(error)}", WHERE)) from error
    fresh = seeded(fresh, generator, only_unset=False)
    weights = None if bound.weight is None else frame[bound.weight].to_numpy(dtype=np.float64)
    fit(fresh, bound.features(frame), label, weights)
    classes = tuple(text_of(value) for value in fresh.classes_)
    rebound = replace(bound, estimator=fresh, classes=classes, favourable=classes.index("1"), fitted_here=True)
    return _subject(rebound, frame, said_class)


def _threshold_check(bound: Bound, frame: pd.DataFrame) -> tuple[Check, ...]:
    """How many evaluation decisions the stated threshold makes otherwise than the model's own `predict`."""
    if bound.threshold is None or not bound.predicts:
        return ()
    try:
        own = bound.predict(bound.features(frame))
    except ModelError:
        # What gives no classes, or fails, decides nothing that the threshold could contradict.
        return ()
    count = int((own != bound.decide(frame)).sum())
    text = "evaluation records that the model's own predict decides otherwise than the threshold that the policy states"
    return (Check("threshold and predict", count, text),)


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
    except (TypeError, AttributeError):
        # A class of the owner's own, which scikit-learn cannot judge.
        return not hasattr(estimator, "classes_")
    return False


def _takes_frames(estimator: Any) -> bool:
    """Whether it is given a frame: it knows names, or does not say of how many features an array would be."""
    return hasattr(estimator, "feature_names_in_") or not hasattr(estimator, "n_features_in_")


def _categories(estimator: Any, columns: tuple[str, ...]) -> tuple[tuple[str, pd.CategoricalDtype], ...]:
    known = category_levels(estimator)
    by_name = {_without_spaces(column): column for column in columns}
    return tuple(
        (by_name[_without_spaces(name)], pd.CategoricalDtype(list(values)))
        for name, values in known.items() if _without_spaces(name) in by_name
    )  # fmt: skip


def _without_spaces(name: str) -> str:
    """A column's name as LightGBM keeps it, which writes `_` for white space."""
    return re.sub(r"\s", "_", name)


def _columns(estimator: Any, policy: Policy, table: Table, views: Views) -> tuple[str, ...]:
    """The features: those the estimator names, else those of the policy, else every column but keys, label, weight."""
    data = policy.data
    frame = next(iter(views.values())) if views else table.frame
    shared = [str(name) for name in frame.columns]
    names = getattr(estimator, "feature_names_in_", None)
    if names is not None:
        by_name = {_without_spaces(name): name for name in shared} | {name: name for name in shared}
        lacking = [str(name) for name in names if str(name) not in by_name]
        if lacking:
            message = f"the estimator reads columns that the data do not have: {listing(lacking)}"
            raise ModelError(Complaint(message, WHERE))
        return tuple(by_name[str(name)] for name in names)
    keys = {data.id, data.person, data.label.column, data.weight}
    columns = (*data.numeric, *data.categorical) or tuple(c for c in shared if c not in keys)
    expected = getattr(estimator, "n_features_in_", len(columns))
    if expected != len(columns):
        message = f"the estimator was fitted on {expected} features, the data give {len(columns)}"
        hint = "list them in its order under data.numeric and data.categorical"
        raise ModelError(Complaint(message, WHERE, hint))
    return columns


def _favourable(
    estimator: Any, policy: Policy, table: Table, views: Views, *, fitted_here: bool
) -> tuple[int, tuple[str, ...]]:
    """The favourable class's column in `predict_proba`, and the classes as texts."""
    classes = tuple(text_of(value) for value in getattr(estimator, "classes_", ()))
    if fitted_here:
        return classes.index("1"), classes
    stated = getattr(estimator, "favourable_class", None)
    wanted = policy.data.label.favourable if stated is None else stated
    matching = [place for place, text in enumerate(classes) if means(text, wanted)]
    values = levels(table.frame[policy.data.label.column])[1]
    alike = len(classes) == 2 and all(any(_alike(text, value) for text in classes) for value in values)
    if len(classes) == 2 and len(matching) == 1 and (alike or stated is not None):
        return matching[0], classes
    owned = _label_values(policy.data.label.column, table, views)
    matching = [place for place, text in enumerate(classes) if _alike(text, owned.get(1.0))]
    if len(classes) == 2 and len(matching) == 1 and _alike(classes[1 - matching[0]], owned.get(0.0)):
        return matching[0], classes
    message = f"its classes are {listing(classes) or 'not stated'}, the label's values are {listing(values)}"
    hint = "fit it on the label as the file has it, or set `favourable_class` on the object"
    raise ModelError(Complaint(f"cannot tell which class is favourable: {message}", WHERE, hint))


def _label_values(column: str, table: Table, views: Views) -> dict[float, str]:
    """What the owner's frames hold where the label is favourable (1.0) and where it is not, if it is one value each."""
    if not views or not all(column in view.columns for view in views.values()):
        return {}
    known = np.isfinite(table.label)
    found: dict[float, set[str]] = {1.0: set(), 0.0: set()}
    for split, view in views.items():
        rows = table.rows(split)
        for side in found:
            found[side] |= set(levels(view[column].iloc[np.flatnonzero(known[rows] & (table.label[rows] == side))])[1])
    return {side: next(iter(values)) for side, values in found.items() if len(values) == 1}


def _alike(text: str, value: str | None) -> bool:
    """Whether a class is a label value; False and True are also 0 and 1, however they are written."""
    if value is None:
        return False
    words = {"true": "1", "false": "0"}
    return means(text, value) or words.get(text.casefold(), text) == words.get(value.casefold(), value)
