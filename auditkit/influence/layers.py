"""Passes over the training rows for layers with Kronecker structure, and for what is left beside them.

Every sum is a mean of the objective: record n counts w_n / N, its gradients are those of the root of the loss's Hessian
in the outputs (`likelihood`), K backward vectors a record. Nothing is sampled. Rows are multiplied in the precision of
the problem, batch by batch; sums over batches are float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

import torch
from torch import Tensor

from auditkit.influence.capture import Observed, Site, Trace, rows_at_once, site_parts, trace, unused_sites
from auditkit.influence.factored import eigenvalue_sum, factor_sums
from auditkit.influence.jacobian import probe_gradients, rows_that_fit
from auditkit.influence.kronecker import Basis
from auditkit.influence.problem import Inputs, Problem
from auditkit.influence.sequences import curvature_root
from auditkit.influence.sharing import summed


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


class Rider(Protocol):
    """What takes sums of its own from the same passes: the parameters beside the sites."""

    @property
    def observed(self) -> tuple[Observed, ...]:
        """Layers that the passes must watch for it."""
        ...

    def ride(self, seen: Seen) -> Iterator[tuple[str, Tensor]]:
        """Its parts of the sums, by name, from one batch."""
        ...


@dataclass(frozen=True)
class Seen:
    """One batch of a pass."""

    trace: Trace
    inputs: Inputs
    root: Tensor
    """[B, C, K] of the output Hessian, scaled so that sums of products are means of the objective."""
    gradients: Mapping[str, Tensor]
    """Layer -> [B, K, T, o] gradients of the root's columns in its outputs."""
    weights: Tensor
    """[B] w_n / N."""


def passed(problem: Problem, sites: Sequence[Observed]) -> Iterator[Seen]:
    """The training rows here, batch by batch."""
    for at, inputs, targets in problem.rows(rows_at_once(problem, sites)):
        seen = trace(problem, sites, inputs)
        weights = problem.weights[at] / problem.n
        root = curvature_root(problem, inputs, seen.outputs, targets) * weights.sqrt().view(-1, 1, 1)
        yield Seen(seen, inputs, root, seen.gradients(sites, root, problem.dtype), weights)


def fit_factors(problem: Problem, sites: Sequence[Site]) -> dict[str, Factors]:
    """Both factors of every site, from one pass."""
    return factors_of(problem, sites, factor_pass(problem, sites)) if sites else {}


