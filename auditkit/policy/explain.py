"""What pydantic found, in the words of an author: every complaint with its place, the value met and what to do."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from auditkit.errors import Complaint
from auditkit.policy.document import KeyPath, kind_of
from auditkit.policy.schema import Policy

Locate = Callable[[KeyPath], str]

FILL_IN: Final = "FILL IN"
"""How a starter policy marks what its author has to write."""
NAME_WORDS: Final = "a name (a letter, then at most 59 letters, digits, '_', '.' or '-')"
# pydantic's error type -> what the value has to be; {x} are the error's own figures.
EXPECTED: Final[dict[str, str]] = {
    "literal_error": "{expected}",
    "string_type": "text",
    "string_too_short": "text that is not empty",
    "string_too_long": "at most {max_length} characters long",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a smaller whole number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "greater_than": "above {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "below {lt:g}",
    "less_than_equal": "at most {le:g}",
    "tuple_type": "a list",
    "list_type": "a list",
    "too_short": "a list of at least {min_length}",
    "too_long": "a list of at most {max_length}",
    "dict_type": "a mapping (`key: value` lines)",
    "model_type": "a mapping (`key: value` lines)",
    "date_type": "a date such as 2027-03-31",
    "date_parsing": "a date such as 2027-03-31",
    "date_from_datetime_parsing": "a date such as 2027-03-31",
    "date_from_datetime_inexact": "a date such as 2027-03-31",
    "path_type": "the path of a file (text)",
}


def explain(
    error: ValidationError,
    *,
    model: type[BaseModel],
    data: Mapping[str, Any],
    locate: Locate,
) -> list[Complaint]:
    """Every error as one Complaint: one per place, with the places in the order of the schema.

    Args:
        error: what validating `data` against `model` raised.
        model: the pydantic model, for the keys it knows and what they mean.
        data: the mapping validated, kebab keys.
        locate: `file:line:column` of a key path.
    """
    by_path: dict[KeyPath, list[Mapping[str, Any]]] = {}
    for item in error.errors(include_url=False):
        by_path.setdefault(_real_path(item, data), []).append(dict(item))
    misspelt = {
        (*path[:-1], close)
        for path, items in by_path.items()
        if items[0]["type"] == "extra_forbidden" and (close := _close(path, model)) is not None
    }
    complaints = []
    for path, items in by_path.items():
        if items[0]["type"] == "missing":
            if path not in misspelt:
                complaints.append(_missing(path, model, locate))
        elif items[0]["type"] == "extra_forbidden":
            complaints.append(_unknown(path, value_at(data, path), model, locate))
        else:
            complaints.append(_wrong(path, items, value_at(data, path), locate))
    return complaints


def value_at(data: object, path: KeyPath) -> Any:
    """The value that stands at a key path."""
    for key in path:
        data = data[key]  # type: ignore[index]
    return data


def titled(path: KeyPath) -> str:
    """A key path in words: `'threshold'`, `entry 2 of 'bins'`."""
    if not path:
        return "the policy"
    if isinstance(path[-1], int):
        return f"entry {path[-1] + 1} of {titled(path[:-1])}"
    return f"'{path[-1]}'"


def shown(value: object) -> str:
    """A value for a message: short, as YAML would write it."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | dict):
        return kind_of(value)
    text = f"'{value}'" if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}…'"


def to_fill_in(path: KeyPath, locate: Locate) -> Complaint:
    """What is said about a mark that a starter policy left for its author."""
    return Complaint(f"{titled(path)} is still to be filled in", where=locate(path), hint=f"replace {FILL_IN}")


def did_you_mean(word: str, known: Sequence[str]) -> str | None:
    """The known word that resembles `word` most, or None."""
    lowered = {name.lower(): name for name in known}
    turned = [name for folded, name in lowered.items() if sorted(folded) == sorted(word.lower())]
    if turned:
        return turned[0]
    close = get_close_matches(word.lower().replace("_", "-"), lowered, n=1, cutoff=0.6)
    close = close or get_close_matches(word.lower(), lowered, n=1, cutoff=0.6)
    return lowered[close[0]] if close else None


def listed(words: Sequence[str]) -> str:
    """`a, b, c` of at most a dozen words."""
    return ", ".join(words[:12]) + (", …" if len(words) > 12 else "")


