"""Scores of one part of the table, through the same code as scores of a table in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from auditkit.influence.bounds import OwnCheck
from auditkit.influence.curvature import Curvature
from auditkit.influence.measures import Evaluation, Measure, measure_gradients
from auditkit.influence.problem import Problem
from auditkit.influence.quality import step_form
from auditkit.influence.scoring import Form, Scores, prepared
from auditkit.pieces import Nothing
from auditkit.processes import ALONE
from auditkit.result import Quality

_NEWTON_OUTPUTS = 32


@dataclass(frozen=True)
class Scored:
    """Of one part, float64."""

    columns: Tensor
    """[B, S + 1] effects on the S measures, self-influence last."""
    gradient: Tensor
    """[D] sum of w_n / N grad l_n."""
    length: float
    """Sum of (w_n / N)² r_nᵀ J_n H⁻¹ J_nᵀ r_n."""
    capped: int
    """Records whose leverage was above the curvature's bound."""
    check: OwnCheck | None
    """What is known of every record's self-influence."""


@dataclass(frozen=True)
class Scorer:
    """What all parts share."""

    curvature: Curvature
    evaluation: Evaluation
    form: Form
    """`newton` where the curvature knows a record's share of it and outputs are few, else `first-order`. Not `stepped`:
    its second-order term sums over all records for each record."""
    rows: Callable[[Problem], Scores]
    """Scores the rows of a part."""
    said: tuple[Quality, ...]
    """What trying the pass on a sample told of its precision."""

    @staticmethod
    def of(
        problem: Problem,
        curvature: Curvature,
        evaluation: Evaluation,
        *,
        pull: Tensor | None,
        tolerance: float,
        top: int,
    ) -> Scorer:
        """Choose the form and prepare what all parts share.

        Args:
            problem: posed on some records; its `total` is N. curvature: fitted. evaluation: the slices.
            pull: see `scoring.score`. tolerance: of the compression of slices. top: largest self-influences of each
            part that are exact, and so those of the table.
        """
        newton = curvature.knows_leverage and problem.classes <= _NEWTON_OUTPUTS
        form: Form = "newton" if newton else "first-order"
        rows = prepared(problem, curvature, evaluation, form=form, pull=pull, tolerance=tolerance, top=top)
        one = rows(first_row(problem))
        return Scorer(curvature, evaluation, form, rows, one.quality)

    @property
    def columns(self) -> int:
        """S + 1."""
        return len(self.evaluation.measures) + 1

    def of_chunk(self, chunk: Problem) -> Scored:
        """Score the rows of a chunk, whose `total` is N."""
        found = self.rows(chunk)
        share = chunk.weights / chunk.n
        if found.gradient is None:
            everyone = Evaluation(chunk.inputs, chunk.targets, (Measure("objective", "loss", share),))
            gradient = measure_gradients(chunk, everyone)[:, 0]
        else:
            gradient = found.gradient - chunk.penalty * chunk.flat()
        return Scored(
            torch.cat([found.effects, found.self_influence.unsqueeze(1)], dim=1),
            gradient,
            float((found.plain_self * share).sum()),
            found.capped,
            found.check,
        )

    def quality(self) -> tuple[Quality, ...]:
        """How effects were evaluated."""
        nobody, asked = torch.zeros(0), OwnCheck("positive", 0.0, 0, 0)
        scores = Scores(nobody, nobody, nobody, nobody, self.form, False, 0, 0, check=asked)
        return (step_form(self.curvature, scores), *self.said)


def first_row(problem: Problem) -> Problem:
    """The problem with the first of its rows only."""
    return replace(
        problem,
        inputs=tuple(t[:1] for t in problem.inputs),
        targets=problem.targets[:1],
        weights=problem.weights[:1],
        processes=ALONE,
        keep=Nothing(),
    )
