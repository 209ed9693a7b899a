"""The file that Aequitas was given: its attributes, how it bins numbers, and whom its thresholds select."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import pandas as pd

from auditkit.errors import Complaint, DataError, PolicyError
from auditkit.policy.bins import bin_labels, group_label

SCORE: Final = "score"
LABEL: Final = "label_value"
KEYS: Final = frozenset({SCORE, LABEL, "model_id", "as_of_date", "entity_id", "rank_abs", "rank_pct", "id"})
"""Columns that Aequitas takes for no attribute."""
MOST: Final = 30
"""Values of a column of texts; with more it is no attribute."""
QUARTILES: Final = 4


@dataclass(frozen=True)
class Cut:
    """One threshold: its name and whom it selects, as a filter that is true for the favourable decision."""

    name: str
    decision: str


def require_one_model(frame: pd.DataFrame) -> None:
    """One model a file, and the two columns that Aequitas asks for.

    Raises:
        DataError: a column lacks, or the file holds the answers of several models below each other.
    """
    lacking = [column for column in (SCORE, LABEL) if column not in frame.columns]
    if lacking:
        raise DataError(Complaint(f"no column {' and '.join(lacking)} in the data", hint="name Aequitas's input file"))
    models = 1 if "model_id" not in frame.columns else frame["model_id"].nunique()
    if models > 1:
        hint = "write one row a person and one column of scores a model, and name them under compare:"
        raise DataError(Complaint(f"the file holds {models} models below each other (model_id)", hint=hint))


def identity(frame: pd.DataFrame, told: list[str]) -> dict[str, str]:
    """Which column names records, or persons with several records: Aequitas has one key and does not read it."""
    key = next((name for name in ("entity_id", "id") if name in frame.columns), None)
    if key is None:
        return {}
    if frame[key].is_unique and frame[key].notna().all():
        return {"id": key}
    told.append(f"{key}: some stand in several rows, and are taken for persons; Aequitas counts rows")
    return {"person": key}


def cuts(frame: pd.DataFrame, stated: Any, *, favourable: bool, told: list[str]) -> tuple[Cut, ...]:
    """Every threshold of the configuration; without any the score is the decision.

    Raises:
        PolicyError: a kind of threshold or a value that Aequitas does not know. DataError: scores are no numbers, or
            not 0 and 1 where no threshold is stated.
    """
    score = pd.to_numeric(frame[SCORE], errors="coerce")
    if score.isna().any():
        raise DataError(Complaint(f"{int(score.isna().sum()):,} scores are missing or no number", SCORE))
    if not stated:
        if not score.isin((0, 1)).all():
            hint = "add score_thresholds: with rank_abs, rank_pct or score_val"
            raise DataError(Complaint("the scores are not 0 and 1, and no threshold is stated", SCORE, hint))
        return (Cut("score", f"{SCORE} = {1 if favourable else 0}"),)
    if not isinstance(stated, Mapping):
        raise PolicyError(Complaint("score_thresholds is no mapping of kinds to lists", "score_thresholds"))
    found: list[Cut] = []
    for kind, values in stated.items():
        for value in values if isinstance(values, list | tuple) else [values]:
            name, least = _threshold(score, str(kind), value, told)
            sign = ">=" if favourable else "<"
            found.append(Cut(name, f"{SCORE} {sign} {least!r}"))
    if not found:
        raise PolicyError(Complaint("score_thresholds names no threshold", "score_thresholds"))
    if len(found) > 1:
        rest = ", ".join(cut.name for cut in found[1:])
        told.append(
            f"score_thresholds: the first, {found[0].name}, is audited; {rest} stands beside it under compare:"
        )
    return tuple(found)


def _threshold(score: pd.Series[Any], kind: str, value: Any, told: list[str]) -> tuple[str, float]:
    """Name of a threshold and the least score that it selects."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PolicyError(Complaint(f"the threshold {value!r} of {kind} is no number", "score_thresholds"))
    if kind == "score_val":
        return f"score-{value:g}", float(value)
    if kind == "rank_abs":
        name, count = f"top-{value:g}", int(value)
    elif kind == "rank_pct":
        if not 0 < value <= 1:
            hint = f"write {value / 100:g} for {value:g} %: Aequitas 1.0 reads shares"
            raise PolicyError(Complaint(f"the rank_pct {value:g} is no share of 0 to 1", "score_thresholds", hint))
        name, count = f"top-{value * 100:g}-percent", math.ceil(value * len(score) - 1e-9)
    else:
        hint = "known are rank_abs, rank_pct and score_val"
        raise PolicyError(Complaint(f"there is no kind of threshold '{kind}'", "score_thresholds", hint))
    if not 1 <= count <= len(score):
        message = f"{name} selects {count:,} of {len(score):,} records"
        raise PolicyError(Complaint(message, "score_thresholds", "state a number of records that the file has"))
    least = float(np.sort(score.to_numpy(dtype=np.float64))[-count])
    selected = int((score >= least).sum())
    if selected > count:
        told.append(
            f"score_thresholds: {name} is the score {least!r}, which {selected:,} records reach; Aequitas takes the "
            f"first {count:,} of them in an order that ties leave open"
        )
    else:
        told.append(f"score_thresholds: {name} is the score {least!r} on this file")
    return name, least


