"""A block-diagonal curvature: Kronecker blocks for Linear and Embedding layers, dense ones for what lies beside them.

What K-FAC and EK-FAC share: everything but the eigenvalues of the Kronecker blocks, which are given as a function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
from torch import Tensor

from auditkit.errors import Complaint, ModelError, NumericsError
from auditkit.influence.capture import Site, site_matrices, site_parts, trace, unused_sites, verified_sites
from auditkit.influence.damping import Damping, added_damping, floor
from auditkit.influence.dense import DenseBlock
from auditkit.influence.factored import cross, gram
from auditkit.influence.jacobian import is_affine, output_jacobian
from auditkit.influence.kronecker import Basis, Block
from auditkit.influence.layers import fit_dense, fit_eigenvalues, fit_factors, names_beside
from auditkit.influence.problem import Inputs, Problem
from auditkit.result import Quality

Spectrum: TypeAlias = Callable[[Problem, tuple[Site, ...]], tuple[Mapping[str, Basis], Mapping[str, Tensor]]]
"""Eigenvectors of the factors by site, and the eigenvalues [o, i] that go with their products."""


def fit_blocks(problem: Problem, spectrum: Spectrum, damping: Damping, *, dense_limit: int = 4096) -> BlockCurvature:
    """Fit every block and invert it.

    Raises:
        ModelError: a module without Kronecker structure has more than `dense_limit` parameters.
        NumericsError: a block is not positive definite with the damping given.
    """
    sites = verified_sites(problem)
    groups = _dense_groups(problem, sites, dense_limit)
    affine = is_affine(problem)
    bases, eigenvalues = spectrum(problem, sites)
    blocks = {
        site.name: _block(problem, site, bases[site.name], eigenvalues[site.name], damping, affine=affine)
        for site in sites
    }
    spans = problem.layout.spans()
    dense = {}
    for owner, ggn in fit_dense(problem, groups).items():
        penalty = torch.cat([problem.penalty[spans[name]] for name in groups[owner]])
        dense[owner] = DenseBlock.invert(ggn, penalty, damping, affine=affine)
    return BlockCurvature(problem, sites, blocks, groups, dense)


def corrected_spectrum(problem: Problem, sites: tuple[Site, ...]) -> tuple[dict[str, Basis], dict[str, Tensor]]:
    """The second moments of the root gradients along the factors' eigenvectors (EK-FAC)."""
    bases = {name: factors.basis() for name, factors in fit_factors(problem, sites).items()}
    return bases, fit_eigenvalues(problem, sites, bases)


def _dense_groups(problem: Problem, sites: tuple[Site, ...], limit: int) -> dict[str, tuple[str, ...]]:
    """Module -> its trainable parameters that no site covers and that the outputs may depend on."""
    groups: dict[str, tuple[str, ...]] = {}
    for name in names_beside(problem, sites):
        owner = name.rpartition(".")[0] or "(the module itself)"
        groups[owner] = (*groups.get(owner, ()), name)
    sizes = {owner: sum(problem.parameters()[n].numel() for n in names) for owner, names in groups.items()}
    large = [f"{owner} ({size} parameters)" for owner, size in sizes.items() if size > limit]
    if large:
        raise ModelError(
            Complaint(
                f"no Kronecker structure, and more than {limit} parameters: {', '.join(large)}",
                hint="use plain Linear and Embedding layers whose weights are used once, or estimator exact",
            )
        )
    return groups


def _block(problem: Problem, site: Site, basis: Basis, eigenvalues: Tensor, damping: Damping, *, affine: bool) -> Block:
    spans = problem.layout.spans()
    weight = float(problem.penalty[spans[site.weight]][0])
    bias = weight if site.bias is None else float(problem.penalty[spans[site.bias]][0])
    mean = float(eigenvalues.mean())
    added = added_damping(damping, mean_eigenvalue=mean, penalty=max(weight, bias), affine=affine)
    try:
        return Block(basis, eigenvalues, weight + added, bias - weight, added)
    except NumericsError:
        if damping != "auto":
            raise
        added = max(added, floor(mean, affine=affine))
        return Block(basis, eigenvalues, weight + added, bias - weight, added)


