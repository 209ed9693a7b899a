"""Two-sided projection of per-record gradients: a layer's inputs and its output gradients each onto a few directions.

A layer with inputs a_t (1 appended for the bias) and output gradients d_t at its positions t has per-record gradients
G = sum_t d_t a_tᵀ [o, i]. With orthonormal columns L [o, k] and R [i, k'] its projection is

    Lᵀ G R = sum_t (Lᵀ d_t)(Rᵀ a_t)ᵀ,      k·k' numbers, G itself is never formed      (Choe et al. 2024, section 3.2)

Parameters of no such layer (norms, tied weights, parameters of their own) are projected by orthonormal matrices of
their per-record gradients, a run of consecutive numbers at a time. All projections together are one matrix P [D, K]
with Pᵀ P = I, block by block, so that a uniform L2 stays λI, and one that differs by parameter becomes Pᵀ diag(λ) P.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from auditkit.influence.capture import Trace, site_matrices, site_parts, trace
from auditkit.influence.jacobian import probe_gradients
from auditkit.influence.problem import Inputs, Layout, Problem
from auditkit.influence.sites.site import Observed, Site


@dataclass(frozen=True)
class Sides:
    """The projection of one layer."""

    left: Tensor
    """[o, k] L, orthonormal columns."""
    right: Tensor
    """[i, k'] R, orthonormal columns; for an Embedding i counts its rows."""

    @property
    def width(self) -> int:
        """k·k'."""
        return self.left.shape[1] * self.right.shape[1]

    def records(self, site: Site, given: Tensor, gradients: Tensor) -> Tensor:
        """[B, P, k·k'] from inputs [B, T, i] (or codes [B, T]) and output gradients [B, P, T, o]."""
        inputs = _coded(site, given, self.right) if site.is_embedding else given @ self.right
        turned = (gradients @ self.left).transpose(2, 3)
        rows, probes, width, positions = turned.shape
        return (turned.reshape(rows, probes * width, positions) @ inputs).reshape(rows, probes, -1)

    def down(self, matrices: Tensor) -> Tensor:
        """[k·k', S] from matrices [S, o, i]."""
        return (self.left.T @ matrices @ self.right).flatten(1).T

    def up(self, coordinates: Tensor) -> Tensor:
        """[S, o, i] from coordinates [k·k', S]: the transpose of `down`."""
        small = coordinates.T.reshape(-1, self.left.shape[1], self.right.shape[1])
        return self.left @ small @ self.right.T

    def penalty(self, matrix: Tensor) -> Tensor:
        """[k·k', k·k'] Pᵀ diag(λ) P for λ [o, i]."""
        if bool((matrix == matrix[:1]).all()):
            inner = self.right.T @ (matrix[0].unsqueeze(1) * self.right)
            return torch.kron(self.left.T @ self.left, inner)
        inner = torch.einsum("oi,ic,id->ocd", matrix, self.right, self.right)
        return torch.einsum("oa,ob,ocd->acbd", self.left, self.left, inner).reshape(self.width, self.width)


@dataclass(frozen=True)
class Runs:
    """The projection of a group of parameters, laid out one behind the other."""

    names: tuple[str, ...]
    pieces: tuple[Tensor, ...]
    """Orthonormal columns [s, k] of each run of s consecutive numbers."""

    @property
    def width(self) -> int:
        """The sum of all k."""
        return sum(piece.shape[1] for piece in self.pieces)

    def down(self, vectors: Tensor) -> Tensor:
        """[k, S] from [D', S]."""
        parts = torch.split(vectors, [len(piece) for piece in self.pieces])
        return torch.cat([piece.T @ part for piece, part in zip(self.pieces, parts, strict=True)])

    def up(self, coordinates: Tensor) -> Tensor:
        """[D', S] from [k, S]."""
        parts = torch.split(coordinates, [piece.shape[1] for piece in self.pieces])
        return torch.cat([piece @ part for piece, part in zip(self.pieces, parts, strict=True)])

    def penalty(self, values: Tensor) -> Tensor:
        """[k, k] Pᵀ diag(λ) P for λ [D']."""
        parts = torch.split(values, [len(piece) for piece in self.pieces])
        pairs = zip(self.pieces, parts, strict=True)
        found: Tensor = torch.block_diag(*(piece.T @ (part.unsqueeze(1) * piece) for piece, part in pairs))  # type: ignore[no-untyped-call]
        return found


@dataclass(frozen=True)
class Projection:
    """P, block by block: layers first, then groups of parameters."""

    layout: Layout
    sites: tuple[Site, ...]
    others: tuple[Observed, ...]
    """Layers of another kind, whose parameters are among those of `runs`."""
    sides: Mapping[str, Sides]
    runs: Mapping[str, Runs]

    @property
    def widths(self) -> dict[str, int]:
        """Block -> its numbers, in order."""
        layers = {name: block.width for name, block in self.sides.items()}
        return {**layers, **{owner: run.width for owner, run in self.runs.items()}}

    def spans(self) -> dict[str, slice]:
        """Block -> its positions among the K coordinates."""
        spans, start = {}, 0
        for name, width in self.widths.items():
            spans[name], start = slice(start, start + width), start + width
        return spans

    def trace(self, problem: Problem, inputs: Inputs) -> Trace:
        """One forward pass over B records that keeps what `records` needs."""
        return trace(problem, (*self.sites, *self.others), inputs)

    def records(
        self, problem: Problem, seen: Trace, inputs: Inputs, probes: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Projected gradients of probesᵀ outputs [B, P, K], and block -> their squared lengths unprojected [B, P].

        Args:
            problem: the posed problem. seen: `trace` of B records. inputs: the same records. probes: [B, C, P].
        """
        gradients = seen.gradients((*self.sites, *self.others), probes)
        parts, squares, beside = [], {}, {}
        for site in self.sites:
            given, own = seen.inputs(site), gradients.pop(site.name)
            parts.append(self.sides[site.name].records(site, given, own))
            squares[site.name] = _squares(site, given, own)
        for other in self.others:
            beside.update(other.record_gradients(seen.inputs(other), gradients.pop(other.name)))
        left = [name for run in self.runs.values() for name in run.names if name not in beside]
        beside.update(probe_gradients(problem, inputs, probes, left) if left else {})
        for owner, run in self.runs.items():
            rows = torch.cat([beside[name] for name in run.names], dim=2).to(torch.float64)
            squares[owner] = rows.square().sum(2)
            parts.append(run.down(rows.reshape(-1, rows.shape[2]).T).T.reshape(*rows.shape[:2], -1))
        return torch.cat(parts, dim=2), squares

    def down(self, vectors: Tensor) -> Tensor:
        """[K, S] Pᵀ vectors [D, S]."""
        parts = [self.sides[site.name].down(self._matrices(site, vectors)) for site in self.sites]
        return torch.cat([*parts, *(run.down(self._stacked(run, vectors)) for run in self.runs.values())])

    def up(self, coordinates: Tensor) -> Tensor:
        """[D, S] P coordinates [K, S]; zero for parameters on which the outputs do not depend."""
        places, spans = self.layout.spans(), self.spans()
        columns = coordinates.shape[1]
        result = torch.zeros(self.layout.size, columns, dtype=torch.float64, device=coordinates.device)
        for site in self.sites:
            for name, part in site_parts(site, self.sides[site.name].up(coordinates[spans[site.name]])).items():
                result[places[name]] = part.reshape(-1, columns)
        for owner, run in self.runs.items():
            lifted = run.up(coordinates[spans[owner]])
            sizes = [places[name].stop - places[name].start for name in run.names]
            for name, part in zip(run.names, torch.split(lifted, sizes), strict=True):
                result[places[name]] = part
        return result

    def penalties(self, penalty: Tensor) -> dict[str, Tensor]:
        """Block -> Pᵀ diag(λ) P for λ [D]."""
        values = penalty.unsqueeze(1)
        found = {s.name: self.sides[s.name].penalty(self._matrices(s, values)[0]) for s in self.sites}
        return {**found, **{owner: run.penalty(self._stacked(run, values)[:, 0]) for owner, run in self.runs.items()}}

    def sizes(self) -> dict[str, int]:
        """Block -> its parameters."""
        places = self.layout.spans()
        named = {**{s.name: s.names for s in self.sites}, **{owner: run.names for owner, run in self.runs.items()}}
        return {block: sum(places[n].stop - places[n].start for n in names) for block, names in named.items()}

    def _matrices(self, site: Site, vectors: Tensor) -> Tensor:
        places, shapes = self.layout.spans(), dict(zip(self.layout.names, self.layout.shapes, strict=True))
        parts = {name: vectors[places[name]].reshape(*shapes[name], vectors.shape[1]) for name in site.names}
        return site_matrices(site, parts)

    def _stacked(self, run: Runs, vectors: Tensor) -> Tensor:
        places = self.layout.spans()
        return torch.cat([vectors[places[name]] for name in run.names])


def _coded(site: Site, codes: Tensor, right: Tensor) -> Tensor:
    """[B, T, k'] rows of R at the codes; zero at the padding code, whose row of the table receives no gradient."""
    return right[codes] * _real(site, codes).unsqueeze(2)


def _squares(site: Site, given: Tensor, gradients: Tensor) -> Tensor:
    """[B, P] squared lengths of sum_t d_t a_tᵀ, from the inner products of positions where those are fewer numbers."""
    outputs, inputs = site.shape
    if site.is_embedding:
        real = _real(site, given)
        alike = (given.unsqueeze(2) == given.unsqueeze(1)) & real.unsqueeze(2) & real.unsqueeze(1)
        return ((gradients @ gradients.transpose(2, 3)) * alike.unsqueeze(1)).sum((2, 3))
    if given.shape[1] ** 2 > outputs * inputs:
        formed: Tensor = site.gradient(given, gradients)
        return formed.square().sum((2, 3))
    alike = given @ given.transpose(1, 2)
    return ((gradients @ gradients.transpose(2, 3)) * alike.unsqueeze(1)).sum((2, 3))


def _real(site: Site, codes: Tensor) -> Tensor:
    padding = site.layer.padding_idx if isinstance(site.layer, nn.Embedding) else None
    return torch.ones_like(codes, dtype=torch.bool) if padding is None else codes != padding