def attributes(frame: pd.DataFrame, asked: Sequence[str] | None, *, told: list[str]) -> dict[str, dict[str, Any]]:
    """Attribute -> what the policy states of it; `as-aequitas` maps Aequitas's group names to auditkit's.

    Raises:
        DataError: an attribute that is asked for is no column, or none is left.
    """
    lacking = [name for name in asked or () if name not in frame.columns]
    if lacking:
        raise DataError(Complaint(f"no column {', '.join(lacking)} in the data", "attr_cols"))
    if asked is None:
        told.append("attr_cols: none are stated, so that every column but keys, score and label is an attribute")
    found: dict[str, dict[str, Any]] = {}
    for name in asked if asked is not None else [str(c) for c in frame.columns if c not in KEYS]:
        stated = _attribute(frame[name], name, told)
        if stated is not None:
            found[name] = stated
    if not found:
        raise DataError(Complaint("no column is an attribute whose groups can be taken over", "attr_cols"))
    return found


def _attribute(column: pd.Series[Any], name: str, told: list[str]) -> dict[str, Any] | None:
    values = column.dropna().unique().tolist()
    if len(values) < 2:
        told.append(f"{name}: holds one value only; it is no attribute")
        return None
    if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        if len(values) > MOST:
            told.append(f"{name}: {len(values):,} different texts, more than {MOST}; it is not taken over")
            return None
        labels = sorted({group_label(value) for value in values})
        return {"groups": labels, "as-aequitas": {label: label for label in labels}}
    numbers = column.to_numpy(dtype=np.float64)
    known = numbers[np.isfinite(numbers)]
    if len(values) <= QUARTILES:
        told.append(f"{name}: numbers of few values are groups; Aequitas would cut them at their quartiles")
        groups = [int(v) if float(v).is_integer() else float(v) for v in sorted(values)]
        return {"groups": groups, "as-aequitas": {group_label(v): group_label(v) for v in groups}}
    if not (known == np.round(known)).all():
        told.append(
            f"{name}: numbers with fractions, which Aequitas cuts at their quartiles with the upper end included; "
            "it is not taken over, declare it under protected: with bins of your own"
        )
        return None
    return _quartiles(known, name, told)


def _quartiles(
    known: np.ndarray[tuple[int], np.dtype[np.float64]], name: str, told: list[str]
) -> dict[str, Any] | None:
    """Aequitas's four bins (a, b] of whole numbers as [a + 1, b + 1): the same records."""
    edges = np.unique(np.quantile(known, np.linspace(0, 1, QUARTILES + 1)))
    bins = [int(edges[0]), *(math.floor(edge) + 1 for edge in edges[1:])]
    if len(set(bins)) < max(len(bins), 3):
        told.append(f"{name}: its quartiles fall together; it is not taken over, declare bins of your own")
        return None
    theirs = [f"{low:0.2f}-{high:0.2f}" for low, high in pairwise(edges)]
    told.append(f"{name}: whole numbers in the quartiles of this file, as Aequitas cuts them")
    return {"bins": bins, "as-aequitas": dict(zip(theirs, bin_labels(bins), strict=True))}
