"""Products with the Gauss–Newton matrix without forming it.

    G v = 1/N sum_n w_n J_nᵀ W_n J_n v

for K vectors at once: J_n v by forward mode, W_n in closed form, J_nᵀ by reverse mode (Schraudolph 2002; Martens 2010).
Where the root Jacobian R (G = Rᵀ R, N·K rows) has at most `held` numbers it is formed once and a product is two matrix
multiplications (one, where Rᵀ R is smaller); above, every product is a pass over the training rows. Forward mode is
compared with reverse mode on a few records first; a module without (right) forward rules is served from its per-record
Jacobians instead.

Cost of a product and column: about 10·N·D operations. Memory: `held` numbers, or one batch of tangents.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.func import jvp, vjp, vmap

from auditkit.influence.capture import observed_sites
from auditkit.influence.jacobian import output_jacobian, plain_attention, quiet, rows_that_fit
from auditkit.influence.layers import curvature_diagonal
from auditkit.influence.problem import Inputs, Problem, filled
from auditkit.influence.sequences import curvature_root
from auditkit.influence.sharing import whole

HELD = 2**23
_PROBE_ROWS = 4


@dataclass(frozen=True)
class GaussNewton:
    """G of one problem as an operator, float64 outside the passes; `of` makes it."""

    problem: Problem
    roots: Tensor
    """[N, C, K] sqrt(w_n/N) S_n, S_n S_nᵀ = W_n."""
    held: Tensor | None
    """[N, K, D] root Jacobians, or None where they are not formed."""
    diagonal: Tensor
    """[D] of G, exact."""
    forward: bool
    """Whether forward mode serves this module."""

    @staticmethod
    def of(problem: Problem, *, held: int = HELD) -> GaussNewton:
        """One pass for the output terms and one for the diagonal (or the root Jacobian)."""
        roots = _output_roots(problem)
        forward = has_forward_rules(problem)
        columns = int(problem.processes.maximum(torch.tensor([roots.shape[2]])))
        if problem.n * columns * problem.layout.size > held:
            diagonal = curvature_diagonal(problem, observed_sites(problem))
            return GaussNewton(problem, roots, None, diagonal, forward)
        parts = [
            roots[at].transpose(1, 2) @ output_jacobian(problem, inputs)
            for at, inputs, _ in problem.rows(min(problem.batch, rows_that_fit(problem.classes * problem.layout.size)))
        ]
        rows = torch.cat(parts)
        return GaussNewton(problem, roots, rows, problem.processes.sum(rows.square().sum((0, 1))), forward)

    def alone(self) -> GaussNewton:
        """The same operator over all N records in this process, for systems that other processes do not solve."""
        processes = self.problem.processes
        if processes.size == 1:
            return self
        columns = int(processes.maximum(torch.tensor([self.roots.shape[2]])))
        padded = torch.nn.functional.pad(self.roots, (columns - self.roots.shape[2], 0))
        held = self.held
        if held is not None:
            held = processes.rows(torch.nn.functional.pad(held, (0, 0, columns - held.shape[1], 0)))
        return GaussNewton(whole(self.problem), processes.rows(padded), held, self.diagonal, self.forward)

    @property
    def rounding(self) -> float:
        """Relative rounding of a product: of float64 where the root Jacobian is held, else of the passes."""
        return torch.finfo(torch.float64 if self.held is not None else self.problem.dtype).eps

    @property
    def largest(self) -> float:
        """max_n N tr(R_nᵀ R_n): no single record's share of G, taken for all, has a larger eigenvalue."""
        problem, worst = self.problem, 0.0
        if self.held is not None:
            worst = float(self.held.square().sum((1, 2)).max())
            return problem.n * float(problem.processes.maximum(torch.tensor(worst, dtype=torch.float64)))
        for at, inputs, _ in problem.rows(min(problem.batch, rows_that_fit(problem.classes * problem.layout.size))):
            rows = self.roots[at].transpose(1, 2) @ output_jacobian(problem, inputs)
            worst = max(worst, float(rows.square().sum((1, 2)).max()))
        return problem.n * float(problem.processes.maximum(torch.tensor(worst, dtype=torch.float64)))

    def product(self, vectors: Tensor, rows: Tensor | None = None) -> Tensor:
        """G vectors [D, K] -> [D, K]; with positions `rows` [m], the unbiased N/m times the sum over those records."""
        problem = self.problem
        if rows is None:
            return problem.processes.sum(self._product(vectors, None))
        mine = rows[(rows >= problem.start) & (rows < problem.start + len(problem.targets))] - problem.start
        return problem.processes.sum(self._product(vectors, mine)) * (problem.n / len(rows))

    def _product(self, vectors: Tensor, rows: Tensor | None) -> Tensor:
        """Over all rows here, or those at positions `rows` among them."""
        if self.held is not None:
            if rows is None and self._matrix is not None:
                return self._matrix @ vectors
            flat = (self.held if rows is None else self.held[rows]).reshape(-1, len(vectors))
            return flat.T @ (flat @ vectors)
        places = torch.arange(len(self.problem.targets), device=vectors.device) if rows is None else rows
        total = torch.zeros_like(vectors)
        for part in torch.split(places, self._rows_at_once(vectors.shape[1])):
            inputs, root = tuple(t[part] for t in self.problem.inputs), self.roots[part]
            curved = root @ (root.transpose(1, 2) @ self.push(inputs, vectors))
            total += self.pull(inputs, curved)
        return total

    @cached_property
    def _matrix(self) -> Tensor | None:
        """G itself, where that is smaller than half of the root Jacobian held."""
        if self.held is None or 2 * self.held.shape[2] > self.held.shape[0] * self.held.shape[1]:
            return None
        flat = self.held.reshape(-1, self.held.shape[2])
        return flat.T @ flat

    def push(self, inputs: Inputs, vectors: Tensor) -> Tensor:
        """[B, C, K] J vectors for B records: one forward-mode pass a vector, no per-record gradients."""
        if not self.forward:
            size = rows_that_fit(self.problem.classes * self.problem.layout.size)
            chunks = zip(*(torch.split(t, size) for t in inputs), strict=True)
            return torch.cat([output_jacobian(self.problem, chunk) @ vectors for chunk in chunks])
        size = self._rows_at_once(vectors.shape[1])
        chunks = zip(*(torch.split(t, size) for t in inputs), strict=True)
        return torch.cat([push_forward(self.problem, chunk, vectors) for chunk in chunks])

    def pull(self, inputs: Inputs, cotangents: Tensor) -> Tensor:
        """[D, K] sum over B records of Jᵀ cotangents [B, C, K]."""
        return pull_back(self.problem, inputs, cotangents)

    def _rows_at_once(self, columns: int) -> int:
        """Rows whose tangents stay near 64 MiB: one number per output of a layer, row and column."""
        width = sum(shape[0] for shape in self.problem.layout.shapes if shape)
        return min(self.problem.batch, rows_that_fit(columns * max(1, width)))


