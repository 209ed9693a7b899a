"""Parameters beside the Kronecker sites: normalisations, grouped convolutions, fused, tied and custom weights.

Their per-record gradients come from hooks where the layer is of a known kind, else from autograd record by record
(`jacobian`). Small ones of a module share a dense block; of a module with more than `dense_limit` numbers the largest
parameters go, one by one, into matrix blocks (`matrices`), until the rest fits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

import torch
from torch import Tensor

from auditkit.influence.capture import Observed, Site, Trace
from auditkit.influence.directional import forward_pays
from auditkit.influence.jacobian import probe_gradients, rows_that_fit
from auditkit.influence.kronecker import WIDEST, Basis, Block
from auditkit.influence.layers import Seen, names_beside
from auditkit.influence.matrices import View, product_eigenvalues
from auditkit.influence.problem import Inputs, Problem
from auditkit.result import Quality

Gradients = dict[str, Tensor]
"""Parameter -> [b, P, numbers]."""


@dataclass(frozen=True)
class Beside:
    """Which parameters they are, where their gradients come from, and what block each is in; `of` makes it."""

    problem: Problem
    observed: tuple[Observed, ...]
    """Layers whose hooks give per-record gradients."""
    names: tuple[str, ...]
    """Parameters that need autograd record by record."""
    groups: Mapping[str, tuple[str, ...]]
    """Module -> parameters of its dense block."""
    views: Mapping[str, View]
    """Parameter -> how it is a matrix."""

    @staticmethod
    def of(problem: Problem, observed: Sequence[Observed], *, dense_limit: int) -> Beside:
        """Sort every parameter that no Kronecker site covers and on which the outputs may depend.

        Raises:
            ModelError: a parameter is too large for a matrix block on both sides.
        """
        left = names_beside(problem, [site for site in observed if isinstance(site, Site)])
        hooked = tuple(site for site in observed if not isinstance(site, Site))
        seen = {name for site in hooked for name in site.names}
        shapes = dict(zip(problem.layout.names, problem.layout.shapes, strict=True))
        groups: dict[str, tuple[str, ...]] = {}
        for name in left:
            owner = name.rpartition(".")[0] or "(the module itself)"
            groups[owner] = (*groups.get(owner, ()), name)
        views: dict[str, View] = {}
        for owner, names in groups.items():
            kept = sorted(names, key=lambda name: prod(shapes[name]))
            while sum(prod(shapes[name]) for name in kept) > dense_limit:
                name = kept.pop()
                views[name] = View.of(name, shapes[name])
            groups[owner] = tuple(name for name in names if name in kept)
        groups = {owner: names for owner, names in groups.items() if names}
        rest = tuple(name for name in left if name not in seen)
        return Beside(problem, hooked, rest, groups, views)

    @property
    def every(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.names, *(name for site in self.observed for name in site.names))

    def forward(self, directions: int, probes: int) -> tuple[str, ...]:
        """Parameters whose products with so many directions are taken by forward mode: all of `names`, or none."""
        if (directions, probes) not in self._pays:
            pays = bool(self.names) and forward_pays(self.problem, self.names, directions=directions, probes=probes)
            self._pays[directions, probes] = pays
        return self.names if self._pays[directions, probes] else ()

    @cached_property
    def _pays(self) -> dict[tuple[int, int], bool]:
        """By numbers of directions and probes."""
        return {}

    def gradients(
        self,
        seen: Trace,
        hooked: Mapping[str, Tensor],
        inputs: Inputs,
        probes: Tensor,
        *,
        without: Sequence[str] = (),
    ) -> Iterator[tuple[slice, Gradients]]:
        """Per-record gradients of probesᵀ outputs for probes [B, C, P], a few records at a time.

        Args:
            seen: a trace of these records with the sites of `observed`. hooked: their output gradients [B, P, T, o].
            inputs: the B records. probes: [B, C, P]. without: parameters for which none are asked.
        """
        wanted = [name for name in self.every if name not in without]
        if not wanted:
            return
        spans, count = self.problem.layout.spans(), probes.shape[2]
        numbers = sum(spans[name].stop - spans[name].start for name in wanted)
        rows = {site.name: seen.inputs(site, hooked[site.name].dtype) for site in self.observed}
        size = rows_that_fit(count * numbers)
        for start in range(0, len(probes), size):
            at = slice(start, min(start + size, len(probes)))
            found: Gradients = {}
            for site in self.observed:
                found |= site.record_gradients(rows[site.name][at], hooked[site.name][at])
            names = [name for name in self.names if name not in without]
            if names:
                found |= probe_gradients(self.problem, tuple(t[at] for t in inputs), probes[at], names)
            yield at, found

    def joined(self, owner: str, found: Gradients) -> Tensor:
        """[b, P, D'] float64 gradients of a dense group."""
        return torch.cat([found[name] for name in self.groups[owner]], dim=2).to(torch.float64)

    def quality(self, blocks: Mapping[str, Block]) -> tuple[Quality, ...]:
        """Which blocks leave more out than those of their kind do; nothing where there is none."""
        found = []
        if self.views:
            text = f"Too large for a dense block and without Kronecker structure: {', '.join(self.views)}. Their blocks"
            text += " are diagonal in the eigenvectors of the row and column moments of their gradients."
            found.append(Quality(name="matrix blocks", value=None, text=text))
        wide = [name for name, block in blocks.items() if block.eigenvalues.shape[1] > WIDEST]
        if wide:
            text = f"More than {WIDEST:,} inputs, so that correlations between them are left out: {', '.join(wide)}."
            found.append(Quality(name="wide blocks", value=None, text=text))
        return tuple(found)


@dataclass(frozen=True)
class FirstPass:
    """Sums of a pass: dense blocks `dense MODULE`, and factors `left NAME` and `right NAME` of matrix blocks."""

    beside: Beside

    @property
    def observed(self) -> tuple[Observed, ...]:
        """Layers to watch."""
        return self.beside.observed

    def ride(self, seen: Seen) -> Iterator[tuple[str, Tensor]]:
        """Parts of the sums."""
        for _, found in self.beside.gradients(seen.trace, seen.gradients, seen.inputs, seen.root):
            for owner in self.beside.groups:
                flat = self.beside.joined(owner, found).flatten(0, 1)
                yield f"dense {owner}", flat.T @ flat
            for name, view in self.beside.views.items():
                left, right = view.factor_sums(found[name])
                yield f"left {name}", left
                yield f"right {name}", right

    def dense(self, sums: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Module -> its Gauss–Newton matrix [D', D']."""
        return {owner: sums[f"dense {owner}"] for owner in self.beside.groups}

    def bases(self, sums: Mapping[str, Tensor]) -> dict[str, Basis]:
        """Parameter -> eigenvectors of its two factors."""
        pairs = {name: (sums[f"left {name}"], sums[f"right {name}"]) for name in self.beside.views}
        return {name: Basis.of(left, None if right.ndim == 1 else right) for name, (left, right) in pairs.items()}

    def products(self, sums: Mapping[str, Tensor], bases: Mapping[str, Basis]) -> dict[str, Tensor]:
        """Parameter -> [o, i] eigenvalues without correction."""
        views = self.beside.views
        return {n: product_eigenvalues(sums[f"left {n}"], sums[f"right {n}"], bases[n]) for n in views}


@dataclass(frozen=True)
class SecondPass:
    """Corrected eigenvalues of matrix blocks, by parameter."""

    beside: Beside
    bases: Mapping[str, Basis]

    @property
    def observed(self) -> tuple[Observed, ...]:
        """Layers to watch."""
        return self.beside.observed

    def ride(self, seen: Seen) -> Iterator[tuple[str, Tensor]]:
        """Parts of the sums."""
        for _, found in self.beside.gradients(seen.trace, seen.gradients, seen.inputs, seen.root):
            for name, view in self.beside.views.items():
                yield name, view.eigenvalue_sum(self.bases[name], found[name])
