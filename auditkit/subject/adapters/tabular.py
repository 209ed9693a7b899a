"""`adapter: tabular`: a logistic regression or small network that auditkit trained itself and stored in a folder.

Everything is known of such a model: gradients, the objective with its L2, the recipe to fit it again on other rows. A
refit repeats the whole recipe, encoding included, so that nothing of left-out rows stays behind in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from auditkit.errors import Complaint, ModelError
from auditkit.policy.schema import Policy
from auditkit.subject import model
from auditkit.subject.decisions import decisions_at, threshold_of
from auditkit.subject.fitted import Fitted, Recipe, fit_rows
from auditkit.subject.store import load
from auditkit.subject.types import Check, Floats, Gradient, Subject, Table
from auditkit.subject.values import listing

KINDS = {"logistic": "logistic regression", "mlp": "multilayer perceptron"}


@dataclass(frozen=True, kw_only=True)
class TabularSubject(Subject):
    """A subject that can be stored, because it knows its fitted model."""

    fitted: Fitted


def open_subject(policy: Policy, table: Table, base: Path) -> Subject:
    """Load the model at `model.path` and hold it against the policy and the training data.

    Raises:
        ModelError: no path, no model there, or one that was trained otherwise than the policy says.
        IntegrityError: the model's files do not belong together.
    """
    if policy.model.path is None:
        raise ModelError(Complaint("the tabular adapter needs the folder of a trained model", "model.path"))
    folder = base / policy.model.path
    fitted, digest = load(folder)
    complaints = _differences(fitted, policy, table)
    if complaints:
        hint = "train it again with `auditkit train POLICY`, or state what it was trained with"
        raise ModelError([Complaint(text, f"model {folder.name!r}", hint) for text in complaints])
    return as_subject(fitted, threshold=threshold_of(policy.model), digest=digest, checks=unfamiliar(fitted, table))


def _differences(fitted: Fitted, policy: Policy, table: Table) -> list[str]:
    """What the model was trained with and the policy says otherwise, one sentence each."""
    recipe, wanted = fitted.recipe, Recipe.of(policy.data, policy.model.training)
    found = []
    for name, theirs, ours in (
        ("numeric columns", recipe.numeric, wanted.numeric),
        ("categorical columns", recipe.categorical, wanted.categorical),
    ):
        if theirs != ours:
            found.append(f"the model was trained on the {name} {_list(theirs)}, the policy states {_list(ours)}")
    for name, was, states in (
        ("the label column", recipe.label, wanted.label),
        ("the favourable label", recipe.favourable, wanted.favourable),
        ("the weight column", recipe.weight, wanted.weight),
        *_settings(recipe, wanted),
    ):
        if was != states:
            found.append(f"the model was trained with {name} {was!r}, the policy states {states!r}")
    expected = table.digests.get("train")
    if expected is not None and fitted.training_data != expected:
        found.append("the model was trained on another file than data.train (its sha256 differs)")
    return found


def _settings(recipe: Recipe, wanted: Recipe) -> list[tuple[str, object, object]]:
    """Each training setting beside the policy's; only those that the module uses."""
    unused = {"hidden", "embedding", "epochs", "learning_rate", "batch", "early_stopping"}
    skipped = unused if recipe.training.module == wanted.training.module == "logistic" else set()
    ours = wanted.training.model_dump()
    theirs = recipe.training.model_dump()
    return [(f"training.{name.replace('_', '-')}", theirs[name], ours[name]) for name in ours if name not in skipped]


def _list(names: tuple[str, ...]) -> str:
    return listing(names, limit=12) if names else "(none)"


def unfamiliar(fitted: Fitted, table: Table) -> tuple[Check, ...]:
    """Evaluation and reserve rows with levels or gaps that training never had, counted by column."""
    found: list[Check] = []
    for split in ("reserve", "evaluation"):
        rows = np.flatnonzero(table.split == split)
        if len(rows):
            frame = table.frame.iloc[rows]
            fitted.encoding.require(frame)
            found += fitted.encoding.checks(frame, split)
    return tuple(found)


def as_subject(
    fitted: Fitted, *, threshold: float, digest: str | None = None, checks: tuple[Check, ...] = ()
) -> TabularSubject:
    """The subject of a fitted model; `digest` is that of its files, or of its parameters where it has none."""
    module = fitted.module

    def outputs(frame: pd.DataFrame, label: Floats) -> tuple[torch.Tensor, torch.Tensor]:
        inputs, targets = fitted.tensors(frame, label)
        with torch.no_grad():
            return module(*inputs), targets

    def score(frame: pd.DataFrame) -> Floats:
        found: Floats = model.favourable_score(outputs(frame, np.zeros(len(frame)))[0]).numpy()
        return found

    def loss(frame: pd.DataFrame, label: Floats) -> Floats:
        found: Floats = model.loss(*outputs(frame, label)).numpy()
        return found

    def train(frame: pd.DataFrame, label: Floats, generator: torch.Generator) -> Subject:
        return as_subject(fit_rows(fitted.recipe, frame, label, generator), threshold=threshold)

    return TabularSubject(
        adapter="tabular",
        kind=KINDS[fitted.recipe.training.module],
        digest=digest or model.digest(module),
        threshold=threshold,
        score=score,
        decide=lambda frame: decisions_at(score(frame), threshold),
        loss=loss,
        features=fitted.encoding.columns,
        parameters=sum(p.numel() for p in module.parameters()),
        gradient=Gradient(module, fitted.tensors, model.loss, model.favourable_score, fitted.recipe.training.l2),
        train=train,
        recipe=_facts(fitted),
        checks=checks,
        fitted=fitted,
    )


def _facts(fitted: Fitted) -> tuple[tuple[str, str], ...]:
    """How it was trained, for the report."""
    training, ended = fitted.recipe.training, fitted.fit
    facts = [
        ("Objective", "mean cross-entropy plus λ/2 times the sum of all squared parameters, biases included"),
        ("L2 (λ)", f"{training.l2:g}"),
        ("Encoded columns", f"{fitted.encoding.width:,}"),
    ]
    if training.module == "logistic":
        facts += [("Fitted by", f"Newton's method to the optimum, {ended.steps} steps")]
    else:
        facts += [
            ("Hidden layers", f"{' × '.join(map(str, training.hidden)) or 'none'}, GELU"),
            ("Categories", f"embeddings of width {training.embedding}" if training.embedding else "one-hot"),
            ("Fitted by", "stochastic gradient descent, Nesterov momentum 0.9, cosine learning rate"),
            ("Epochs", f"{ended.steps} of {training.epochs}" if training.early_stopping else f"{ended.steps}"),
            ("Learning rate", f"{training.learning_rate:g}"),
            ("Batch", f"{training.batch}"),
            ("Early stopping", "on a held-out tenth" if training.early_stopping else "off"),
            ("Seed", f"{fitted.seed}"),
        ]
    facts.append(("Gradient norm where training ended", f"{ended.gradient_norm:.1e}"))
    return tuple(facts)
