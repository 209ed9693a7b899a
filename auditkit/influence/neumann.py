"""The truncated Neumann series of H⁻¹ on all records or on samples of them; formulas and bounds: `estimators.lissa`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from math import ceil, log
from typing import Literal

import torch
from torch import Tensor

from auditkit.errors import Complaint, NumericsError
from auditkit.influence.chebyshev import chebyshev, steps_for
from auditkit.influence.iterative import Journal
from auditkit.influence.krylov import krylov_basis
from auditkit.influence.products import GaussNewton
from auditkit.result import Quality

_CHECK_EVERY = 16
_RATE_MARGIN = 10.0
_RITZ = 48
_SHRINK = 10.0
_SLOW, _STALLED = 0.9, 0.99
_NOISY = 0.1
"""Relative standard error of a sampled answer above which the report warns."""


@dataclass(frozen=True)
class Series:
    """How the series is summed."""

    tolerance: float = 1e-4
    """Relative error aimed at (of the expectation, when sampled)."""
    sample: int | None = None
    """Records per step; None takes all of them, and nothing is random."""
    repeats: int = 4
    """Independent runs, when sampled; at least 2."""
    seed: int = 0
    acceleration: Literal["chebyshev", "none"] = "chebyshev"
    """Weights of the terms of the series, when not sampled."""
    most: int = 100_000
    """Most steps of one run."""


@dataclass(frozen=True)
class Neumann:
    """The recursion for one H."""

    operator: GaussNewton
    penalty: Tensor
    """[D]"""
    largest: float
    """Bound on the eigenvalues of G (with the allowance for sampling)."""
    settings: Series

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
        wanted = max(2.0, self.scale / (self.least * self.settings.tolerance))
        if self._is_plain:
            return ceil(self.scale / self.least * log(wanted))
        return steps_for(wanted, lower=self.least, upper=self.scale)

    @property
    def _is_plain(self) -> bool:
        return self.settings.sample is not None or self.settings.acceleration == "none"

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

    def on(self, operator: GaussNewton) -> Neumann:
        """The same with products by another operator of the same G."""
        return replace(self, operator=operator)

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
        start, count, lower = vectors.norm(dim=0), 0, self._lower
        left = self._residual(vectors, answer)
        error, steps = self._certain(left, answer), self._steps(answer, left, lower)
        while not bool((error <= self.settings.tolerance).all()):
            stride = min(self._stride(lower), int(min(self.settings.most, 2 * self.iterations)) - count)
            if stride <= 0:
                self._refuse(f"did not reach a relative error of {self.settings.tolerance:.0e} in {count:,} steps")
            moved = next(islice(steps, stride - 1, None))
            after, count = self._residual(vectors, moved), count + stride
            # With scale above the spectrum no step lengthens a residual; a rise is divergence, and NaN compares as one.
            if not bool((after.norm(dim=0) <= start * (1 + 1e-6)).all()):
                self._refuse(f"diverged after {count:,} steps (scale {self.scale:.3g})")
            if self.least > 0:
                error = self._certain(after, moved)
            else:
                rate = after.norm(dim=0) / left.norm(dim=0).clamp(min=torch.finfo(torch.float64).tiny)
                error = self._observed(rate, moved - answer, moved)
                lower = self._lowered(lower, float(rate.max()), count)
                steps = self._steps(moved, after, lower)
            answer, left = moved, after
        journal.note(systems=vectors.shape[1], iterations=count, error=float(error.max()))
        return answer

    def _steps(self, answer: Tensor, left: Tensor, lower: float) -> Iterator[Tensor]:
        return chebyshev(self._curve, answer, left, lower=self.scale if self._is_plain else lower, upper=self.scale)

    def _stride(self, lower: float) -> int:
        """Steps between looks at the error; without a certain bound, those of one polynomial."""
        if self.least > 0 or self._is_plain:
            return _CHECK_EVERY
        return max(_CHECK_EVERY, steps_for(_SHRINK, lower=lower, upper=self.scale))

    @cached_property
    def _lower(self) -> float:
        """The lower end of the spectrum: mu, or half of the smallest Ritz value where mu is zero."""
        if self.least > 0 or self._is_plain:
            return max(self.least, 0.0)
        places = torch.arange(len(self.penalty), dtype=torch.float64, device=self.penalty.device)
        generator = torch.Generator().manual_seed(self.settings.seed)
        start = torch.cos(places).unsqueeze(1)
        _, projected = krylov_basis(self._curve, start, columns=_RITZ, generator=generator)
        return min(max(0.5 * float(torch.linalg.eigvalsh(projected)[0]), self._lowest), self.scale / 2)

    @property
    def _lowest(self) -> float:
        """No lower end is worth assuming that would take more than `most` steps."""
        return self.scale * min(0.25, (_SHRINK / self.settings.most) ** 2)

    def _lowered(self, lower: float, rate: float, count: int) -> float:
        """The next guess of the lower end, after a polynomial that shortened the residual by `rate`."""
        if self._is_plain or rate <= _SLOW:
            return lower
        if lower <= self._lowest and rate > _STALLED:
            self._refuse(
                f"did not reach a relative error of {self.settings.tolerance:.0e}: it stalls after {count:,} steps, so "
                "the curvature may be singular"
            )
        return max(lower / _SHRINK, self._lowest)

    def _certain(self, left: Tensor, answer: Tensor) -> Tensor:
        """[K] bound on the relative error from residuals [D, K]; a zero column has none."""
        if self.least <= 0:
            unknown: Tensor = torch.where(left.norm(dim=0) > 0, float("inf"), 0.0)
            return unknown
        length = (answer.norm(dim=0) * self.least).clamp(min=torch.finfo(torch.float64).tiny)
        bound: Tensor = left.norm(dim=0) / length
        return bound

    def _observed(self, rate: Tensor, change: Tensor, answer: Tensor) -> Tensor:
        """[K] estimate of the relative error from what the last polynomial still changed."""
        tiny = torch.finfo(torch.float64).tiny
        slow = (1 - rate).clamp(min=1e-12)
        moved = change.norm(dim=0).div(answer.norm(dim=0).clamp(min=tiny))
        return rate.div(slow).mul(moved).mul(_RATE_MARGIN)

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
