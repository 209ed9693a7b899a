"""`adapter: python`: the user's own torch module, through the small protocol `PythonSubject`.

`model.subject: my_bank.credit:subject` names an object that follows the protocol, or a class or function without
arguments that gives one. The module is put in eval mode; its dtype and device are kept. Before anything else the
protocol is tried on a few records, and every breach is said with the shape that came: a loss that is reduced over the
batch, or a record whose loss depends on its neighbours (batch normalisation in training mode), would make every later
figure wrong.

`tensors` and `train` are given what the owner's own code would read (`views`): a user's frames untouched, files as
pandas reads them, changed only by what the policy states under data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeGuard

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from auditkit.errors import Complaint, ModelError
from auditkit.policy.schema import Policy
from auditkit.subject import model
from auditkit.subject.decisions import decisions_at, threshold_of
from auditkit.subject.importing import WHERE, import_object, said
from auditkit.subject.inputs import Answers, ask, view_of
from auditkit.subject.sources import NOTHING_STATED
from auditkit.subject.types import Floats, Gradient, Ints, Subject, Table
from auditkit.subject.views import Reading, ambiguity, choose_way, readings, sample

TRIED = 8
METHODS = ("tensors", "loss", "favourable_score")


class PythonSubject(Protocol):
    """What a user's subject must have; `train(frame, label, generator) -> PythonSubject` may be added."""

    module: nn.Module
    weight_decay: float | Mapping[str, float]
    """λ of the objective 1/N Σ loss + λ/2 ‖θ‖²; a mapping gives it by parameter name, 0 where none is named."""

    def tensors(self, frame: pd.DataFrame, label: Floats) -> tuple[tuple[Tensor, ...], Tensor]:
        """Frame [B] and labels [B] (1.0 favourable, 0.0 not) -> (inputs of the module, targets [B])."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Per-record loss [B] in nats, no reduction."""

    def favourable_score(self, outputs: Tensor) -> Tensor:
        """Score of the favourable outcome [B] in [0, 1]."""


def open_subject(policy: Policy, table: Table, base: Path) -> Subject:
    """Import the user's subject and hold it against the protocol.

    Raises:
        ModelError: it cannot be imported or breaks the protocol; every breach that can be seen at once is named.
    """
    found: Any = import_object(policy.model.subject, policy.model.path or base)
    spec = str(policy.model.subject)
    if isinstance(found, type) or (callable(found) and not hasattr(found, "favourable_score")):
        found = _ask(spec, found)
    return follow(found, policy, table)


def follow(found: Any, policy: Policy, table: Table) -> Subject:
    """Hold an object against the protocol on a few evaluation rows, and bring it.

    Raises:
        ModelError: every breach that can be seen at once.
    """
    _require(found)
    features = (*policy.data.numeric, *policy.data.categorical)
    threshold = threshold_of(policy.model)
    plain = as_subject(found, threshold=threshold, features=features)
    found_readings = readings(table, policy.data, {}, ()) if table.sources else (Reading(NOTHING_STATED, {}),)
    ways = [partial(_scores, replace(plain, views=one.views), table) for one in found_readings]
    chosen, count = choose_way(table, ways)
    if chosen is None:
        raise ModelError(ambiguity(count, len(sample(table.rows("evaluation"))), found_readings[0].types))
    reading = found_readings[chosen]
    first = table.rows("evaluation")[:TRIED]
    subject = _follows(found, view_of(reading.views, table, first), table.label[first])
    return replace(
        as_subject(subject, threshold=threshold, features=features), views=reading.views, checks=reading.checks,
    )  # fmt: skip


def _scores(subject: Subject, table: Table, rows: Ints) -> Answers:
    """Scores [R]; what the user's code raises is a ModelError."""
    question = subject.score or subject.decide
    return ask(lambda frame, _: np.asarray(_ask("tensors", question, frame)), subject, table, rows, "score")


def as_subject(found: PythonSubject, *, threshold: float, features: tuple[str, ...]) -> Subject:
    """The subject of an object that follows the protocol."""
    module = found.module
    halves = {parameter.dtype for parameter in module.parameters() if parameter.is_floating_point()}
    # numpy has no bfloat16: its scores come as float32 numbers, and do not show where they are from.
    precision = "bfloat16" if halves == {torch.bfloat16} else None

    def outputs(frame: pd.DataFrame, label: Floats) -> tuple[Tensor, Tensor]:
        inputs, targets = found.tensors(frame, label)
        with torch.no_grad():
            return module(*inputs), targets

    def score(frame: pd.DataFrame) -> Answers:
        return _native_precision(found.favourable_score(outputs(frame, np.zeros(len(frame)))[0]))

    train: Callable[[pd.DataFrame, Floats, torch.Generator], Subject] | None = None
    again = getattr(found, "train", None)
    if callable(again):

        def train(frame: pd.DataFrame, label: Floats, generator: torch.Generator) -> Subject:
            fresh = _follows(_ask("train", again, frame, label, generator), frame.iloc[:TRIED], label[:TRIED])
            return as_subject(fresh, threshold=threshold, features=features)

    return Subject(
        adapter="python",
        kind=f"{type(module).__name__} (the user's torch module)",
        digest=model.digest(module),
        threshold=threshold,
        score=score,
        decide=lambda frame: decisions_at(score(frame), threshold, precision=precision),
        loss=lambda frame, label: _numbers(found.loss(*outputs(frame, label))),
        features=features,
        parameters=sum(p.numel() for p in module.parameters()),
        gradient=Gradient(module, found.tensors, found.loss, found.favourable_score, found.weight_decay),
        train=train,
        recipe=(("L2 (λ)", _decay(found.weight_decay)),),
        precision=precision,
    )


