"""What a fitted estimator itself records of the columns it was fitted on: the levels of those that it takes as levels.

scikit-learn's encoders keep them in `categories_`, LightGBM in `pandas_categorical`, XGBoost with its booster. A column
whose levels are texts was text to the owner, whatever pandas makes of the file. Wrong when: an encoder that stands
behind a transformer of the owner's own saw something else than the column; such encoders are not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline

Levels: TypeAlias = Mapping[str, tuple[Any, ...]]
"""Column -> the levels that the model knows."""
INNER = ("estimator_", "best_estimator_")


def recorded_levels(estimator: Any) -> Levels:
    """The levels of every column that the estimator, or an encoder at its entrance, records.

    Args:
        estimator: fitted on a frame whose columns have names; of one fitted on arrays nothing is known.
    """
    found: dict[str, tuple[Any, ...]] = {}
    for column, levels in _walk(estimator, _names(estimator)):
        found.setdefault(column, levels)
    return found


def category_levels(estimator: Any) -> Levels:
    """The columns that an XGBoost or LightGBM model was given as pandas categories, with the categories."""
    names = _names(estimator)
    try:
        if hasattr(estimator, "get_booster"):
            booster = estimator.get_booster()
            if "c" not in (booster.feature_types or ()):
                return {}
            stored = booster.get_categories(export_to_arrow=True).to_arrow()
            return {name: tuple(values.to_pylist()) for name, values in stored if values is not None}
        if hasattr(estimator, "booster_"):
            columns = estimator.booster_.params.get("categorical_column") or ()
            known = estimator.booster_.pandas_categorical or ()
            return {names[at]: tuple(values) for at, values in zip(columns, known, strict=True) if at < len(names)}
    except Exception:
        # Another version of the library keeps them elsewhere: then nothing is known.
        return {}
    return {}


def is_text(levels: Sequence[Any]) -> bool:
    """Whether every known level is a text."""
    known = [level for level in levels if not pd.isna(level)]
    return bool(known) and all(isinstance(level, str) for level in known)


def _names(estimator: Any) -> tuple[str, ...]:
    names = getattr(estimator, "feature_names_in_", None)
    return () if names is None else tuple(str(name) for name in names)


def _walk(part: Any, names: Sequence[str]) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """(column, levels) of an estimator that is given these columns, in this order."""
    if not names:
        return
    categories = getattr(part, "categories_", None)
    if isinstance(categories, list) and len(categories) == len(names):
        yield from ((name, tuple(np.asarray(own).tolist())) for name, own in zip(names, categories, strict=True))
    yield from category_levels(part).items()
    for inner, columns in _inner(part, names):
        yield from _walk(inner, columns)


def _inner(part: Any, names: Sequence[str]) -> Iterator[tuple[Any, Sequence[str]]]:
    """The estimators inside that are given the columns as they are, and which of them."""
    if isinstance(part, Pipeline):
        for _, step in part.steps:
            yield step, names
            # Behind a step that may change the values, what is recorded is not of the column.
            if not (step in ("passthrough", None) or (isinstance(step, SimpleImputer) and not step.add_indicator)):
                return
    elif isinstance(part, ColumnTransformer):
        yield from ((step, _chosen(columns, names)) for _, step, columns in getattr(part, "transformers_", ()))
    elif isinstance(part, FeatureUnion):
        yield from ((step, names) for _, step in part.transformer_list)
    elif type(part).__name__.startswith(("Voting", "Stacking")):
        yield from ((one, names) for one in getattr(part, "estimators_", ()))
    yield from ((getattr(part, attribute), names) for attribute in INNER if hasattr(part, attribute))
    yield from ((getattr(one, "estimator", None), names) for one in getattr(part, "calibrated_classifiers_", ()))


def _chosen(columns: Any, names: Sequence[str]) -> Sequence[str]:
    """The names that a column transformer's selection means."""
    if isinstance(columns, str):
        return (columns,)
    if isinstance(columns, slice):
        return names[columns] if all(isinstance(edge, int | None) for edge in (columns.start, columns.stop)) else ()
    chosen = [] if callable(columns) else list(columns)
    if len(chosen) == len(names) and all(isinstance(one, bool | np.bool_) for one in chosen):
        return [name for name, taken in zip(names, chosen, strict=True) if taken]
    return [one if isinstance(one, str) else names[one] for one in chosen]
