"""Influence by dense numpy: one step per removed record, written from the definitions and nothing else.

Objective F = mean loss + l2/2 |theta|², H its Gauss-Newton matrix with l2 on the diagonal. Removing record n, the
others keeping weight 1/N, takes its own curvature out of H (a rank-one update by Sherman and Morrison):

    delta_1 = (H - w_n j_n j_n'/N)^-1 j_n r_n / N,        j the gradient of the log-odds, r = p - y, w = p(1 - p)

A logistic model is affine in its parameters: delta gets its second-order term and the measures are taken at the stepped
parameters. A perceptron is not: effects are first-order along delta_1, and the own loss is taken at the moved log-odds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from scipy.special import expit

from tests.policies.real.claims import Near, Says
from tests.policies.real.recompute_composition import compositions
from tests.policies.real.recompute_data import MINIMUM_CELL, Floats, World
from tests.policies.real.recompute_decay import decay_figures
from tests.policies.real.recompute_measures import Measure
from tests.policies.real.recompute_model import Answers, jacobian, logit, objective_gradient, parameters

BLOCK = 500
AFFINE_SHARE, GENERAL_SHARE = 1e-6, 1e-3
SHARES = (1.0, 0.0, 0.5, 1.5)


@dataclass(frozen=True)
class Removals:
    """The effect of every removed training record."""

    effects: Floats
    """[N, S]"""
    own: Floats
    """[N] change of the record's own loss."""
    plain: Floats
    """[N] squared length of the plain step times N."""