@dataclass(frozen=True)
class BlockCurvature:
    """Fitted blocks."""

    problem: Problem
    sites: tuple[Site, ...]
    blocks: Mapping[str, Block]
    groups: Mapping[str, tuple[str, ...]]
    """Module -> its parameters in a dense block."""
    dense: Mapping[str, DenseBlock]
    knows_leverage: bool = False
    """Against real retraining of small networks the Newton step with block-wise leverage was worse than none."""
    leverage_bound: float = 0.9

    @property
    def damping(self) -> Mapping[str, float]:
        """Damping beyond the model's own L2, by block."""
        return {**{k: b.damping for k, b in self.blocks.items()}, **{k: b.damping for k, b in self.dense.items()}}

    @property
    def covered(self) -> int:
        """Parameters in some block, or on which the outputs do not depend."""
        spans = self.problem.layout.spans()
        named = [n for site in (*self.sites, *unused_sites(self.problem)) for n in site.names]
        named += [n for names in self.groups.values() for n in names]
        return sum(spans[n].stop - spans[n].start for n in named)

    def solve(self, vectors: Tensor) -> Tensor:
        """H⁻¹ vectors, block by block; zero for parameters on which the outputs do not depend."""
        vectors = vectors.to(torch.float64)
        result, spans = torch.zeros_like(vectors), self.problem.layout.spans()
        for site in self.sites:
            solved = self.blocks[site.name].solve(self._matrices(site, vectors))
            for name, part in site_parts(site, solved).items():
                result[spans[name]] = part.reshape(-1, vectors.shape[1])
        for owner, names in self.groups.items():
            solved = self.dense[owner].solve(torch.cat([vectors[spans[name]] for name in names]))
            sizes = [spans[name].stop - spans[name].start for name in names]
            for name, part in zip(names, torch.split(solved, sizes), strict=True):
                result[spans[name]] = part
        return result

    def probe(self, inputs: Inputs, probes: Tensor | None, directions: Tensor) -> tuple[Tensor, Tensor]:
        """Both products as sums over blocks, from one forward pass and one backward pass per probe."""
        seen = trace(self.problem, self.sites, inputs)
        rows = len(seen.outputs)
        eye = torch.eye(self.problem.classes, dtype=torch.float64, device=seen.outputs.device)
        wanted = eye.expand(rows, -1, -1) if probes is None else probes
        gradients = seen.gradients(self.sites, wanted)
        crosses = torch.zeros(rows, wanted.shape[2], directions.shape[1], dtype=torch.float64, device=eye.device)
        grams = torch.zeros(rows, wanted.shape[2], wanted.shape[2], dtype=torch.float64, device=eye.device)
        for site in self.sites:
            given, own = seen.inputs(site), gradients[site.name]
            crosses += cross(site, given, own, self._matrices(site, directions))
            grams += gram(site, self.blocks[site.name], given, own)
        spans = self.problem.layout.spans()
        for owner, names in self.groups.items():
            jacobian = wanted.transpose(1, 2) @ output_jacobian(self.problem, inputs, names=names)
            crosses += jacobian @ torch.cat([directions[spans[name]] for name in names])
            grams += self.dense[owner].gram(jacobian)
        return crosses, grams

    def quality(self) -> tuple[Quality, ...]:
        """Nothing beyond what every run reports."""
        return ()

    def stiffer(self, factor: float) -> BlockCurvature:
        """The same factors and eigenvalues under `factor` times the penalty."""
        return replace(
            self,
            blocks={name: block.stiffer(factor) for name, block in self.blocks.items()},
            dense={name: block.stiffer(factor) for name, block in self.dense.items()},
        )

    def _matrices(self, site: Site, vectors: Tensor) -> Tensor:
        spans = self.problem.layout.spans()
        shapes = dict(zip(self.problem.layout.names, self.problem.layout.shapes, strict=True))
        return site_matrices(
            site, {name: vectors[spans[name]].reshape(*shapes[name], vectors.shape[1]) for name in site.names}
        )
