"""Any column as groups: one name for a group, whatever holds the column and whatever type its cells have.

    codes, labels = group_levels(column)      # codes [R] into the sorted labels; -1 where the cell is missing

A column may be a list, a tuple, an array of any dtype, a Series or Index (numbers, text, category, bins of `pd.cut`,
dates, nullable types), a masked array, or anything with `to_pandas`. One group has one name:

    1, 1.0, '1', '1.0', Decimal('1'), b'1', numpy's 1        '1'             ('01' and ' 1' are names of their own)
    True, numpy's True, 'True', 'TRUE', 'true'               'true'          (never '1')
    0.5, '0.50', Decimal('0.5'), numpy's float32 0.5         '0.5'
    a date, a time stamp at midnight, datetime64             '2024-01-31'
    the interval (0, 30] of ints or floats, '(0.0, 30.0]'    '(0, 30]'

Missing, so of unknown membership and never a group, are None, NaN, NaT, `pd.NA`, Decimal('NaN'), masked and blank
cells, and the texts that numpy and pandas write for NaN when they turn a column into text: nan, NaN, NaT, <NA>. The
text None stays a name: it is what many questionnaires call a group.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auditkit.errors import Complaint, DataError
from auditkit.policy.bins import group_label
from auditkit.subject.types import Floats, Ints
from auditkit.subject.values import counted, number

WRITTEN_MISSING: Final = frozenset({"nan", "NaN", "NaT", "<NA>"})
"""What numpy and pandas write into a text column for a missing cell."""


def group_levels(column: object, name: str = "groups") -> tuple[Ints, tuple[str, ...]]:
    """Codes [R] into the sorted labels of a column; -1 where the cell is missing.

    Args:
        column: see the module. name: what it is called in complaints.

    Raises:
        DataError: it is no column of one value a record.
    """
    values = column_of(column, name)
    if values.dtype == object or isinstance(values.dtype, pd.StringDtype):
        told: dict[tuple[type, Hashable], str | None] = {}
        met = [_met(value, told, name) for value in values.tolist()]
        labels = tuple(sorted({label for label in met if label is not None}))
        codes = pd.Index(labels, dtype=object).get_indexer(pd.Index(met, dtype=object))
        return np.asarray(codes, dtype=np.int64), labels
    places, unique = pd.factorize(values)
    names = [label_of(value) for value in unique]
    labels = tuple(sorted({label for label in names if label is not None}))
    code = {label: at for at, label in enumerate(labels)}
    renumber = np.array([*(-1 if label is None else code[label] for label in names), -1], dtype=np.int64)
    return renumber[places], labels


def group_texts(column: object, name: str = "groups") -> NDArray[np.object_]:
    """A column as labels [R]; None where the cell is missing."""
    codes, labels = group_levels(column, name)
    return np.array([*labels, None], dtype=object)[codes]


def label_of(value: Any) -> str | None:
    """The label of one cell; None where it is missing."""
    if _is_missing(value):
        return None
    if isinstance(value, (bytes, bytearray, np.bytes_)):
        value = bytes(value).decode("utf-8", errors="replace")
    if isinstance(value, np.datetime64):
        value = pd.Timestamp(value)
    if isinstance(value, pd.Interval):
        return _interval(value)
    if isinstance(value, datetime):
        midnight = value.time() == time() and value.tzinfo is None
        return value.date().isoformat() if midnight else value.isoformat(sep=" ")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, str) and (not value.strip() or value in WRITTEN_MISSING):
        return None
    return group_label(value)


def column_of(column: object, name: str) -> pd.Series[Any]:
    """[R] anything that holds one value a record, by position: an index of the caller's plays no part.

    Raises:
        DataError: it is a text, a set, has no length, or has more than one dimension.
    """
    if not isinstance(column, (pd.Series, pd.Index)) and hasattr(column, "to_pandas"):
        column = column.to_pandas()
    if isinstance(column, (pd.Series, pd.Index)):
        return pd.Series(column.array)
    if isinstance(column, np.ma.MaskedArray):
        column = np.where(np.ma.getmaskarray(column), np.array(None, dtype=object), column.data.astype(object))
    if isinstance(column, pd.DataFrame) or (hasattr(column, "ndim") and getattr(column, "ndim", 1) != 1):
        shape = tuple(getattr(column, "shape", ()))
        hint = "give one column, as in .ravel() or frame['name']"
        raise DataError(Complaint(f"{name} must hold one value a record, shape [M], not {shape}", hint=hint))
    if isinstance(column, (str, bytes, set, frozenset, dict)) or not isinstance(column, Iterable):
        message = f"{name} must be a list, an array or a Series of one value a record, not {type(column).__name__}"
        raise DataError(Complaint(message))
    if isinstance(column, (pd.api.extensions.ExtensionArray, np.ndarray)):
        return pd.Series(column, dtype=object if getattr(column.dtype, "kind", "") in "US" else None)
    if hasattr(column, "__array__"):
        return column_of(np.asarray(column), name)
    return pd.Series(list(column), dtype=object)


def attributes_of(groups: object) -> dict[str, Any]:
    """Attribute -> its column, from a mapping, a frame, or one Series (called by its name, or `group`).

    Raises:
        DataError: it is none of these, or empty.
    """
    if isinstance(groups, pd.Series):
        return {"group" if groups.name is None else str(groups.name): groups}
    if isinstance(groups, pd.DataFrame):
        found = {str(name): groups.iloc[:, at] for at, name in enumerate(groups.columns)}
    elif isinstance(groups, Mapping):
        found = {str(name): column for name, column in groups.items()}
    else:
        message = f"groups must say which column is which attribute, and are a {type(groups).__name__}"
        raise DataError(Complaint(message, hint="write groups={'sex': column}, or give a frame"))
    if not found:
        raise DataError("there is no attribute to group the records by")
    return found


def references_of(reference: object, names: Iterable[str]) -> dict[str, str]:
    """Attribute -> the label of its stated reference; a single value stands for every attribute.

    Raises:
        DataError: an attribute is named that there is not.
    """
    known = list(names)
    if reference is None:
        return {}
    if not isinstance(reference, Mapping):
        return dict.fromkeys(known, _stated(reference))
    lacking = [str(name) for name in reference if str(name) not in known]
    if lacking:
        raise DataError(f"a reference is stated for no attribute {', '.join(lacking)}; there are {', '.join(known)}")
    return {str(name): _stated(value) for name, value in reference.items()}


def _stated(reference: object) -> str:
    label = None if isinstance(reference, (list, tuple, dict, set, pd.Series, np.ndarray)) else label_of(reference)
    if label is None:
        raise DataError(f"a reference is the name of one group, not {shown(reference)}")
    return label


def numbers_of(column: object, name: str) -> Floats:
    """[R] float64 of numbers, truth values and texts that plainly write a number; NaN where the cell is missing.

    Raises:
        DataError: a cell is none of these, with how many and the first.
    """
    values = column_of(column, name)
    if pd.api.types.is_bool_dtype(values.dtype) or (
        pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_complex_dtype(values.dtype)
    ):
        return np.asarray(values.to_numpy(dtype=np.float64, na_value=np.nan))
    read = [_number(value) for value in values.tolist()]
    wrong = [value for value, found in zip(values.tolist(), read, strict=True) if found is None]
    if wrong:
        many = counted(len(wrong), "value", "values")
        raise DataError(f"{name} are needed as numbers, and {many} are none; the first is {shown(wrong[0])}")
    return np.array(read, dtype=np.float64)


def answers_of(column: object, name: str) -> Floats:
    """[R] 1.0 favourable, 0.0 not, NaN missing.

    Raises:
        DataError: a cell is something else, with how many and the first.
    """
    values = column_of(column, name)
    try:
        read = numbers_of(values, name)
        wrong = ~np.isnan(read) & (read != 0) & (read != 1)
    except DataError:
        own = [_number(value) for value in values.tolist()]
        wrong = np.array([found is None or not (np.isnan(found) or found in (0, 1)) for found in own], dtype=bool)
        read = np.zeros(len(own))
    if wrong.any():
        first = values.iloc[int(np.flatnonzero(wrong)[0])]
        raise DataError(neither(int(wrong.sum()), name, first))
    return read


def neither(count: int, name: str, first: object) -> Complaint:
    """The complaint about labels or decisions that say neither yes nor no."""
    message = f"{count:,} values of {name} are neither 1 (favourable), 0 nor missing; the first is {shown(first)}"
    return Complaint(message, hint="write 1 for favourable and 0 for the other, as in (column == 'yes').astype(int)")


def shown(value: object) -> str:
    """A cell as a complaint quotes it."""
    text = repr(value.item() if isinstance(value, np.generic) else value)
    return text if len(text) <= 40 else f"{text[:40]}..."


def _met(value: Any, told: dict[tuple[type, Hashable], str | None], name: str) -> str | None:
    """The label of a cell; cells of one value and one type (True equals 1, and is another group) are read once."""
    if isinstance(value, bytearray):
        value = bytes(value)
    try:
        key = (type(value), value)
        if key not in told:
            told[key] = label_of(value)
        return told[key]
    except TypeError as error:
        message = f"{name} must hold one value a record, and a cell is a {type(value).__name__}"
        raise DataError(Complaint(message, hint="for several groups a record see measure_membership")) from error


def _is_missing(value: Any) -> bool:
    if value is None or value is pd.NA or value is pd.NaT:
        return True
    if isinstance(value, Decimal):
        return value.is_nan()
    if isinstance(value, (np.datetime64, np.timedelta64)):
        return bool(np.isnat(value))
    return isinstance(value, (float, np.floating)) and bool(np.isnan(value))


def _interval(value: pd.Interval[Any]) -> str:
    left = "[" if value.closed in ("left", "both") else "("
    right = "]" if value.closed in ("right", "both") else ")"
    return f"{left}{label_of(value.left)}, {label_of(value.right)}{right}"


def _number(value: Any) -> float | None:
    """NaN where the cell is missing, None where it is no number."""
    if _is_missing(value) or (isinstance(value, str) and (not value.strip() or value in WRITTEN_MISSING)):
        return float("nan")
    if isinstance(value, str):
        return number(value)
    if isinstance(value, (bool, int, float, Decimal, np.bool_, np.integer, np.floating)):
        return float(value)
    return None
