"""Records without their figures: what stays of a part of the result when its numbers may not be published."""

from __future__ import annotations

from types import NoneType
from typing import Any, TypeVar, get_args

from auditkit.result import Estimate, Measurement, Record

R = TypeVar("R", bound=Record)


def blank(estimate: Estimate, reason: str) -> Estimate:
    """The estimate without a number: not even its method, which may hold a design effect."""
    return Estimate(value=None, level=estimate.level, withheld=reason)


def blanked(row: Measurement, reason: str) -> Measurement:
    """The row of a measure that was taken, without its figures."""
    return row.model_copy(update={"estimate": blank(row.estimate, reason), "parts": ()})


def emptied(record: R, reason: str) -> R:
    """The record with every field at its default, `withheld` as its status and the reason wherever one can stand.

    A field without a default keeps its words, and loses its figures: an estimate its numbers, a count itself.

    Raises:
        ValidationError: a field must have a figure; such a record has to be dropped by whoever holds it.
    """
    said: dict[str, Any] = {}
    for name, field in type(record).model_fields.items():
        value = getattr(record, name)
        if name == "status":
            said[name] = "withheld"
        elif name in ("reason", "withheld"):
            said[name] = reason
        elif name == "notes":
            said[name] = (reason,)
        elif not field.is_required():
            continue
        elif isinstance(value, Estimate):
            said[name] = blank(value, reason)
        elif isinstance(value, str):
            said[name] = value
        elif isinstance(value, tuple):
            said[name] = ()
        else:
            said[name] = None if NoneType in get_args(field.annotation) else value
    return type(record).model_validate(said)