@dataclass(frozen=True)
class Dense:
    """The problem in matrices."""

    world: World
    answers: Answers
    measures: tuple[Measure, ...]
    share: float = 1.0
    """Of the way from the least damping to the nearest optimum."""
    fitting: int = 0
    """Models for fitting."""
    ranked: tuple[float, ...] = ()
    """How well each share of SHARES predicts the models for fitting; nothing without such models."""

    def chosen(self, restricted: Path) -> Dense:
        """With the share whose effects predict best what the models for fitting answer."""
        if self.is_affine or not (restricted / "bank_masks.npy").exists():
            return self
        kept = {name: np.load(restricted / f"bank_{name}.npy")
                for name in ("masks", "measuring", "loss_evaluation", "score_evaluation")}  # fmt: skip
        fitting = np.flatnonzero(~kept["measuring"])
        actual = [kept[f"{m.quantity}_evaluation"][fitting] @ m.weights for m in self.measures]
        found = []
        for share in SHARES:
            predicted = ~kept["masks"][fitting] @ replace(self, share=share).removals().effects
            pairs = zip(predicted.T, actual, strict=True)
            found.append(float(np.mean([stats.spearmanr(a, b).statistic for a, b in pairs])))
        return replace(self, share=SHARES[int(np.argmax(found))], fitting=len(fitting), ranked=tuple(found))

    @cached_property
    def rows(self) -> Floats:
        """[N, D] gradients of the training log-odds."""
        return jacobian(self.answers.weights, self.answers.design["train"])

    @cached_property
    def z(self) -> Floats:
        """[N] training log-odds."""
        return logit(self.answers.weights, self.answers.design["train"])

    @cached_property
    def p(self) -> Floats:
        """[N] probabilities."""
        return expit(self.z)

    @property
    def is_affine(self) -> bool:
        """Whether the log-odds are affine in the parameters."""
        return "linear.weight" in self.answers.weights

    @cached_property
    def curvature(self) -> Floats:
        """[D, D] Gauss-Newton matrix without penalty."""
        return (self.rows * (self.p * (1 - self.p) / len(self.rows))[:, None]).T @ self.rows

    @property
    def l2(self) -> float:
        """The model's own penalty."""
        return float(self.world.policy["model"]["training"]["l2"])

    @cached_property
    def damping(self) -> float:
        """What lifts the penalty to a stated share of the mean eigenvalue, or further to the nearest optimum.

        Of penalties in eighths of a decade, the one whose step to its optimum changes the outputs least:
        (g + d theta)' H⁻¹ G H⁻¹ (g + d theta), H = G + (l2 + d) I. Between the two in equal factors, by `share`.
        """
        share = AFFINE_SHARE if self.is_affine else GENERAL_SHARE
        least = max(0.0, share * float(np.trace(self.curvature)) / len(self.curvature) - self.l2)
        if self.is_affine:
            return least
        return float((self.l2 + least) ** (1 - self.share) * (self.l2 + self._nearest(least)) ** self.share - self.l2)

    def _nearest(self, least: float) -> float:
        eigenvalues, basis = np.linalg.eigh(self.curvature)
        gradient = basis.T @ objective_gradient(self.world, self.answers)
        theta = basis.T @ parameters(self.answers.weights)
        tried = [least] + [(self.l2 + least) * 10 ** (k / 8) - self.l2 for k in range(1, 33)]
        moved = [(eigenvalues * ((gradient + d * theta) / (eigenvalues + self.l2 + d)) ** 2).sum() for d in tried]
        return tried[int(np.argmin(moved))]

    def inverse(self, times: float = 1.0) -> Floats:
        """H^-1 under a multiple of penalty and damping."""
        return np.linalg.inv(self.curvature + times * (self.l2 + self.damping) * np.eye(len(self.curvature)))

    @cached_property
    def gradients(self) -> Floats:
        """[D, S] of the measures in the parameters."""
        rows, p = jacobian(self.answers.weights, self.answers.design["evaluation"]), self.evaluation_p
        per_record = {"loss": p - self.world.label("evaluation"), "score": p * (1 - p)}
        return np.column_stack([rows.T @ (m.weights * per_record[m.quantity]) for m in self.measures])

    @cached_property
    def evaluation_z(self) -> Floats:
        """[M] evaluation log-odds."""
        return logit(self.answers.weights, self.answers.design["evaluation"])

    @property
    def evaluation_p(self) -> Floats:
        """[M] evaluation probabilities."""
        return expit(self.evaluation_z)

    def values(self, z: Floats) -> Floats:
        """[..., S] the measures at log-odds [..., M]."""
        y = self.world.label("evaluation")
        quantities = {"loss": np.logaddexp(0.0, z) - y * z, "score": expit(z)}
        return np.stack([quantities[m.quantity] @ m.weights for m in self.measures], axis=-1)

    def first_order(self, times: float = 1.0) -> Removals:
        """Effects along the Newton step, linear in the measure."""
        n, r, w = len(self.rows), self.p - self.world.label("train"), self.p * (1 - self.p)
        solved = self.rows @ self.inverse(times)
        gram = np.einsum("nd,nd->n", solved, self.rows)
        q = r / (1 - w * gram / n)
        moved = self.z + gram * q / n
        return Removals((q / n)[:, None] * (solved @ self.gradients), self._own(moved), r**2 * gram)

    def removals(self) -> Removals:
        """Effects in the form that the model allows."""
        return self._stepped() if self.is_affine else self.first_order()

    def _own(self, moved: Floats) -> Floats:
        y = self.world.label("train")
        return np.logaddexp(0, moved) - y * moved - np.logaddexp(0, self.z) + y * self.z

    def _stepped(self) -> Removals:
        parts = list(self._blocks(self.inverse()))
        effects, own = (np.concatenate(column) for column in zip(*parts, strict=True))
        return Removals(effects, own, self.first_order().plain)

    def _blocks(self, inverse: Floats) -> Iterator[tuple[Floats, Floats]]:
        """Effects and own changes of a block of records at the parameters stepped to second order."""
        n, w = len(self.rows), self.p * (1 - self.p)
        third, y = w * (1 - 2 * self.p), self.world.label("train")
        at_evaluation = jacobian(self.answers.weights, self.answers.design["evaluation"])
        before = self.values(self.evaluation_z)
        for start in range(0, n, BLOCK):
            at = np.arange(start, min(start + BLOCK, n))
            j = self.rows[at]
            solved = j @ inverse
            share = w[at] / n / (1 - w[at] * np.einsum("bd,bd->b", solved, j) / n)
            first = solved * ((self.p[at] - y[at]) * share / w[at])[:, None]
            bent = third[:, None] * (self.rows @ first.T) ** 2
            bent[at, np.arange(len(at))] = 0.0
            pull = (-0.5 / n) * (self.rows.T @ bent).T @ inverse
            second = pull + solved * (share * np.einsum("bd,bd->b", j, pull))[:, None]
            step = first + second
            left_out = np.linalg.norm(second, axis=1) > np.linalg.norm(first, axis=1)
            left_out |= self._moved(j, step, at) < -1e-12
            step = np.where(left_out[:, None], first, step)
            yield self.values(self.evaluation_z + step @ at_evaluation.T) - before, self._moved(j, step, at)

    def _moved(self, j: Floats, step: Floats, at: np.ndarray[Any, Any]) -> Floats:
        y, z = self.world.label("train")[at], self.z[at]
        moved = z + np.einsum("bd,bd->b", j, step)
        return np.logaddexp(0, moved) - y * moved - np.logaddexp(0, z) + y * z


