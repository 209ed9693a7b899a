"""Passes over the training rows for layers with Kronecker structure, and for what is left beside them.

Every sum is a mean of the objective: record n counts w_n / N, its gradients are those of the root of the loss's Hessian
in the outputs (`likelihood`), K backward vectors a record. Nothing is sampled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from auditkit.influence.capture import Site, Trace, site_parts, trace, unused_sites
from auditkit.influence.factored import eigenvalue_sum, factor_sums
from auditkit.influence.jacobian import output_jacobian, rows_that_fit
from auditkit.influence.kronecker import Basis
from auditkit.influence.likelihood import output_terms
from auditkit.influence.problem import Problem


@dataclass(frozen=True)
class Factors:
    """The two factors of one site."""

    outputs: Tensor
    """[o, o] sum over records, root columns and positions of w/N d dᵀ."""
    inputs: Tensor
    """[i, i] sum over records and positions of w/N a aᵀ; for an Embedding (one-hot inputs) its diagonal [i]."""
    positions: int
    """T, the positions of a record that share the weight."""

    def basis(self) -> Basis:
        """Eigenvectors of both; one-hot inputs are their own."""
        return Basis.of(self.outputs, None if self.inputs.ndim == 1 else self.inputs)


def traces(problem: Problem, sites: Sequence[Site]) -> Iterator[tuple[Trace, dict[str, Tensor], Tensor]]:
    """Per batch: the trace, root gradients [B, K, T, o] by site (scaled so that sums are means), and w_n / N."""
    for at, inputs, targets in problem.rows():
        seen = trace(problem, sites, inputs)
        root = output_terms(problem, seen.outputs, targets).root
        share = (problem.weights[at] / problem.n).sqrt().view(-1, 1, 1)
        yield seen, seen.gradients(sites, root * share), problem.weights[at] / problem.n


def fit_factors(problem: Problem, sites: Sequence[Site]) -> dict[str, Factors]:
    """Both factors of every site, from one pass."""
    found: dict[str, Factors] = {}
    for seen, gradients, weights in traces(problem, sites) if sites else ():
        for site in sites:
            given = seen.inputs(site)
            left, right = factor_sums(site, given, gradients[site.name], weights)
            earlier = found.get(site.name)
            if earlier is not None:
                left, right = left + earlier.outputs, right + earlier.inputs
            found[site.name] = Factors(left, right, given.shape[1])
    return found


def fit_eigenvalues(problem: Problem, sites: Sequence[Site], bases: Mapping[str, Basis]) -> dict[str, Tensor]:
    """Site -> [o, i] second moments of the root gradients along the products of the bases."""
    sums: dict[str, Tensor] = {}
    for seen, gradients, _ in traces(problem, sites) if sites else ():
        for site in sites:
            part = eigenvalue_sum(site, bases[site.name], seen.inputs(site), gradients[site.name])
            sums[site.name] = part + sums.get(site.name, torch.zeros_like(part))
    return sums


def fit_dense(problem: Problem, groups: Mapping[str, tuple[str, ...]]) -> dict[str, Tensor]:
    """Group -> its block [D', D'] of the Gauss–Newton matrix, from per-record Jacobians."""
    spans = problem.layout.spans()
    sums = {}
    for owner, names in groups.items():
        size = sum(spans[name].stop - spans[name].start for name in names)
        sums[owner] = torch.zeros(size, size, dtype=torch.float64, device=problem.targets.device)
    for at, inputs, targets in problem.rows() if groups else ():
        root = output_terms(problem, problem.outputs(inputs), targets).root
        root = root * (problem.weights[at] / problem.n).sqrt().view(-1, 1, 1)
        for owner, names in groups.items():
            jacobian = root.transpose(1, 2) @ output_jacobian(problem, inputs, names=names)
            rows = jacobian.reshape(-1, jacobian.shape[2])
            sums[owner].addmm_(rows.T, rows)
    return sums


def names_beside(problem: Problem, sites: Sequence[Site]) -> tuple[str, ...]:
    """Trainable parameters of no site on which the outputs may depend."""
    done = {name for site in (*sites, *unused_sites(problem)) for name in site.names}
    return tuple(name for name in problem.layout.names if name not in done)


def curvature_diagonal(problem: Problem, sites: Sequence[Site]) -> Tensor:
    """[D] the Gauss–Newton matrix's own diagonal, exact: products of squares for the sites, Jacobians for the rest."""
    spans, device = problem.layout.spans(), problem.targets.device
    total = torch.zeros(problem.layout.size, dtype=torch.float64, device=device)
    for site, squares in zip(sites, fit_eigenvalues(problem, sites, _own_axes(problem, sites)).values(), strict=True):
        for name, part in site_parts(site, squares.unsqueeze(0)).items():
            total[spans[name]] = part.reshape(-1)
    names = names_beside(problem, sites)
    numbers = problem.classes * sum(spans[name].stop - spans[name].start for name in names)
    for at, inputs, targets in problem.rows(min(problem.batch, rows_that_fit(numbers))) if names else ():
        root = output_terms(problem, problem.outputs(inputs), targets).root
        root = root * (problem.weights[at] / problem.n).sqrt().view(-1, 1, 1)
        squares = (root.transpose(1, 2) @ output_jacobian(problem, inputs, names=names)).square().sum((0, 1))
        sizes = [spans[name].stop - spans[name].start for name in names]
        for name, part in zip(names, torch.split(squares, sizes), strict=True):
            total[spans[name]] += part
    return total


def _own_axes(problem: Problem, sites: Sequence[Site]) -> dict[str, Basis]:
    """Bases that leave the parameters' own coordinates as they are."""
    device = problem.targets.device
    widths = {site.name: site.layer.weight.shape[1 if site.is_embedding else 0] for site in sites}
    return {name: Basis(torch.eye(o, dtype=torch.float64, device=device), None) for name, o in widths.items()}
