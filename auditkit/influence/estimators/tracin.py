"""`tracin`: first-order effect of a record along the training trajectory, from checkpoints; no curvature is inverted.

A step of SGD on F is theta ← theta − eta (1/b sum_{n in batch} w_n grad l_n + lambda theta). Leaving record n out (its
term is dropped, the divisor b stays: removal form `fixed`) moves theta by + eta/b · w_n grad l_n at each step that
would have seen it. An epoch of N/b steps sees it once, so a step moves it by eta/N · w_n grad l_n on average, whatever
the batch size. With what a movement does to the later steps left out, and the measure read along its gradient where the
movement happens,

    score[n, s] = + 1/N sum_c eta_c · grad m_s(theta_c) · w_n grad l_n(theta_c)
    self[n]     = + 1/N sum_c eta_c · w_n |grad l_n(theta_c)|²

over checkpoints c, eta_c the learning rate summed over the steps that checkpoint c stands for (learning rate times
steps for a constant one; with E epochs, one checkpoint an epoch and batches of b that is eta·N/b). Then scores are in
the unit of the measure; with plain learning rates they are those of one step per checkpoint, and only their order
within one run means anything. Positive: leaving the record out raises the measure.

Source: Pruthi et al. 2020, section 3 (TracInCP): N times this score (removing a proponent raises the loss).
Cost: one forward and backward pass a checkpoint beside S passes over the slices. Per-record gradients are not formed
for Linear layers with one position (|d aᵀ|² = |d|²|a|²) and not for slices.

Wrong when: later steps undo or amplify what a record did (long training, strong L2, curvature times eta_c near 1: it is
a surrogate of the trajectory, not of retraining to the optimum), the optimiser is not SGD (with momentum count the
learning rate as eta/(1 − momentum); Adam's steps do not follow the gradient), or checkpoints are sparse.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from auditkit.errors import Complaint, PolicyError
from auditkit.influence.capture import Site, site_matrices, trace, verified_sites
from auditkit.influence.factored import cross, gram
from auditkit.influence.jacobian import output_jacobian, rows_that_fit
from auditkit.influence.kronecker import Basis, Block
from auditkit.influence.layers import names_beside
from auditkit.influence.measures import Evaluation
from auditkit.influence.models import Combined, State, at_state, refuse_shared
from auditkit.influence.problem import Inputs, Problem
from auditkit.influence.scoring import score
from auditkit.result import Quality

SOURCE = "Pruthi et al. 2020"


@dataclass(frozen=True)
class Descent:
    """The curvature of one gradient step: H = I / rate, so that H⁻¹ is the rate. Serves the protocol of `curvature`."""

    problem: Problem
    rate: float
    sites: tuple[Site, ...]
    knows_leverage: bool = False
    """A step has no curvature out of which a record could be taken."""
    leverage_bound: float = 0.0

    @staticmethod
    def of(problem: Problem, rate: float) -> Descent:
        """Find the layers that are served without per-record gradients."""
        return Descent(problem, rate, verified_sites(problem))

    @property
    def damping(self) -> Mapping[str, float]:
        """None is used."""
        return {"all": 0.0}

    @property
    def covered(self) -> int:
        """All trainable parameters."""
        return self.problem.layout.size

    def solve(self, vectors: Tensor) -> Tensor:
        """Rate times vectors."""
        return self.rate * vectors.to(torch.float64)

    def probe(self, inputs: Inputs, probes: Tensor | None, directions: Tensor) -> tuple[Tensor, Tensor]:
        """probesᵀ J directions and rate · probesᵀ J Jᵀ probes, as sums over layers."""
        seen = trace(self.problem, self.sites, inputs)
        rows, device = len(seen.outputs), seen.outputs.device
        eye = torch.eye(self.problem.classes, dtype=torch.float64, device=device)
        wanted = eye.expand(rows, -1, -1) if probes is None else probes
        gradients = seen.gradients(self.sites, wanted)
        crosses = torch.zeros(rows, wanted.shape[2], directions.shape[1], dtype=torch.float64, device=device)
        grams = torch.zeros(rows, wanted.shape[2], wanted.shape[2], dtype=torch.float64, device=device)
        for site in self.sites:
            given, own = seen.inputs(site), gradients[site.name]
            crosses += cross(site, given, own, self._matrices(site, directions))
            grams += gram(site, self._identity[site.name], given, own)
        if self._beside:
            self._add_beside(inputs, wanted, directions, crosses, grams)
        return crosses, grams

    def quality(self) -> tuple[Quality, ...]:
        """Nothing beyond what every run reports."""
        return ()

    def stiffer(self, factor: float) -> Descent:
        """The same step, shorter by the factor."""
        return replace(self, rate=self.rate / factor)

    @cached_property
    def _beside(self) -> tuple[str, ...]:
        return names_beside(self.problem, self.sites)

    @cached_property
    def _identity(self) -> Mapping[str, Block]:
        """Site -> the block whose inverse is the rate in every direction, in the layer's own coordinates."""
        blocks = {}
        for site in self.sites:
            device = self.problem.targets.device
            flat = torch.zeros(site.shape, dtype=torch.float64, device=device)
            axes = Basis(torch.eye(len(flat), dtype=torch.float64, device=device), None)
            blocks[site.name] = Block(axes, flat, 1 / self.rate, 0.0, 0.0)
        return blocks

    def _add_beside(self, inputs: Inputs, probes: Tensor, directions: Tensor, crosses: Tensor, grams: Tensor) -> None:
        """Add what parameters without Kronecker structure contribute, a few records at a time."""
        spans = self.problem.layout.spans()
        along = torch.cat([directions[spans[name]] for name in self._beside])
        size = rows_that_fit(self.problem.classes * len(along))
        for start in range(0, len(probes), size):
            at = slice(start, start + size)
            jacobian = output_jacobian(self.problem, tuple(t[at] for t in inputs), names=self._beside)
            jacobian = probes[at].transpose(1, 2) @ jacobian
            crosses[at] += jacobian @ along
            grams[at] += self.rate * (jacobian @ jacobian.transpose(1, 2))

    def _matrices(self, site: Site, vectors: Tensor) -> Tensor:
        spans = self.problem.layout.spans()
        shapes = dict(zip(self.problem.layout.names, self.problem.layout.shapes, strict=True))
        return site_matrices(
            site, {name: vectors[spans[name]].reshape(*shapes[name], vectors.shape[1]) for name in site.names}
        )


