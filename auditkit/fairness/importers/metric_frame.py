"""From a fairlearn MetricFrame to a measurement with intervals: the same values, and what they do not say."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from fairlearn.metrics import MetricFrame
from numpy.typing import ArrayLike

from auditkit.errors import DataError
from auditkit.fairness.measuring import measure
from auditkit.fairness.metrics import METRICS, MISSING, rate_counts
from auditkit.fairness.references import Reference
from auditkit.policy.bins import group_label
from auditkit.policy.schema import FairnessSettings
from auditkit.result import FairnessPart
from auditkit.subject.labels import group_texts
from auditkit.subject.types import Floats

KNOWN: Final[Mapping[str, str]] = {
    "selection_rate": "selection_rate",
    "mean_prediction": "selection_rate",
    "true_positive_rate": "tpr",
    "recall_score": "tpr",
    "false_positive_rate": "fpr",
    "false_negative_rate": "fnr",
    "true_negative_rate": "tnr",
    "precision_score": "ppv",
    "accuracy_score": "accuracy",
}
"""Name of a function of fairlearn or scikit-learn -> metric."""
TOLERANCE: Final = 1e-9


@dataclass(frozen=True)
class FromMetricFrame:
    """The measurement, where to find each of the frame's columns in it, and what is told beside."""

    part: FairnessPart
    measures: Mapping[str, str]
    """Column of the frame -> `fairness.<metric>`."""
    on: str
    """The attribute, or the intersection of all features, that stands for the frame's index."""
    told: tuple[str, ...]


def from_metric_frame(
    frame: MetricFrame,
    *,
    metrics: Callable[..., float] | Mapping[str, Callable[..., float]],
    y_true: ArrayLike,
    y_pred: ArrayLike,
    sensitive_features: Any,
    control_features: Any = None,
    sample_weight: ArrayLike | None = None,
    persons: ArrayLike | None = None,
    reference: Mapping[str, str] | Reference = "largest",
    settings: FairnessSettings | None = None,
    minimum_cell: int = 10,
    seed: int = 0,
) -> FromMetricFrame:
    """Measure again what a MetricFrame shows, with intervals, tests and disclosure control.

    A MetricFrame keeps neither its data nor its functions, so they are passed again; every value of the frame is held
    against them. Control features become attributes, crossed with the sensitive ones.

    Args:
        frame: made from the same arguments. metrics: as it was given; functions without a counterpart are told.
        y_true, y_pred: [M] 1 favourable, 0 not. sensitive_features, control_features: as fairlearn takes them.
        sample_weight: [M] where the frame's metrics had weights. persons, reference, settings, minimum_cell, seed: as
            for `measure`.

    Raises:
        DataError: a value of the frame is not that of these data, or as `measure`.
    """
    names = [str(name) for name in (*(frame.control_levels or ()), *frame.sensitive_levels)]
    features = _features(control_features, sensitive_features, names)
    truth, decision = (np.asarray(values, dtype=np.float64).ravel() for values in (y_true, y_pred))
    weight = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64).ravel()
    if not len(truth) == len(decision) == len(features):
        raise DataError(f"{len(truth):,} labels, {len(decision):,} decisions and {len(features):,} features differ")
    columns, told = _columns(metrics)
    found = frame.by_group if isinstance(frame.by_group, pd.DataFrame) else frame.by_group.to_frame(next(iter(columns)))
    for column, metric in columns.items():
        told += _held(found[column], metric, _Data(truth, decision, weight, features))
    part = measure(
        truth, decision, groups=features, persons=persons, weights=weight, reference=reference, settings=settings,
        intersections=[names] if len(names) > 1 else [], minimum_cell=minimum_cell, seed=seed,
    )  # fmt: skip
    on = part.attributes[-1]
    return FromMetricFrame(part, {column: f"fairness.{metric}" for column, metric in columns.items()}, on, tuple(told))


@dataclass(frozen=True)
class _Data:
    truth: Floats
    decision: Floats
    weight: Floats | None
    features: pd.DataFrame


def _columns(metrics: Callable[..., float] | Mapping[str, Callable[..., float]]) -> tuple[dict[str, str], list[str]]:
    """Column of the frame -> metric, and what has no counterpart."""
    stated = dict(metrics) if isinstance(metrics, Mapping) else {"value": metrics}
    found, told = {}, []
    for column, function in stated.items():
        name = str(getattr(function, "__name__", ""))
        if name in KNOWN:
            found[column] = KNOWN[name]
        elif name == "count":
            told.append(f"{column}: sizes of groups stand in `part.groups`")
        else:
            told.append(f"{column}: {name or 'this function'} has no counterpart here and was not measured")
    if not found:
        raise DataError(f"none of the metrics has a counterpart; there are {', '.join(KNOWN)}")
    return found, told


def _features(control: Any, sensitive: Any, names: list[str]) -> pd.DataFrame:
    """[M] labels of every feature as text, in the order of the frame's index."""
    parts = [_as_frame(given) for given in (control, sensitive) if given is not None]
    joined = pd.concat([part.reset_index(drop=True) for part in parts], axis=1)
    if len(joined.columns) != len(names):
        raise DataError(f"the frame has the features {', '.join(names)}, and {len(joined.columns)} are given")
    return pd.DataFrame({name: group_texts(joined.iloc[:, at], name) for at, name in enumerate(names)}, dtype=object)


def _as_frame(given: Any) -> pd.DataFrame:
    if isinstance(given, pd.DataFrame):
        return given
    if isinstance(given, pd.Series):
        return given.to_frame()
    return pd.DataFrame(given if isinstance(given, Mapping) else np.asarray(given, dtype=object))


def _held(column: pd.Series[Any], metric: str, data: _Data) -> Iterator[str]:
    """Hold one column of the frame against the data, and tell of values that stand for nothing.

    Raises:
        DataError: a value differs.
    """
    keys = data.features.apply(tuple, axis=1)
    own = METRICS[metric]
    places: list[Any] = column.index.tolist()
    for index, value in zip(places, column.tolist(), strict=True):
        label = tuple(group_label(part) for part in (index if isinstance(index, tuple) else (index,)))
        rows = (keys == label).to_numpy()
        where = " · ".join(label)
        if not rows.any() or pd.isna(value):
            yield f"{column.name}: {where} has no records; fairlearn shows no value, and it counts as no evidence"
            continue
        truth, decision = data.truth[rows], data.decision[rows]
        weighted = {} if data.weight is None else {"sample_weight": data.weight[rows]}
        expected = float(own.function(truth, decision, **weighted))
        if abs(expected - float(value)) > TOLERANCE:
            shown = f"{float(value):.6g} in the frame and {expected:.6g} by the data"
            raise DataError(f"{column.name} of {where} is {shown}; pass what the frame was made from")
        cells = np.bincount((truth * 2 + decision).astype(np.int64), minlength=2 * (MISSING + 1))
        if not rate_counts(own, cells[None, :])[1][0]:
            shown = f"fairlearn shows {float(value):g}; not estimable here"
            yield f"{column.name}: {where} has no {own.trials_are}; {shown}"
