"""The ways to bring a model, and the door through which all of them come."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from auditkit.errors import Complaint, ModelError
from auditkit.policy.schema import Policy
from auditkit.subject.types import Subject, Table

Opener = Callable[[Policy, Table, Path], Subject]

# Adapter of the policy -> module whose `open_subject` brings it; imported when used, because two of them need torch.
ADAPTERS: dict[str, str] = {
    "tabular": "auditkit.subject.adapters.tabular",
    "python": "auditkit.subject.adapters.python",
    "estimator": "auditkit.subject.adapters.estimator",
    "predictions": "auditkit.subject.adapters.predictions",
}


def open_subject(policy: Policy, table: Table, base: Path) -> Subject:
    """The policy's model as a `Subject`.

    Args:
        policy: `policy.model` names the adapter and what it needs.
        table: the policy's data, against which the model is held.
        base: folder of the policy file; relative model paths and user modules are looked for there.

    Raises:
        ModelError: the model is missing, does not fit the data, or breaks its adapter's protocol.
        DataError: recorded decisions or scores are not what they should be.
        IntegrityError: a stored model's files do not belong together.
    """
    opener: Opener = import_module(ADAPTERS[policy.model.adapter]).open_subject
    return opener(policy, table, base)


def bring(model: object, policy: Policy, table: Table) -> Subject:
    """A model that a user holds in memory: a Subject as it is, an estimator, or an object of the `python` protocol.

    Raises:
        ModelError: it is none of these, or breaks what its kind asks for.
    """
    from auditkit.subject.adapters import estimator, python
    from auditkit.subject.views import owner_views

    if isinstance(model, Subject):
        # A tabular model was trained on auditkit's own reading of its table; any other is given the frames untouched.
        own = model.adapter in ("tabular", "predictions") or bool(model.views)
        return model if own else replace(model, views=owner_views(table))
    if callable(getattr(model, "predict_proba", None)):
        return estimator.bind(model, policy, table)
    if hasattr(model, "module") and hasattr(model, "favourable_score"):
        return python.follow(model, policy, table)
    message = f"a {type(model).__name__} is no model that auditkit can ask"
    hint = "pass an estimator with predict_proba, an object of the `python` protocol, or a Subject"
    raise ModelError(Complaint(message, "model", hint))