def _real_path(item: Mapping[str, Any], data: Any) -> KeyPath:
    """The error's path without what pydantic adds for unions and dictionary keys."""
    path: list[str | int] = []
    for key in item["loc"]:
        inside = isinstance(data, list) and isinstance(key, int) and key < len(data)
        if inside or (isinstance(data, dict) and key in data):
            data = data[key]
        elif item["type"] == "missing" and key == item["loc"][-1]:
            data = None
        else:
            continue
        path.append(key)
    return tuple(path)


def _missing(path: KeyPath, model: type[BaseModel], locate: Locate) -> Complaint:
    parent = f" in {titled(path[:-1])}" if path[:-1] else ""
    description = _description(path, model)
    return Complaint(
        f"{titled(path)} is missing{parent}",
        where=locate(path[:-1]),
        hint=f"add it ({description})" if description else "add it",
    )


def _unknown(path: KeyPath, value: object, model: type[BaseModel], locate: Locate) -> Complaint:
    close = _close(path, model)
    parent = f" in {titled(path[:-1])}" if path[:-1] else ""
    hint = f"did you mean '{close}'?" if close else f"known here: {listed(_keys(path[:-1], model))}"
    if value is None and not close and path[:-1]:  # {because: Board, 2026-03} has the key 2026-03
        hint = "if it belongs to the text before the comma, put that text in quotes"
    return Complaint(f"unknown key '{path[-1]}'{parent}", where=locate(path), hint=hint)


def _wrong(path: KeyPath, items: Sequence[Mapping[str, Any]], value: object, locate: Locate) -> Complaint:
    if items[0]["loc"][-1:] == ("[key]",):
        return Complaint(f"{titled(path)} is not {NAME_WORDS}", where=locate(path), hint="choose another name")
    if isinstance(value, str) and value.startswith(FILL_IN):
        return to_fill_in(path, locate)
    expected = list(dict.fromkeys(_expected(item, value) for item in items))
    message = f"{titled(path)} is {shown(value)}, and has to be {' or '.join(expected)}"
    return Complaint(message, where=locate(path), hint=_what_to_do(items, value))


def _what_to_do(items: Sequence[Mapping[str, Any]], value: object) -> str:
    kinds = {item["type"] for item in items}
    if "string_type" in kinds and isinstance(value, bool | int | float):
        return "put it in quotes"
    if kinds & {"tuple_type", "list_type"} and not isinstance(value, dict | list) and value is not None:
        return f"write [{value}]"
    if "literal_error" in kinds and isinstance(value, str):
        words = [word for item in items for word in str(item.get("ctx", {}).get("expected", "")).split("'")[1::2]]
        close = did_you_mean(value, words)
        return f"did you mean '{close}'?" if close else ""
    return ""


def _expected(item: Mapping[str, Any], value: object) -> str:
    if item["type"] == "string_pattern_mismatch":
        pattern = str(item["ctx"]["pattern"])
        if pattern.startswith("^[A-Za-z]"):
            return NAME_WORDS
        if "min|h" in pattern:
            return "a time such as '20 s' or '5 min'"
        return "a span such as '3 months'" if "month" in pattern else f"text that says '{pattern}'"
    template = EXPECTED.get(item["type"])
    return template.format(**item.get("ctx", {})) if template else str(item["msg"])


def _close(path: KeyPath, model: type[BaseModel]) -> str | None:
    return did_you_mean(str(path[-1]), _keys(path[:-1], model))


def _keys(path: KeyPath, model: type[BaseModel]) -> list[str]:
    here = _model_at(path, model)
    keys = [field.alias or name for name, field in here.model_fields.items()] if here else []
    if here is Policy:  # in YAML `intersections` stands under `protected`, and `extends` here
        keys = [*(key for key in keys if key != "intersections"), "extends"]
    return sorted(keys)


def _description(path: KeyPath, model: type[BaseModel]) -> str:
    here = _model_at(path[:-1], model)
    for name, field in here.model_fields.items() if here else ():
        if (field.alias or name) == path[-1]:
            return (field.description or "").split(". ")[0].replace("\n", " ").rstrip(".")
    return ""


def _model_at(path: KeyPath, annotation: Any) -> type[BaseModel] | None:
    """The pydantic model whose keys stand at a path of a policy, found by walking the type annotations."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _model_at(path, get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        found = (_model_at(path, arm) for arm in get_args(annotation))
        return next((model for model in found if model is not None), None)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if not path:
            return annotation
        fields = {field.alias or name: field.annotation for name, field in annotation.model_fields.items()}
        return _model_at(path[1:], fields.get(str(path[0])))
    if origin in (dict, tuple) and path:
        return _model_at(path[1:], get_args(annotation)[1 if origin is dict else 0])
    return None
