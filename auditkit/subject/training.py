"""Train the tabular model that a policy describes, and store it: what `auditkit train POLICY` does."""

from __future__ import annotations

from pathlib import Path

import torch

from auditkit.errors import DataError, ModelError, PolicyError
from auditkit.policy.schema import Policy
from auditkit.subject import store
from auditkit.subject.adapters.tabular import TabularSubject, as_subject, unfamiliar
from auditkit.subject.decisions import threshold_of
from auditkit.subject.fitted import Recipe, fit_rows
from auditkit.subject.types import Subject, Table


def train_subject(policy: Policy, table: Table, generator: torch.Generator) -> Subject:
    """Fit `model.training` on the training rows; nothing is written.

    Args:
        policy: its adapter must be `tabular`.
        table: the policy's data.
        generator: the only randomness; `logistic` uses none.

    Raises:
        PolicyError: another adapter, or settings that contradict each other.
        DataError: no training rows.
        ModelError: a feature without a single known training value.
        NumericsError: training did not converge.
    """
    if policy.model.adapter != "tabular":
        raise PolicyError(f"model.adapter is {policy.model.adapter}; only a tabular model is trained here")
    rows = table.rows("train")
    if not len(rows):
        raise DataError("the policy names no training data (data.train)")
    fitted = fit_rows(
        Recipe.of(policy.data, policy.model.training),
        table.frame.iloc[rows],
        table.label[rows],
        generator,
        training_data=table.digests["train"],
    )
    return as_subject(fitted, threshold=threshold_of(policy.model), checks=unfamiliar(fitted, table))


def save(subject: Subject, folder: Path) -> tuple[Path, Path]:
    """Store a trained tabular subject as `model.safetensors` and `model.json` in `folder`.

    Raises:
        ModelError: the subject is not a tabular one, or the folder cannot be written.
    """
    if not isinstance(subject, TabularSubject):
        raise ModelError(f"a subject of the {subject.adapter} adapter has no file format of its own")
    return store.save(subject.fitted, folder)