def push_forward(problem: Problem, inputs: Inputs, vectors: Tensor) -> Tensor:
    """[B, C, K] float64: derivatives of the outputs along vectors [D, K], by forward mode under `vmap`."""
    parameters, mask = problem.parameters(), _receiving(problem).unsqueeze(1)

    def along(vector: Tensor) -> Tensor:
        tangents = problem.layout.unflatten(vector)
        moved: Tensor = jvp(lambda p: problem.outputs(inputs, p), (parameters,), (tangents,))[1]
        return moved

    with quiet(), plain_attention():
        found: Tensor = vmap(along, out_dims=2)((vectors * mask).T.contiguous().to(problem.dtype))
    return found.detach().to(torch.float64)


def pull_back(problem: Problem, inputs: Inputs, cotangents: Tensor) -> Tensor:
    """[D, K] float64: gradients of the outputs against cotangents [B, C, K], by reverse mode under `vmap`."""
    parameters, given = problem.parameters(), cotangents.to(problem.dtype)
    try:
        with quiet():
            backward = vjp(lambda p: problem.outputs(inputs, p), parameters)[1]
            found = vmap(backward, in_dims=2)(given)[0]
        parts = [found[name].reshape(given.shape[2], -1) for name in parameters]
    except RuntimeError:
        # An operation without a batching rule: the same numbers, one backward pass a column.
        parts = _column_by_column(problem, inputs, given)
    return torch.cat(parts, dim=1).detach().to(torch.float64).T


def has_forward_rules(problem: Problem) -> bool:
    """Whether forward mode works for this module, and agrees with reverse mode, on a few records."""
    inputs = problem.first(_PROBE_ROWS)
    positions = torch.arange(problem.layout.size, dtype=torch.float64, device=problem.targets.device)
    vectors = torch.stack([torch.cos(positions), torch.sin(1.3 * positions)], dim=1)
    try:
        found = push_forward(problem, inputs, vectors)
    except (RuntimeError, NotImplementedError):
        return False
    wanted = output_jacobian(problem, inputs) @ vectors
    tolerance = 1e-8 if problem.dtype == torch.float64 else 1e-3
    return bool((found - wanted).abs().max() <= tolerance * wanted.abs().max())


def _column_by_column(problem: Problem, inputs: Inputs, cotangents: Tensor) -> list[Tensor]:
    moving = {name: value.clone().requires_grad_() for name, value in problem.parameters().items()}
    with torch.enable_grad():
        outputs = problem.outputs(inputs, moving)
    columns: list[list[Tensor]] = []
    for k in range(cotangents.shape[2]):
        found = torch.autograd.grad(
            outputs, list(moving.values()), cotangents[:, :, k], retain_graph=True, allow_unused=True
        )
        columns.append([filled(g, p).reshape(-1) for g, p in zip(found, moving.values(), strict=True)])
    return [torch.stack([column[i] for column in columns]) for i in range(len(moving))]


def _output_roots(problem: Problem) -> Tensor:
    parts = []
    for at, inputs, targets in problem.rows():
        root = curvature_root(problem, inputs, problem.outputs(inputs).detach(), targets)
        parts.append(root * (problem.weights[at] / problem.n).sqrt().view(-1, 1, 1))
    columns = max(part.shape[2] for part in parts)
    return torch.cat([torch.nn.functional.pad(part, (columns - part.shape[2], 0)) for part in parts])


def _receiving(problem: Problem) -> Tensor:
    """[D] zero at an Embedding's padding row, to which reverse mode gives no gradient, else one."""
    mask = torch.ones(problem.layout.size, dtype=torch.float64, device=problem.targets.device)
    spans = problem.layout.spans()
    for name, layer in problem.module.named_modules():
        weight = f"{name}.weight" if name else "weight"
        if isinstance(layer, nn.Embedding) and layer.padding_idx is not None and weight in spans:
            mask[spans[weight]].view(layer.weight.shape)[layer.padding_idx] = 0.0
    return mask