def expected_influence(dense: Dense, removals: Removals) -> dict[str, Any]:
    """The part `influence`."""
    n, size = dense.rows.shape
    values = dense.values(dense.evaluation_z)
    slices = []
    for k, measure in enumerate(dense.measures):
        slices.append(_slice(dense.world, measure, removals.effects[:, k], float(values[k])))
    return {
        "damping": dense.damping, "parameters": size, "covered_share": 1.0, "n_train": n,
        "why_estimator": Says(size, 30_000), "weight_decay": Says(dense.l2), "slices": slices,
        "quality": _quality(dense, removals),
    }  # fmt: skip


def _slice(world: World, measure: Measure, effects: Floats, value: float) -> dict[str, Any]:
    top = int(np.ceil(0.01 * len(effects)))
    deep = 0.01 * len(effects) >= MINIMUM_CELL
    raises, lowers = (float(q) if deep else None for q in np.quantile(effects, [0.99, 0.01]))
    carried = float(np.sort(np.abs(effects))[-top:].sum() / np.abs(effects).sum()) if deep else None
    stated = world.policy.get("slices", {}).get(measure.name, {})
    return {
        "name": measure.name, "kind": measure.kind, "n": _told(world, measure), "value": value, "p99_raises": raises,
        "p99_lowers": lowers, "share_in_top_1pct": carried, "compositions": compositions(world, effects),
        "where": stated.get("where", ""), "why": Says(names=(stated.get("why", ""), *_labels(world))),
    }  # fmt: skip


def _told(world: World, measure: Measure) -> int | None:
    """The count; of a gap only where every group of its attribute, and unknown membership, reaches the minimum cell."""
    if measure.kind != "gap":
        return measure.n
    (attribute,) = (a for a in world.attributes if measure.name.startswith(f"{a.name}: "))
    counts = np.unique(attribute.codes["evaluation"], return_counts=True)[1]
    return None if any(0 < count < MINIMUM_CELL for count in counts) else measure.n


def _labels(world: World) -> list[str]:
    return [label for attribute in world.attributes for label in attribute.labels]


def _quality(dense: Dense, removals: Removals) -> list[dict[str, Any]]:
    """Coverage, gradient norm, distance to the optimum, overlap across a decade of damping, and bounds that hold."""
    size = dense.rows.shape[1]
    gradient, inverse = objective_gradient(dense.world, dense.answers), dense.inverse()
    norm, typical = float(np.linalg.norm(gradient)), float(np.sqrt(removals.plain.mean() / len(dense.rows) ** 2))
    distance: float | Near = float(np.sqrt(gradient @ inverse @ gradient)) / typical
    length: float | Near = norm
    if dense.is_affine:
        # At an optimum both are rounding: bounded by the solver's tolerance over the smallest eigenvalue of H.
        length, distance = Near(0.0, 1e-10), Near(0.0, 1e-10 / np.sqrt(dense.l2) / typical)
    here, there = dense.first_order().effects, dense.first_order(10.0).effects
    count = max(10, len(here) // 100)
    overlap = np.sort([len(np.intersect1d(_top(a, count), _top(b, count))) / count
                       for a, b in zip(here.T, there.T, strict=True)])  # fmt: skip
    median = overlap[(len(overlap) - 1) // 2]
    found = [
        ("damping", dense.damping, Says(dense.share)),
        *_ranked(dense),
        ("parameters covered", 1.0, Says(size)),
        ("gradient norm", length, Says(0)),
        ("distance to optimum", distance, Says(1)),
        ("weight decay", None, _decay(dense)),
        ("form", None, Says()),
        ("overlap across a decade of damping", float(overlap[0]), Says(float(overlap[0]), float(median))),
        ("self-influence of every record", 0.0, Says(0, len(dense.rows), MINIMUM_CELL)),
    ]
    return [{"name": name, "value": value, "text": text} for name, value, text in found]


def _decay(dense: Dense) -> Says:
    residual = dense.p - dense.world.label("train")
    weights = dense.answers.weights
    names = ("linear.weight", "linear.bias", "hidden.0.weight", "hidden.0.bias", "out.weight", "out.bias")
    shapes = [weights[name].shape for name in names if name in weights]
    return decay_figures(dense.rows * residual[:, None], parameters(weights), shapes, dense.l2)


def _ranked(dense: Dense) -> list[tuple[str, float, Says]]:
    if not dense.ranked:
        return []
    return [("damping on models for fitting", max(dense.ranked), Says(*dense.ranked, *SHARES, dense.fitting))]


def _top(effects: Floats, count: int) -> Any:
    return np.argsort(-np.abs(effects))[:count]
