"""Models that never saw a record, their banks, and marks on them: worlds in which nobody may be marked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.tree import DecisionTreeClassifier

from auditkit.policy.schema import PrivacySettings
from auditkit.privacy import risk
from auditkit.privacy.attacks.lira_offline import surprise
from auditkit.privacy.exposure import Marks, mark
from auditkit.privacy.membership import Retrained
from auditkit.subject.types import Floats
from tests.privacy.retraining import Recipe, trained

LEAST_SHARE = 1e-9


@dataclass(frozen=True)
class Null:
    """N records that are called members, K of the reserve, of D heavy-tailed inputs; B models of a kind."""

    kind: str
    members: int
    reserve: int
    inputs: int
    models: int
    strength: float = 0.0
    """L2 of the logistic model, depth of the tree, epochs of the network."""
    planted: float = 0.0
    """Share of the members whose labels are turned, half of them stretched: the reserve has none like them."""

    def draw(self, seed: int) -> tuple[Retrained, Floats]:
        """The bank on halves of the pool, and margins [N + K] of a model fitted on N other records."""
        rng = np.random.default_rng(seed)
        weights = rng.normal(size=self.inputs)
        pool, others = (self._records(rng, weights, n) for n in (self.members + self.reserve, self.members))
        count = round(self.planted * self.members)
        pool[1][:count] = 1 - pool[1][:count]
        pool[0][: count // 2] *= 2.5
        rows = np.stack([rng.permutation(len(pool[1]))[: len(pool[1]) // 2] for _ in range(self.models)])
        inside = np.zeros((self.models, len(pool[1])), dtype=np.bool_)
        np.put_along_axis(inside, rows, values=True, axis=1)
        fitted = {"logistic": _logistic, "tree": _trees, "network": _networks}[self.kind]
        return Retrained(fitted(pool, pool, rows, self.strength), inside), fitted(
            others, pool, np.arange(self.members)[None], self.strength
        )[0]

    def _records(self, rng: np.random.Generator, weights: Floats, count: int) -> tuple[Floats, Floats]:
        inputs = rng.standard_t(3, size=(count, self.inputs)) * 3 / np.sqrt(self.inputs)
        return inputs, np.asarray(inputs @ weights + rng.logistic(size=count) > 0, dtype=np.float64)


def marks(known: Retrained, target: Floats, members: int) -> Marks:
    """By the audit's own rule at its default level and threshold."""
    low = risk.measure(known, level=0.95, generator=np.random.default_rng(0)).low
    return mark(low, surprise(target, known), members=members, settings=PrivacySettings(), level=0.95, unit="record")


def _logistic(learned: tuple[Floats, Floats], asked: tuple[Floats, Floats], rows: np.ndarray, l2: float) -> Floats:
    """Margins [K, P] of penalised logistic models by Newton's method, on `rows` [K, S] of the learned records."""
    design, label = np.c_[learned[0], np.ones(len(learned[1]))], learned[1]
    theta = np.zeros((len(rows), design.shape[1]))
    for _ in range(10):
        for k, own in enumerate(rows):
            inputs = design[own]
            p = 1 / (1 + np.exp(-np.clip(inputs @ theta[k], -30, 30)))
            slope = inputs.T @ (p - label[own]) / len(own) + l2 * theta[k]
            curve = (inputs.T * np.maximum(p * (1 - p), 1e-6)) @ inputs / len(own) + l2 * np.eye(inputs.shape[1])
            theta[k] -= np.linalg.solve(curve, slope)
    return np.asarray((theta @ np.c_[asked[0], np.ones(len(asked[1]))].T) * (2 * asked[1] - 1))


def _trees(learned: tuple[Floats, Floats], asked: tuple[Floats, Floats], rows: np.ndarray, depth: float) -> Floats:
    found = []
    for k, own in enumerate(rows):
        tree = DecisionTreeClassifier(max_depth=int(depth), random_state=k).fit(learned[0][own], learned[1][own])
        share = tree.predict_proba(asked[0])[np.arange(len(asked[1])), asked[1].astype(np.int64)]
        share = np.clip(share, LEAST_SHARE, 1 - LEAST_SHARE)
        found.append(np.log(share / (1 - share)))
    return np.stack(found)


def _networks(learned: tuple[Floats, Floats], asked: tuple[Floats, Floats], rows: np.ndarray, epochs: float) -> Floats:
    recipe = Recipe((learned[0].shape[1], 32, 2), epochs=int(epochs))
    inputs = torch.tensor(np.concatenate([learned[0], asked[0]]), dtype=torch.float32)
    labels = torch.tensor(np.concatenate([learned[1], asked[1]]), dtype=torch.long)
    draw = torch.Generator().manual_seed(int(rows[0, 0]))
    margin = trained(inputs, labels, torch.tensor(rows), recipe, draw)
    return np.asarray(margin[:, len(learned[1]) :])