def _decay(weight_decay: float | Mapping[str, float]) -> str:
    if isinstance(weight_decay, Mapping):
        return ", ".join(f"{name}: {value:g}" for name, value in weight_decay.items())
    return f"{weight_decay:g}"


def _native_precision(tensor: Tensor) -> Answers:
    plain = tensor.detach().cpu()
    found: Answers = (plain.float() if plain.dtype == torch.bfloat16 else plain).numpy()
    return found


def _numbers(tensor: Tensor) -> Floats:
    found: Floats = tensor.detach().cpu().to(torch.float64).numpy()
    return found


def _ask(name: str, method: Callable[..., Any], *arguments: Any) -> Any:
    """Call a piece of the user's code; its exception becomes a ModelError that names the piece."""
    try:
        return method(*arguments)
    except (Exception, SystemExit) as error:
        raise ModelError(Complaint(f"{name} failed: {said(error)}", WHERE)) from error


def _require(found: Any) -> None:
    """Everything that the protocol names is there; the module is in eval mode afterwards."""
    complaints = [Complaint(text, WHERE, "see auditkit.subject.adapters.python") for text in _lacks(found)]
    if complaints:
        raise ModelError(complaints)
    found.module.eval()


def _follows(found: Any, frame: pd.DataFrame, label: Floats) -> PythonSubject:
    """Try the protocol on a few records; the module is in eval mode afterwards."""
    _require(found)
    losses = _try(found, frame, label)
    for row in range(min(2, len(label))):
        alone = _try(found, frame.iloc[row : row + 1], label[row : row + 1])
        if not torch.allclose(alone[0], losses[row], rtol=1e-3, atol=1e-5):
            message = f"the loss of a record is {float(alone[0]):g} alone and {float(losses[row]):g} among others"
            raise ModelError(Complaint(message, WHERE, "a record's loss must not depend on the rest of its batch"))
    return found  # type: ignore[no-any-return]


def _lacks(found: Any) -> list[str]:
    """Members that are missing or of the wrong kind."""
    kind = type(found).__name__
    lacks = [f"{kind} has no method {name}" for name in METHODS if not callable(getattr(found, name, None))]
    module = getattr(found, "module", None)
    if not isinstance(module, nn.Module):
        lacks.append(f"{kind}.module is {type(module).__name__}, not a torch.nn.Module")
    decay = getattr(found, "weight_decay", None)
    values = list(decay.values()) if isinstance(decay, Mapping) else [decay]
    if not all(isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 for value in values):
        lacks.append(f"{kind}.weight_decay is {decay!r}, neither a number of at least 0 nor a mapping to such numbers")
    elif isinstance(decay, Mapping) and isinstance(module, nn.Module):
        unknown = sorted(set(decay) - {name for name, _ in module.named_parameters()})
        lacks += [f"{kind}.weight_decay names {name!r}, which is no parameter" for name in unknown]
    return lacks


def _try(found: PythonSubject, frame: pd.DataFrame, label: Floats) -> Tensor:
    """One batch through every method, shapes checked; gives the losses [B]."""
    size = len(label)
    given = _ask("tensors", found.tensors, frame, label)
    if not _is_batch(given):
        _breach(f"tensors gave {_shape(given)}; a pair of (tuple of tensors, tensor) is needed")
    inputs, targets = given
    wrong = [part for part in (*inputs, targets) if part.ndim == 0 or len(part) != size]
    if wrong:
        _breach(f"tensors gave {_shape(wrong[0])} for {size} records")
    outputs = _ask("module", found.module, *inputs)
    if not isinstance(outputs, Tensor) or outputs.ndim not in (1, 2) or len(outputs) != size:
        _breach(f"module gave {_shape(outputs)} for {size} records; [B] or [B, C] is needed")
    losses = _vector("loss", _ask("loss", found.loss, outputs, targets), size)
    score = _vector("favourable_score", _ask("favourable_score", found.favourable_score, outputs), size)
    if not bool(((score >= 0) & (score <= 1)).all()):
        low, high = float(score.detach().min()), float(score.detach().max())
        _breach(f"favourable_score gave values from {low:g} to {high:g}, not within 0 to 1")
    if not losses.requires_grad:
        _breach("loss gave a tensor without gradient; do not detach it or use torch.no_grad")
    return losses.detach()


def _vector(name: str, found: Any, size: int) -> Tensor:
    """A finite tensor [B], or the breach."""
    if not isinstance(found, Tensor) or found.shape != (size,):
        reduced = name == "loss" and isinstance(found, Tensor) and found.ndim == 0
        hint = "; use reduction='none'" if reduced else ""
        _breach(f"{name} gave {_shape(found)} for {size} records; one number each is needed{hint}")
    if not bool(torch.isfinite(found).all()):
        _breach(f"{name} gave values that are not finite")
    vector: Tensor = found
    return vector


def _is_batch(given: Any) -> TypeGuard[tuple[tuple[Tensor, ...], Tensor]]:
    if not isinstance(given, tuple) or len(given) != 2 or not isinstance(given[1], Tensor):
        return False
    return isinstance(given[0], tuple) and all(isinstance(part, Tensor) for part in given[0])


def _shape(found: Any) -> str:
    if isinstance(found, Tensor):
        return f"a tensor of shape {tuple(found.shape)}"
    if isinstance(found, tuple):
        return f"({', '.join(_shape(part) for part in found)})"
    return type(found).__name__


def _breach(message: str) -> None:
    raise ModelError(Complaint(message, WHERE, "see auditkit.subject.adapters.python"))
