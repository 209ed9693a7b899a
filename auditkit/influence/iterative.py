"""A curvature that is never formed: each answer is solved for, by an iteration over products with it.

    H = G + diag(penalty),   penalty = the model's own L2 + damping        (G: `products`)

Measures cost one column each. Self-influence and the Newton step need a quadratic form of H⁻¹ for every record, which
no single solve gives. Two routes, the cheaper taken: H⁻¹ itself, solved for once as D columns (D ≤ 2048); or P columns
for each record (P = 1 first-order, C with the Newton step). The work is stated beforehand and refused above a limit:
it grows with N² on the second route, where `ekfac` or `arnoldi` answer in one pass. Where self-influence is not asked
for, first-order scores take no solve for any record (`across`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from auditkit.errors import Complaint, ModelError, NumericsError
from auditkit.influence.damping import Damping, added_damping, floor
from auditkit.influence.jacobian import is_affine, output_jacobian, rows_that_fit
from auditkit.influence.mixing import mixed_gradients
from auditkit.influence.problem import Inputs, Problem
from auditkit.influence.products import GaussNewton
from auditkit.influence.sequences import root_quality
from auditkit.result import Quality

_OPERATIONS_PER_PRODUCT = 10.0
_INVERSE_PARAMETERS = 2048
_MIXED = 8


@dataclass
class Journal:
    """What the solves so far had to say; the one thing here that changes."""

    systems: int = 0
    iterations: int = 0
    """The most of any system."""
    error: float = 0.0
    """The largest of any system, in the measure that the solver states."""
    spread: float = 0.0
    """Largest relative standard error of a system's answer, where the solver samples."""

    def note(self, *, systems: int, iterations: int, error: float, spread: float = 0.0) -> None:
        """Add one block of systems."""
        self.systems += systems
        self.iterations = max(self.iterations, iterations)
        self.error = max(self.error, error)
        self.spread = max(self.spread, spread)


class Solver(Protocol):
    """One iteration for H x = b, ready for one H."""

    def solve(self, vectors: Tensor, journal: Journal) -> Tensor:
        """H⁻¹ vectors, [D, K] -> [D, K]. Raises NumericsError where the answer is not reached."""
        ...

    def stiffer(self, factor: float) -> Solver:
        """The same for G + factor · diag(penalty)."""
        ...

    def on(self, operator: GaussNewton) -> Solver:
        """The same with products by another operator of the same G."""
        ...

    def quality(self, journal: Journal) -> tuple[Quality, ...]:
        """The journal in words."""
        ...


