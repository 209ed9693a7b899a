"""One pass over the training records for block curvatures: all slices' scores and all self-influences together.

Per batch one forward pass, and one backward pass with r = dl/dz. A layer whose weight meets one row a record (T = 1) is
served from its inputs a [B, i] and loss gradients d [B, o] as they are; the record's gradient d aᵀ is never formed:

    score       dᵀ V_s a                    for all slices in one or two products (`compression.Contraction`)
    own length  sum_jk (d Q_G)_j² M_jk (a Q_A)_k²,  M the inverse block            (`lengths.OwnLength`)
    gradient    sum_n w_n/N d_n a_nᵀ        of the objective, for the report of convergence

All other layers and parameters go through `factored.products` and the curvature's `beside_products`, in the same pass.
Rows and weights meet in the precision of the problem; what is summed over records, and what is returned, is float64.
Nothing leaves the device inside the loop: values are looked at once, at the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from auditkit.influence import factored
from auditkit.influence.blocks import BlockCurvature
from auditkit.influence.capture import Observed, Site, Trace, rows_at_once, trace
from auditkit.influence.compression import Contraction
from auditkit.influence.lengths import OwnLength
from auditkit.influence.likelihood import loss_gradient
from auditkit.influence.pairs import RowPairs
from auditkit.influence.problem import Inputs, Problem, filled
from auditkit.influence.sites.site import AffineSite


@dataclass(frozen=True)
class Swept:
    """What one pass gives, float64, in the order of the rows."""

    cross: Tensor
    """[N, S] grad l_nᵀ V_s."""
    length: Tensor
    """[N] grad l_nᵀ H⁻¹ grad l_n; zeros where it was not asked for."""
    bound: Tensor
    """[N] what no length lies above; infinite where some parameter lies outside the single-row layers."""
    loss: Tensor
    """[N] l_n."""
    gradient: Tensor | None
    """[D] sum_n w_n/N grad l_n; None where some parameter lies outside the single-row layers."""


@dataclass(frozen=True)
class Seen:
    """One forward and one backward pass over B records."""

    trace: Trace
    loss: Tensor
    """[B] float64."""
    slope: Tensor
    """[B, C] float64: r."""
    gradients: Mapping[str, Tensor]
    """Layer -> [B, 1, T, o] gradients of the losses in its outputs."""
    kept: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    """Rows that were asked for."""
    turned: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    """The same in the eigenbasis."""

    @staticmethod
    def of(problem: Problem, layers: Sequence[Observed], inputs: Inputs, targets: Tensor) -> Seen:
        """At the trained parameters, in the precision of the problem."""
        seen = trace(problem, layers, inputs)
        loss, slope = loss_gradient(problem, seen.outputs, targets)
        return Seen(seen, loss, slope, output_gradients(problem, layers, seen, slope))

    def rows(self, site: Observed, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Inputs [B, i] and loss gradients [B, o] of a site that meets one row a record."""
        if site.name not in self.kept:
            self.kept[site.name] = self.trace.inputs(site, dtype)[:, 0], self.gradients[site.name][:, 0, 0]
        return self.kept[site.name]

    def turned_rows(self, site: Observed, form: OwnLength, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """The same in the eigenbasis of the site's block."""
        if site.name not in self.turned:
            self.turned[site.name] = form.turned(*self.rows(site, dtype))
        return self.turned[site.name]


@dataclass(frozen=True)
class Sweep:
    """What all batches of a pass share."""

    problem: Problem
    curvature: BlockCurvature
    directions: Tensor
    """[D, S] V, float64; only the pulls' where there are pairs."""
    contractions: Mapping[str, Contraction]
    """By single-row site."""
    own: Mapping[str, OwnLength]
    """By single-row site; empty where lengths are not asked for."""
    asked: bool = True
    """Whether own lengths are."""
    pairs: RowPairs | None = None
    """What stands for the measures' directions where they rest on few rows (`pairs`); their columns come first."""

    @staticmethod
    def of(problem: Problem, curvature: BlockCurvature, directions: Tensor, *, own: bool = True) -> Sweep:
        """Uncompressed, in the precision of the problem, for directions [D, S]."""
        single, dtype = single_row_sites(problem, curvature.sites), problem.dtype
        contractions = {s.name: Contraction.full(site_directions(problem, s, directions), dtype) for s in single}
        lengths = {s.name: OwnLength.of(curvature.blocks[s.name], dtype) for s in single} if own else {}
        return Sweep(problem, curvature, directions, contractions, lengths, own)

    @property
    def bounded(self) -> bool:
        """Whether every part of a length has an upper bound."""
        curvature = self.curvature
        return len(self.own) == len(curvature.sites) and not curvature.beside.views and not curvature.groups

    def batch(self, inputs: Inputs, targets: Tensor) -> tuple[Tensor, Tensor, Tensor, Seen]:
        """Products with V [B, S], own lengths and their upper bounds [B] of B records, and what was seen of them."""
        problem, curvature = self.problem, self.curvature
        seen = Seen.of(problem, curvature.observed, inputs, targets)
        columns = self.directions.shape[1]
        cross = torch.zeros(len(targets), columns, dtype=problem.dtype, device=targets.device)
        length = torch.zeros(len(targets), dtype=problem.dtype, device=targets.device)
        bound = torch.full_like(length, 0.0 if self.bounded else float("inf"))
        for site in curvature.sites:
            if site.name in self.contractions:
                if columns:
                    cross += self.contractions[site.name].scores(*seen.rows(site, problem.dtype))
                if site.name in self.own:
                    own = self.own[site.name]
                    part, most = own.lengths_of(*seen.turned_rows(site, own, problem.dtype))
                    length += part
                    bound += most
            else:
                given, along = seen.trace.inputs(site, problem.dtype), site_directions(problem, site, self.directions)
                if not self.asked:
                    cross = cross + factored.cross(site, given, seen.gradients[site.name], along)[:, 0]
                    continue
                one, two = factored.products(site, curvature.blocks[site.name], given, seen.gradients[site.name], along)
                cross, length = cross + one[:, 0], length + two[:, 0, 0]
        if curvature.beside.views or curvature.groups:
            probe = seen.slope.unsqueeze(2)
            one, two = curvature.beside_products(
                seen.trace, seen.gradients, inputs, probe, self.directions, own=self.asked
            )
            cross, length = cross + one[:, 0], length + two[:, 0, 0]
        if self.pairs is not None:
            forms = self.pairs.forms
            rows = {
                site.name: seen.turned_rows(site, forms[site.name], problem.dtype)
                for site in curvature.sites
                if site.name in forms
            }
            cross = torch.cat([self.pairs.scores(rows), cross], dim=1)
        return cross, length, bound, seen

    def run(self) -> Swept:
        """All training rows that are here."""
        problem, count, device = self.problem, len(self.problem.targets), self.problem.targets.device
        columns = self.directions.shape[1] + (0 if self.pairs is None else self.pairs.weights.shape[1])
        cross = torch.zeros(count, columns, dtype=torch.float64, device=device)
        length, bound, loss = (torch.zeros(count, dtype=torch.float64, device=device) for _ in range(3))
        sums = _Gradient.of(self)
        for at, inputs, targets in problem.rows(rows_at_once(problem, self.curvature.observed)):
            cross[at], length[at], bound[at], seen = self.batch(inputs, targets)
            loss[at] = seen.loss
            sums.add(seen, at)
        return Swept(cross, length, bound, loss, sums.total())


@dataclass(frozen=True)
class _Gradient:
    """Sum of w_n/N grad l_n over the rows of a pass; nothing where some parameter has no single-row layer."""

    problem: Problem
    sums: Mapping[Site, Tensor]
    shares: Tensor
    """[N, 1] w_n / N."""

    @staticmethod
    def of(sweep: Sweep) -> _Gradient:
        problem, curvature = sweep.problem, sweep.curvature
        whole = len(sweep.contractions) == len(curvature.observed) and not curvature.beside.every
        shares = (problem.weights / problem.n).to(problem.dtype).unsqueeze(1)
        sums = {site: shares.new_zeros(site.shape, dtype=torch.float64) for site in curvature.sites if whole}
        return _Gradient(problem, sums, shares)

    def add(self, seen: Seen, at: slice) -> None:
        for site, total in self.sums.items():
            a, d = seen.rows(site, self.problem.dtype)
            total.add_((d * self.shares[at]).T @ a)

    def total(self) -> Tensor | None:
        if not self.sums:
            return None
        spans = self.problem.layout.spans()
        found = torch.zeros(self.problem.layout.size, dtype=torch.float64, device=self.shares.device)
        for site, total in self.sums.items():
            for name, part in site.parts(total.unsqueeze(0)).items():
                found[spans[name]] = part.reshape(-1)
        return self.problem.processes.sum(found)


def output_gradients(problem: Problem, layers: Sequence[Observed], seen: Trace, slope: Tensor) -> dict[str, Tensor]:
    """Layer -> [B, 1, T, o]; where every layer was called once, as autograd gives them, without a copy."""
    calls = [seen.calls[layer.name] for layer in layers]
    if not layers or not seen.outputs.requires_grad or any(len(call) != 1 for call in calls):
        return seen.gradients(layers, slope.unsqueeze(2), problem.dtype)
    flat = [call[0][1] for call in calls]
    found = torch.autograd.grad(seen.outputs, flat, slope.to(seen.outputs.dtype), allow_unused=True)
    pairs = zip(layers, flat, found, strict=True)
    return {
        layer.name: layer.rows_out(filled(g, o), len(slope)).to(problem.dtype).unsqueeze(1) for layer, o, g in pairs
    }


def single_row_sites(problem: Problem, sites: Sequence[Site]) -> tuple[Site, ...]:
    """Those whose weight meets one row of numbers a record."""
    affine = [site for site in sites if isinstance(site, AffineSite)]
    if not affine:
        return ()
    seen = trace(problem, affine, problem.first(1))
    return tuple(site for site in affine if seen.inputs(site, problem.dtype).shape[1] == 1)


def site_directions(problem: Problem, site: Site, directions: Tensor) -> Tensor:
    """[S, o, i] the site's part of directions [D, S]."""
    spans, count = problem.layout.spans(), directions.shape[1]
    shapes = dict(zip(problem.layout.names, problem.layout.shapes, strict=True))
    return site.matrices({name: directions[spans[name]].reshape(*shapes[name], count) for name in site.names})
