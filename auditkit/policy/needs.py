"""What each way of bringing a model needs of the policy, and how the columns of the data may be used."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from auditkit.errors import Complaint, PolicyError
from auditkit.policy.explain import Locate, listed
from auditkit.policy.schema import Data, Model

# adapter -> keys of 'model' that it needs, and keys beside 'adapter' that it reads.
ADAPTERS: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "tabular": (("path",), ("path", "threshold", "training")),
    "python": (("subject",), ("subject", "path", "threshold")),
    "estimator": (("subject",), ("subject", "path", "threshold")),
    "predictions": ((), ("decision", "score", "threshold")),
}
WITHOUT_GRADIENTS: Final = frozenset({"estimator", "predictions"})
SUBJECT: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


def code_of(model: Model) -> str:
    """`module:object` of the Python code that opening this model runs; empty where it runs none."""
    needed, _ = ADAPTERS[model.adapter]
    return str(model.subject) if "subject" in needed else ""


def require_no_code(model: Model, locate: Callable[..., str]) -> None:
    """Refuse a policy that runs code of its author.

    Args:
        model: the policy's. locate: keys of the policy -> `file:line:column`.

    Raises:
        PolicyError: opening the model imports a module that the policy names.
    """
    if code_of(model):
        message = f"the adapter '{model.adapter}' runs code of the policy's author ('{code_of(model)}')"
        hint = "leave --no-code out if you trust that code; or bring recorded decisions with the adapter 'predictions'"
        raise PolicyError(Complaint(message, locate("model", "subject"), hint))


def check_needs(data: Data | None, model: Model | None, raw: Mapping[str, Any], locate: Locate) -> Iterator[Complaint]:
    """Every complaint about the model's adapter and the data's columns; a part that is None is not looked at."""
    if model is not None:
        yield from _keys(model, raw, locate)
        yield from _influence(model, raw, locate)
    if data is not None:
        yield from _columns(data, locate)
        yield from _files(data, locate)
    if data is not None and model is not None and model.adapter == "tabular":
        if data.train is None:
            message = "the adapter 'tabular' needs 'train', and 'data' has none"
            yield Complaint(message, where=locate(("data",)), hint="add train: with the path of the training file")
        if not data.numeric and not data.categorical:
            message = "the adapter 'tabular' needs columns, and 'data' lists none"
            yield Complaint(message, where=locate(("data",)), hint="add numeric: or categorical: with column names")


def _keys(model: Model, raw: Mapping[str, Any], locate: Locate) -> Iterator[Complaint]:
    needed, read = ADAPTERS[model.adapter]
    for key in needed:
        if getattr(model, key) is None:
            message = f"the adapter '{model.adapter}' needs '{key}', and 'model' has none"
            yield Complaint(message, where=locate(("model",)), hint=f"add {key}:")
    if model.adapter == "predictions" and model.decision is None and model.score is None:
        message = "the adapter 'predictions' needs 'decision' or 'score', and 'model' has neither"
        yield Complaint(message, where=locate(("model",)), hint="add decision: with a SQL expression or a column")
    if model.adapter == "predictions" and model.decision is not None and "threshold" in raw["model"]:
        message = "'decision' is stated, so that 'threshold' decides nothing"
        yield Complaint(message, where=locate(("model", "threshold")), hint="remove one of them")
    for key in raw["model"]:
        if key != "adapter" and key not in read:
            readers = [name for name, (_, keys) in ADAPTERS.items() if key in keys]
            message = f"the adapter '{model.adapter}' does not read '{key}'"
            hint = f"remove it (read by {listed(readers)})"
            yield Complaint(message, where=locate(("model", key)), hint=hint)
    if "subject" in read and model.subject is not None and not SUBJECT.fullmatch(model.subject):
        message = f"'subject' is '{model.subject}', and has to be module:object"
        yield Complaint(message, where=locate(("model", "subject")), hint="as in my_bank.credit:subject")


def _influence(model: Model, raw: Mapping[str, Any], locate: Locate) -> Iterator[Complaint]:
    settings = raw.get("influence")
    estimator = settings.get("estimator", "auto") if isinstance(settings, dict) else "auto"
    if model.adapter in WITHOUT_GRADIENTS and estimator != "auto":
        message = f"the estimator '{estimator}' needs gradients, and the adapter '{model.adapter}' has none"
        yield Complaint(message, where=locate(("influence", "estimator")), hint="write auto, and influence is left out")


def _columns(data: Data, locate: Locate) -> Iterator[Complaint]:
    """No column is a feature twice, and no key, label or weight is a feature."""
    roles = {data.label.column: "the label", data.id: "the id", data.person: "the person", data.weight: "the weight"}
    seen: set[str] = set()
    for kind, columns in (("numeric", data.numeric), ("categorical", data.categorical)):
        for index, column in enumerate(columns):
            where = locate(("data", kind, index))
            if column in roles:
                message = f"the column '{column}' is {roles[column]} and stands among the model's columns"
                yield Complaint(message, where=where, hint="remove it from the list")
            if column in seen:
                yield Complaint(f"the column '{column}' is listed twice", where=where, hint="keep one")
            seen.add(column)
    keys = {"id": data.id, "person": data.person, "weight": data.weight}
    for key, key_column in keys.items():
        if key_column is not None and key_column == data.label.column:
            message = f"the column '{key_column}' is both '{key}' and the label"
            yield Complaint(message, where=locate(("data", key)), hint="name two columns")


def _files(data: Data, locate: Locate) -> Iterator[Complaint]:
    if data.reserve is not None and data.train is None:
        message = "'data' has a reserve and no training file"
        yield Complaint(message, where=locate(("data", "reserve")), hint="add train:, or remove reserve:")
    files = {"train": data.train, "reserve": data.reserve, "evaluation": data.evaluation}
    seen: dict[str, str] = {}
    for name, path in files.items():
        if path is None:
            continue
        if str(path) in seen:
            message = f"'{name}' and '{seen[str(path)]}' are the same file"
            yield Complaint(message, where=locate(("data", name)), hint="name two files")
        seen.setdefault(str(path), name)