def factors_of(problem: Problem, sites: Sequence[Site], sums: Mapping[str, Tensor]) -> dict[str, Factors]:
    """The factors of every site from the sums of `factor_pass`."""
    parts = ("outputs", "inputs", "positions")
    found = {site.name: [sums[f"{part} {site.name}"] for part in parts] for site in sites}
    return {name: Factors(left, right, int(count) // problem.n) for name, (left, right, count) in found.items()}


def factor_pass(problem: Problem, sites: Sequence[Site], rider: Rider | None = None) -> dict[str, Tensor]:
    """`outputs NAME`, `inputs NAME` and `positions NAME` of every site, and the rider's sums."""
    name = f"factors of {len(sites)}" + ("" if rider is None else " and beside")
    return summed(problem, name, lambda: _summed_up(problem, sites, rider, lambda seen: _factor_parts(sites, seen)))


def _factor_parts(sites: Sequence[Site], seen: Seen) -> Iterator[tuple[str, Tensor]]:
    for site in sites:
        gradients = seen.gradients[site.name]
        given = seen.trace.inputs(site, gradients.dtype)
        left, right = factor_sums(site, given, gradients, seen.weights)
        yield f"outputs {site.name}", left
        yield f"inputs {site.name}", right
        yield f"positions {site.name}", torch.tensor(given.shape[0] * given.shape[1], device=left.device)


def fit_eigenvalues(
    problem: Problem,
    sites: Sequence[Site],
    bases: Mapping[str, Basis],
    *,
    name: str = "eigenvalues",
    rider: Rider | None = None,
) -> dict[str, Tensor]:
    """Site -> [o, i] second moments of the root gradients along the products of the bases; and the rider's sums."""

    def parts(seen: Seen) -> Iterator[tuple[str, Tensor]]:
        for site in sites:
            gradients = seen.gradients[site.name]
            given = seen.trace.inputs(site, gradients.dtype)
            yield site.name, eigenvalue_sum(site, bases[site.name], given, gradients)

    return summed(problem, name, lambda: _summed_up(problem, sites, rider, parts))


def _summed_up(
    problem: Problem,
    sites: Sequence[Site],
    rider: Rider | None,
    parts: Callable[[Seen], Iterator[tuple[str, Tensor]]],
) -> dict[str, Tensor]:
    """Sums over the batches here of what each gives."""
    sums: dict[str, Tensor] = {}
    layers = (*sites, *(() if rider is None else rider.observed))
    if not sites and rider is None:
        return sums
    for seen in passed(problem, layers):
        for key, part in chain(parts(seen), () if rider is None else rider.ride(seen)):
            sums[key] = sums[key].add_(part) if key in sums else part
    return sums


def names_beside(problem: Problem, sites: Sequence[Site]) -> tuple[str, ...]:
    """Trainable parameters of no site on which the outputs may depend."""
    done = {name for site in (*sites, *unused_sites(problem)) for name in site.names}
    return tuple(name for name in problem.layout.names if name not in done)


def curvature_diagonal(problem: Problem, layers: Sequence[Observed]) -> Tensor:
    """[D] the Gauss–Newton matrix's own diagonal, exact, from one pass.

    Products of squares for layers with Kronecker structure, squared per-record gradients for the rest: from hooks for
    the other layers given, from autograd for what is in none of them.
    """
    spans, device = problem.layout.spans(), problem.targets.device
    total = torch.zeros(problem.layout.size, dtype=torch.float64, device=device)
    sites = [site for site in layers if isinstance(site, Site)]
    hooked = tuple(site for site in layers if not isinstance(site, Site))
    names = [name for name in names_beside(problem, sites) if all(name not in site.names for site in hooked)]
    rider = _Squares(problem, hooked, names) if hooked or names else None
    squares = fit_eigenvalues(problem, sites, _own_axes(problem, sites), name="squares", rider=rider)
    for site in sites:
        for name, part in site_parts(site, squares.pop(site.name).unsqueeze(0)).items():
            total[spans[name]] = part.reshape(-1)
    for name, part in squares.items():
        total[spans[name]] = part
    return total


@dataclass(frozen=True)
class _Squares:
    """Squared root gradients of parameters beside the sites, summed over records, by name."""

    problem: Problem
    observed: tuple[Observed, ...]
    names: Sequence[str]

    def ride(self, seen: Seen) -> Iterator[tuple[str, Tensor]]:
        for site in self.observed:
            gradients = seen.gradients[site.name]
            found = site.record_gradients(seen.trace.inputs(site, gradients.dtype), gradients)
            yield from ((name, part.to(torch.float64).square().sum((0, 1))) for name, part in found.items())
        spans = self.problem.layout.spans()
        numbers = seen.root.shape[2] * sum(spans[name].stop - spans[name].start for name in self.names)
        rows = (seen.root, *seen.inputs) if self.names else ()
        for root, *inputs in zip(*(torch.split(t, rows_that_fit(numbers)) for t in rows), strict=True):
            found = probe_gradients(self.problem, tuple(inputs), root, self.names)
            yield from ((name, part.to(torch.float64).square().sum((0, 1))) for name, part in found.items())


def _own_axes(problem: Problem, sites: Sequence[Site]) -> dict[str, Basis]:
    """Bases that leave the parameters' own coordinates as they are."""
    device = problem.targets.device
    widths = {site.name: site.shape[0] for site in sites}
    return {name: Basis(torch.eye(o, dtype=torch.float64, device=device), None) for name, o in widths.items()}
