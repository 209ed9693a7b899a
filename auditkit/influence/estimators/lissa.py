"""`lissa`: the truncated Neumann series of H⁻¹, by a recursion over products with the curvature.

    v ← g + (I − H / scale) v,   H⁻¹ g = v / scale,   H = G + diag(lambda + damping)

converges where scale exceeds half of H's largest eigenvalue, and monotonically where it exceeds all of it. The scale is
therefore not guessed: it is `margin` times the largest eigenvalue of G by block power iteration from a fixed start
(never above the trace of G, which bounds it), plus the largest penalty. In full-batch form nothing is random, and the
recursion stops when a bound on its error is met: with mu > 0 the smallest penalty, |x − H⁻¹g| ≤ |g − Hx| / mu; without
(an unpenalised parameter, no damping) ten times the error that the observed rate of convergence implies.

With `sample` records drawn for each step (with replacement, from `seed`) the scale grows by R / sample, R the largest
single record's eigenvalue, so that the steps stay contractive in mean square; the answer is the mean of the last half
of the steps, over `repeats` runs, and its standard error over the runs is stated. It then depends on the row order.

Source: Agarwal, Bullins & Hazan 2017; Koh & Liang 2017, section 3. Cost: one product a step (10·N·D operations a
column; 10·sample·D when sampled) and up to scale/mu · log(scale / (mu · tolerance)) steps, foreseen and refused above
`most`: `cg` needs about the square root of that. Self-influence: see `iterative`.

Wrong when: H is ill conditioned (refused), or a sampled answer is read without its standard error.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil, log

import torch
from torch import Tensor

from auditkit.errors import Complaint, NumericsError
from auditkit.influence.damping import Damping
from auditkit.influence.iterative import IterativeCurvature, Journal, with_damping
from auditkit.influence.problem import Problem
from auditkit.influence.products import HELD, GaussNewton
from auditkit.result import Quality

_POWER_COLUMNS = 4
_POWER_STEPS = 200
_CHECK_EVERY = 16
_RATE_MARGIN = 10.0
_NOISY = 0.1
"""Relative standard error of a sampled answer above which the report warns."""


@dataclass(frozen=True)
class Lissa:
    """Settings of the LiSSA estimator."""

    damping: Damping = "auto"
    tolerance: float = 1e-4
    """Relative error aimed at (of the expectation, when sampled)."""
    sample: int | None = None
    """Records per step; None takes all of them, and nothing is random."""
    repeats: int = 4
    """Independent runs, when sampled; at least 2."""
    seed: int = 0
    margin: float = 1.1
    most: int = 100_000
    """Most steps of one run."""
    held: int = HELD
    """Numbers of the root Jacobian up to which it is formed once."""
    operations: float = 2e13
    """Most operations for the quadratic forms of all records."""

    def fit(self, problem: Problem) -> IterativeCurvature:
        """Bound the spectrum and solve one column as a test.

        Raises:
            NumericsError: the recursion diverges or would need more than `most` steps.
            ModelError: the loss is not convex in the outputs.
        """
        operator = GaussNewton.of(problem, held=self.held)
        largest = self.margin * largest_eigenvalue(operator)
        # The trace bounds the largest eigenvalue from above, whatever power iteration has found.
        largest = min(largest, float(operator.diagonal.sum()))
        if self.sample is not None:
            largest += operator.largest / self.sample

        def make(operator: GaussNewton, penalty: Tensor) -> Neumann:
            return Neumann(operator, penalty, largest, self)

        solver, added, trial = with_damping(operator, self.damping, make)
        return IterativeCurvature(operator, solver, added, trial, 1 - 10 * self.tolerance, self.operations)


def largest_eigenvalue(operator: GaussNewton) -> float:
    """Of G, from below, by block power iteration from cosines until it changes by less than 1e-3."""
    size = operator.problem.layout.size
    places = torch.arange(size, dtype=torch.float64, device=operator.problem.targets.device)
    block = torch.stack([torch.cos((k + 1) * places + k) for k in range(min(_POWER_COLUMNS, size))], dim=1)
    value = 0.0
    for _ in range(_POWER_STEPS):
        block = torch.linalg.qr(block).Q
        moved = operator.product(block)
        small = block.T @ moved
        before, value = value, float(torch.linalg.eigvalsh((small + small.T) / 2)[-1])
        if value <= 0 or abs(value - before) <= 1e-3 * value:
            break
        block = moved
    return max(value, 0.0)


@dataclass(frozen=True)
class Neumann:
    """The recursion for one H."""

    operator: GaussNewton
    penalty: Tensor
    """[D]"""
    largest: float
    """Bound on the eigenvalues of G (with the allowance for sampling)."""
    settings: Lissa

    @property
    def scale(self) -> float:
        """Bound on the eigenvalues of H."""
        return self.largest + float(self.penalty.max())

    @property
    def least(self) -> float:
        """Mu: no eigenvalue of H is smaller."""
        return float(self.penalty.min())

    @property
    def iterations(self) -> float:
        """Steps that are certain to suffice; `most` where nothing is certain."""
        if self.least <= 0:
            return float(self.settings.most)
        ratio = self.scale / self.least
        return ceil(ratio * log(max(2.0, ratio / self.settings.tolerance)))

    def solve(self, vectors: Tensor, journal: Journal) -> Tensor:
        """H⁻¹ vectors.

        Raises:
            NumericsError: the recursion diverges, or does not reach the tolerance within `most` steps.
        """
        if self.iterations > self.settings.most or self.scale <= 0:
            self._refuse(f"may need {self.iterations:,.0f} steps, more than {self.settings.most:,}")
        if self.settings.sample is not None:
            return self._sampled(vectors, self.settings.sample, journal)
        # More columns than parameters: the inverse first, as D columns; then only what it leaves is worked on.
        if vectors.shape[1] > len(vectors):
            return self._whole(vectors, self._inverse @ vectors, journal)
        return self._whole(vectors, torch.zeros_like(vectors), journal)

    def stiffer(self, factor: float) -> Neumann:
        """The same for a multiplied penalty."""
        return replace(self, penalty=self.penalty * factor)

    def quality(self, journal: Journal) -> tuple[Quality, ...]:
        """Error and steps; the standard error where steps were sampled."""
        if self.settings.sample is None:
            text = (
                f"Largest relative error, as bounded, of {journal.systems:,} linear systems solved by LiSSA on all "
                f"records in at most {journal.iterations:,} steps; stated limit {self.settings.tolerance:.0e}."
            )
            return (Quality(name="solver error", value=journal.error, text=text),)
        text = (
            f"Largest relative standard error of {journal.systems:,} linear systems solved by LiSSA on samples of "
            f"{self.settings.sample:,} records, over {self.settings.repeats} runs of {journal.iterations:,} steps "
            f"(seed {self.settings.seed}); largest relative residual on all records {journal.error:.1e}."
        )
        return (Quality(name="solver standard error", value=journal.spread, text=text, warns=journal.spread > _NOISY),)

    @cached_property
    def _inverse(self) -> Tensor:
        eye = torch.eye(len(self.penalty), dtype=torch.float64, device=self.penalty.device)
        return self._whole(eye, torch.zeros_like(eye), Journal())

    def _whole(self, vectors: Tensor, answer: Tensor, journal: Journal) -> Tensor:
        """All records at each step, from an answer at hand.

        Every column takes the same steps until all have met their bound: from zero the result is one polynomial in H
        for all of them, whose error lies along the small eigenvalues, and stays there in sums of columns.
        """
        start, count = vectors.norm(dim=0), 0
        left = start
        while True:
            step = vectors - self._curve(answer)
            before, left = left, step.norm(dim=0)
            if count % _CHECK_EVERY == 0:
                # With scale above the spectrum residuals only fall; a rise is divergence, and NaN compares as one.
                if not bool((left <= start * (1 + 1e-6)).all()):
                    self._refuse(f"diverged after {count:,} steps (scale {self.scale:.3g})")
                error = self._error(left, before, answer.norm(dim=0))
                if bool((error <= self.settings.tolerance).all()):
                    break
            if count >= self.settings.most:
                self._refuse(f"did not reach a relative error of {self.settings.tolerance:.0e} in {count:,} steps")
            answer = answer + step / self.scale
            count += 1
        journal.note(systems=vectors.shape[1], iterations=count, error=float(error.max()))
        return answer

    def _error(self, left: Tensor, before: Tensor, length: Tensor) -> Tensor:
        """[K] bound on the relative error; the residuals are one step apart. A zero column has none."""
        tiny = torch.finfo(torch.float64).tiny
        if self.least > 0:
            return left / (self.least * length).clamp(min=tiny)
        slow = (1 - left / before.clamp(min=tiny)).clamp(min=1e-12)
        return _RATE_MARGIN * left / (self.scale * slow * length).clamp(min=tiny)

    def _sampled(self, vectors: Tensor, sample: int, journal: Journal) -> Tensor:
        """Mean over runs of the mean of the last half of the steps."""
        n, device = self.operator.problem.n, vectors.device
        steps = 2 * int(self.iterations)
        limit = 1e3 * vectors.norm() / self.least if self.least > 0 else torch.tensor(float("inf"))
        runs = []
        for run in range(max(2, self.settings.repeats)):
            generator = torch.Generator().manual_seed(self.settings.seed + run)
            answer, total = torch.zeros_like(vectors), torch.zeros_like(vectors)
            for count in range(steps):
                rows = torch.randint(n, (sample,), generator=generator).to(device)
                answer += (vectors - self._curve(answer, rows)) / self.scale
                if count >= steps // 2:
                    total += answer
                if count % _CHECK_EVERY == 0 and not bool(answer.norm() <= limit):
                    self._refuse(f"diverged after {count:,} sampled steps (scale {self.scale:.3g})")
            runs.append(total / (steps - steps // 2))
        stack = torch.stack(runs)
        mean = stack.mean(0)
        length = mean.norm(dim=0).clamp(min=torch.finfo(torch.float64).tiny)
        spread = (stack.std(0) / len(runs) ** 0.5).norm(dim=0) / length
        scale = vectors.norm(dim=0).clamp(min=torch.finfo(torch.float64).tiny)
        error = self._residual(vectors, mean).norm(dim=0) / scale
        journal.note(systems=vectors.shape[1], iterations=steps, error=float(error.max()), spread=float(spread.max()))
        return mean

    def _curve(self, vectors: Tensor, rows: Tensor | None = None) -> Tensor:
        return self.operator.product(vectors, rows) + self.penalty.unsqueeze(1) * vectors

    def _residual(self, vectors: Tensor, answer: Tensor) -> Tensor:
        return vectors - self._curve(answer)

    def _refuse(self, how: str) -> None:
        raise NumericsError(
            Complaint(
                f"the LiSSA recursion {how}",
                hint="set influence.damping to a larger number, or influence.estimator to cg",
            )
        )
