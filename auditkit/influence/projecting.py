"""Choosing the projection of a problem: at random, or onto the leading eigenvectors of each layer's two factors."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import Tensor

from auditkit.influence.capture import observed_sites, unused_sites
from auditkit.influence.layers import fit_factors, names_beside
from auditkit.influence.problem import Problem
from auditkit.influence.projection import Projection, Runs, Sides
from auditkit.influence.sites.site import Site

Directions: TypeAlias = Literal["random", "leading"]

RUN = 4096
"""Numbers of a group of parameters that are projected together."""


def choose_projection(problem: Problem, *, rank: int, directions: Directions, seed: int) -> Projection:
    """P for this problem.

    Args:
        problem: the posed problem.
        rank: directions kept of a layer's inputs, and of its output gradients, at most as many as there are; a group of
            parameters without such layers keeps at most rank² numbers.
        directions: `random`: orthonormalised normal numbers. `leading`: the eigenvectors of the inputs' second moment
            and of the root gradients' with the largest eigenvalues (Choe et al. 2024, section 3.3), from one more pass;
            groups stay random.
        seed: of the generator of random directions.
    """
    generator = torch.Generator().manual_seed(seed)
    observed = observed_sites(problem)
    sites = tuple(site for site in observed if isinstance(site, Site))
    groups = _groups(problem, sites)
    beside = {name for names in groups.values() for name in names}
    others = tuple(site for site in observed if site not in sites and set(site.names) <= beside)
    leading = fit_factors(problem, sites) if directions == "leading" else {}
    sides, device = {}, problem.targets.device
    for site in sites:
        outputs, inputs = site.shape
        if site.name in leading:
            factors = leading[site.name]
            sides[site.name] = Sides(_leading(factors.outputs, rank), _leading(factors.inputs, rank))
        else:
            drawn = _random(outputs, rank, generator), _random(inputs, rank, generator)
            sides[site.name] = Sides(*(side.to(device) for side in drawn))
    sizes = {name: value.numel() for name, value in problem.parameters().items()}
    runs = {
        owner: Runs(names, _pieces(sum(sizes[name] for name in names), rank**2, generator, device))
        for owner, names in groups.items()
    }
    return Projection(problem.layout, sites, others, sides, runs)


def _groups(problem: Problem, sites: tuple[Site, ...]) -> dict[str, tuple[str, ...]]:
    """Module -> its trainable parameters of no layer with two sides, on which the outputs may depend."""
    idle = {name for site in unused_sites(problem) for name in site.names}
    groups: dict[str, tuple[str, ...]] = {}
    for name in names_beside(problem, sites):
        owner = name.rpartition(".")[0] or "(the module itself)"
        if name not in idle:
            groups[owner] = (*groups.get(owner, ()), name)
    return groups


def _random(size: int, rank: int, generator: torch.Generator) -> Tensor:
    """[size, min(rank, size)] orthonormal columns; the unit vectors where all are kept."""
    if rank >= size:
        return torch.eye(size, dtype=torch.float64)
    drawn = torch.randn(size, rank, generator=generator, dtype=torch.float64)
    orthonormal: Tensor = torch.linalg.qr(drawn).Q
    return orthonormal


def _leading(factor: Tensor, rank: int) -> Tensor:
    """The eigenvectors of a factor [size, size], or of a diagonal one [size], with the largest eigenvalues."""
    size = len(factor)
    if rank >= size:
        return torch.eye(size, dtype=torch.float64, device=factor.device)
    if factor.ndim == 1:
        most = factor.argsort(descending=True, stable=True)[:rank]
        return torch.eye(size, dtype=torch.float64, device=factor.device)[:, most]
    vectors: Tensor = torch.linalg.eigh(factor).eigenvectors[:, -rank:]
    return vectors


def _pieces(size: int, kept: int, generator: torch.Generator, device: torch.device) -> tuple[Tensor, ...]:
    """Orthonormal columns of each run of `RUN` numbers, `kept` in all, spread evenly over the runs."""
    lengths = [min(RUN, size - start) for start in range(0, size, RUN)]
    return tuple(_random(n, max(1, kept * n // size), generator).to(device) for n in lengths)