def follow(problem: Problem, evaluation: Evaluation, checkpoints: Sequence[tuple[State, float]]) -> Combined:
    """Effects [N, S] and trajectory self-influence [N], summed over checkpoints.

    Args:
        problem: the posed problem; its own parameters take no part. evaluation: rows and measures.
        checkpoints: (state dict, learning rate summed over the steps it stands for), in any order.

    Raises:
        PolicyError: no checkpoint, or a learning rate that is not a positive finite number.
        ModelError: a state that does not fit the module, or two that share their memory.
        NumericsError: values that are not finite.
    """
    _check(problem, checkpoints)
    effects = own = torch.zeros((), dtype=torch.float64)
    for k, (state, rate) in enumerate(checkpoints):
        moved = at_state(problem, state, what=f"checkpoint {k + 1}")
        found = score(moved, Descent.of(moved, float(rate)), evaluation, form="first-order")
        effects = effects.to(found.effects.device) + found.effects
        own = own.to(found.effects.device) + found.self_influence
    return Combined(effects, own, _in_words(problem, [float(rate) for _, rate in checkpoints]))


def _check(problem: Problem, checkpoints: Sequence[tuple[State, float]]) -> None:
    if not checkpoints:
        raise PolicyError("tracin needs at least one checkpoint")
    wrong = [
        Complaint(f"checkpoint {k + 1}: the learning rate must be a positive finite number, not {rate!r}")
        for k, (_, rate) in enumerate(checkpoints)
        if not (math.isfinite(rate) and rate > 0)
    ]
    if wrong:
        raise PolicyError(wrong)
    refuse_shared(problem, [state for state, _ in checkpoints], what="checkpoints")


def _in_words(problem: Problem, rates: list[float]) -> tuple[Quality, ...]:
    total = sum(rates)
    text = (
        f"First-order surrogate of the training trajectory over {len(rates)} checkpoints; what a removal does to later "
        f"steps is left out, so it is no prediction of retraining to an optimum. Source: {SOURCE}."
    )
    length = (
        f"Learning rate summed over all steps is taken to be {total:g}; if the rates given are not summed over the "
        "steps that each checkpoint stands for, scores keep their order and not their unit."
    )
    found = [Quality(name="form", value=None, text=text), Quality(name="trajectory length", value=total, text=length)]
    if bool(problem.penalty.any()):
        words = "The model's own L2 takes no part: it acts through later steps only, which this method leaves out."
        found.append(Quality(name="weight decay", value=None, text=words))
    return tuple(found)
