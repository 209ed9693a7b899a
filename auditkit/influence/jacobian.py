"""Per-record derivatives of the outputs in the parameters, for any module: the generic path.

J_n = dz_n/dtheta [C, D] by reverse mode under `vmap` (torch.func), or one record at a time where that fails. Cost: C
backward passes and C·D numbers per record; used by `exact`, and by `ekfac` for parameters without Kronecker structure.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.func import jacrev, vmap

from auditkit.influence.problem import Inputs, Problem, filled

_NUMBERS = 2**23
_PROBE_ROWS = 16


def rows_that_fit(numbers_per_row: int, numbers: int = _NUMBERS) -> int:
    """Rows whose working array stays near 64 MiB in float64; at least one."""
    return max(1, numbers // max(1, numbers_per_row))


def output_jacobian(
    problem: Problem, inputs: Inputs, *, names: Sequence[str] | None = None, at: dict[str, Tensor] | None = None
) -> Tensor:
    """[B, C, D'] float64: derivatives of each record's outputs in the named parameters (all of them by default).

    Args:
        problem: the posed problem. inputs: B records.
        names: parameters, in this order along D'. at: other parameter values than the trained ones.
    """
    values = problem.parameters() if at is None else at
    wanted = {name: values[name] for name in (problem.layout.names if names is None else names)}
    fixed = {name: value for name, value in values.items() if name not in wanted}

    def outputs_of_one(moving: dict[str, Tensor], *record: Tensor) -> Tensor:
        return problem.outputs(tuple(t.unsqueeze(0) for t in record), {**fixed, **moving})[0]

    try:
        with warnings.catch_warnings():
            # Told to torch's developers, not to ours: an operation without a batching rule is only slower.
            warnings.filterwarnings("ignore", message="There is a performance drop")
            found = vmap(jacrev(outputs_of_one), in_dims=(None, *(0 for _ in inputs)))(wanted, *inputs)
        by_name = [found[name] for name in wanted]
    except RuntimeError:
        # Branches on values and a few operations (one_hot) do not batch: the same numbers, one record at a time.
        by_name = _one_by_one(problem, inputs, wanted, fixed)
    parts = [part.reshape(len(inputs[0]), problem.classes, -1) for part in by_name]
    return torch.cat(parts, dim=2).detach().to(torch.float64)


def _one_by_one(
    problem: Problem, inputs: Inputs, wanted: Mapping[str, Tensor], fixed: Mapping[str, Tensor]
) -> list[Tensor]:
    """[B, C, ...] of each wanted parameter, by C plain backward passes per record."""
    moving = {name: value.clone().requires_grad_() for name, value in wanted.items()}
    rows = []
    with torch.enable_grad():
        for n in range(len(inputs[0])):
            outputs = problem.outputs(tuple(t[n : n + 1] for t in inputs), {**fixed, **moving})[0]
            rows.append([_row(output, list(moving.values())) for output in outputs])
    return [torch.stack([torch.stack([row[k] for row in record]) for record in rows]) for k in range(len(moving))]


def _row(output: Tensor, moving: list[Tensor]) -> list[Tensor]:
    if not output.requires_grad:
        return [torch.zeros_like(p) for p in moving]
    found = torch.autograd.grad(output, moving, retain_graph=True, allow_unused=True)
    return [filled(g, p) for g, p in zip(found, moving, strict=True)]


def is_affine(problem: Problem) -> bool:
    """Whether the outputs are affine in the parameters (logistic, softmax, linear regression on fixed features).

    Compares the Jacobian of a few records at the trained parameters with that at far-off ones; for an affine model
    they are equal to rounding. Then a step in the parameters changes outputs by J·step exactly.
    """
    rows = min(_PROBE_ROWS, problem.n, rows_that_fit(problem.classes * problem.layout.size))
    inputs = tuple(t[:rows] for t in problem.inputs)
    theta = problem.flat()
    wave = torch.cos(torch.arange(len(theta), dtype=torch.float64, device=theta.device))
    far = (wave * (1 + theta.abs().max()) - 1.7 * theta).to(problem.dtype)
    here = output_jacobian(problem, inputs)
    there = output_jacobian(problem, inputs, at=problem.layout.unflatten(far))
    tolerance = 1e-9 if problem.dtype == torch.float64 else 1e-4
    return bool((here - there).abs().max() <= tolerance * here.abs().max())