@dataclass(frozen=True)
class IterativeCurvature:
    """G, its penalty and the iteration that inverts their sum."""

    operator: GaussNewton
    solver: Solver
    added: float
    """Damping."""
    trial: int
    """Iterations that the trial column took; the measure of what others will take."""
    leverage_bound: float
    operations: float
    """Most floating-point operations that quadratic forms of all records may take."""
    journal: Journal = field(default_factory=Journal)

    @property
    def problem(self) -> Problem:
        """The posed problem."""
        return self.operator.problem

    @property
    def damping(self) -> Mapping[str, float]:
        """Damping beyond the model's own L2."""
        return {"all": self.added}

    @property
    def covered(self) -> int:
        """All trainable parameters."""
        return self.problem.layout.size

    @property
    def knows_leverage(self) -> bool:
        """Whether C columns for each record are within the limit."""
        return self._work(self.problem.classes) <= self.operations

    def solve(self, vectors: Tensor) -> Tensor:
        """H⁻¹ vectors, in blocks of columns that fit."""
        blocks = torch.split(vectors.to(torch.float64), rows_that_fit(len(vectors)), dim=1)
        return torch.cat([self.solver.solve(block, self.journal) for block in blocks], dim=1)

    def probe(self, inputs: Inputs, probes: Tensor | None, directions: Tensor) -> tuple[Tensor, Tensor]:
        """Both products from dense Jacobians, a few records at a time.

        Raises:
            ModelError: the quadratic forms of all records would take more than `operations`.
        """
        self._require_affordable(self.problem.classes if probes is None else probes.shape[2])
        size = rows_that_fit(self.problem.classes * self.problem.layout.size)
        crosses, grams = [], []
        for start in range(0, len(inputs[0]), size):
            jacobian = output_jacobian(self.problem, tuple(t[start : start + size] for t in inputs))
            if probes is not None:
                jacobian = probes[start : start + size].transpose(1, 2) @ jacobian
            crosses.append(jacobian @ directions)
            grams.append(self._gram(jacobian))
        return torch.cat(crosses), torch.cat(grams)

    def across(self, inputs: Inputs, probes: Tensor, directions: Tensor) -> Tensor:
        """[B, P, S] probesᵀ J directions alone, by forward mode: no record takes a solve or a gradient."""
        return probes.transpose(1, 2) @ self.operator.push(inputs, directions)

    def mean_length(self) -> float:
        """Mean over records, each counting w_n, of rᵀ J H⁻¹ Jᵀ r, from eight solves (`mixing`)."""
        mixed = mixed_gradients(self.operator, _MIXED)
        mass = float(self.problem.processes.sum(self.problem.weights.sum()))
        return float((mixed * self.solve(mixed)).sum()) / (_MIXED * mass) if mass > 0 else 0.0

    def quality(self) -> tuple[Quality, ...]:
        """What the solver reached so far, in all processes; each of them asks."""
        self.settle()
        return (*self.solver.quality(self.journal), *root_quality(self.operator.problem))

    @cached_property
    def alone(self) -> IterativeCurvature:
        """For systems of this process's own records, which other processes do not solve; itself without others."""
        operator = self.operator.alone()
        if operator is self.operator:
            return self
        return replace(self, operator=operator, solver=self.solver.on(operator), journal=Journal())

    def settle(self) -> None:
        """Enter what processes solved each for itself into the journal of all; every process meets here."""
        processes = self.problem.processes
        if processes.size == 1:
            return
        noted, self.alone.journal.systems = self.alone.journal, 0
        systems = int(processes.sum(torch.tensor([noted.systems])))
        worst = torch.tensor([noted.iterations, noted.error, noted.spread], dtype=torch.float64)
        iterations, error, spread = processes.maximum(worst).tolist()
        self.journal.note(systems=systems, iterations=int(iterations), error=error, spread=spread)

    def stiffer(self, factor: float) -> IterativeCurvature:
        """The same G under `factor` times the penalty, with a journal of its own."""
        return replace(self, solver=self.solver.stiffer(factor), journal=Journal())

    def _gram(self, jacobian: Tensor) -> Tensor:
        """[B, P, P] from rows [B, P, D]."""
        if self._by_inverse:
            return jacobian @ self._inverse @ jacobian.transpose(1, 2)
        flat = jacobian.reshape(-1, jacobian.shape[2])
        gram = jacobian @ self.alone.solve(flat.T).T.reshape(jacobian.shape).transpose(1, 2)
        return (gram + gram.transpose(1, 2)) / 2

    @cached_property
    def _inverse(self) -> Tensor:
        """[D, D] H⁻¹."""
        eye = torch.eye(self.problem.layout.size, dtype=torch.float64, device=self.problem.targets.device)
        solved = self.solve(eye)
        return (solved + solved.T) / 2

    @property
    def _by_inverse(self) -> bool:
        size = self.problem.layout.size
        return size <= _INVERSE_PARAMETERS and size <= self.problem.n * self.problem.classes

    def _work(self, probes: int) -> float:
        """Operations that the quadratic forms of all records take."""
        size, n = self.problem.layout.size, self.problem.n
        columns = size if self._by_inverse else n * probes
        return columns * self.trial * _OPERATIONS_PER_PRODUCT * n * size

    def _require_affordable(self, probes: int) -> None:
        work = self._work(probes)
        if work > self.operations:
            n, size = self.problem.n, self.problem.layout.size
            raise ModelError(
                Complaint(
                    f"self-influence of {n:,} records with {size:,} parameters by one solve each would take about "
                    f"{work:.0e} operations, more than {self.operations:.0e}",
                    hint="set influence.estimator to arnoldi or ekfac, which need one pass for all records, or leave "
                    "self-influence out (attribute with self_influence=False)",
                )
            )


def with_damping(operator: GaussNewton, damping: Damping, make: Maker) -> tuple[Solver, float, int]:
    """The solver under the damping wanted (with `auto`, lifted to the floor where H proves singular), and its trial.

    A curvature that is never formed shows that it is singular only when a solve fails, so one column (cosines, which no
    simple pattern is orthogonal to) is solved for beforehand.

    Raises:
        NumericsError: that column is not reached with the damping given (with `auto`: not even with its floor).
    """
    problem = operator.problem
    mean, affine = float(operator.diagonal.mean()), is_affine(problem)
    added = added_damping(damping, mean_eigenvalue=mean, penalty=float(problem.penalty.max()), affine=affine)
    column = torch.cos(torch.arange(problem.layout.size, dtype=torch.float64, device=problem.targets.device))
    lifted = max(added, floor(mean, affine=affine))
    singular = float(problem.penalty.min()) + added == 0
    try:
        return _tried(make(operator, problem.penalty + added), added, column)
    except NumericsError:
        if damping != "auto" or not singular or lifted == added:
            raise
        return _tried(make(operator, problem.penalty + lifted), lifted, column)


def _tried(solver: Solver, added: float, column: Tensor) -> tuple[Solver, float, int]:
    journal = Journal()
    solver.solve(column.unsqueeze(1), journal)
    return solver, added, max(1, journal.iterations)


class Maker(Protocol):
    """Builds a solver for G + diag(penalty)."""

    def __call__(self, operator: GaussNewton, penalty: Tensor) -> Solver:
        """[D] penalty."""
        ...
