"""Per-record derivatives of the outputs in the parameters, for any module: the generic path.

J_n = dz_n/dtheta [C, D] by reverse mode, one record at a time under `vmap` (torch.func). Cost: C backward passes and
C·D numbers per record; used by `exact`, and by `ekfac` for the parameters that have no Kronecker structure.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.func import jacrev, vmap

from auditkit.errors import Complaint, ModelError
from auditkit.influence.problem import Inputs, Problem

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

    Raises:
        ModelError: torch.func cannot differentiate the module record by record.
    """
    values = problem.parameters() if at is None else at
    wanted = {name: values[name] for name in (problem.layout.names if names is None else names)}
    fixed = {name: value for name, value in values.items() if name not in wanted}

    def outputs_of_one(moving: dict[str, Tensor], *record: Tensor) -> Tensor:
        return problem.outputs(tuple(t.unsqueeze(0) for t in record), {**fixed, **moving})[0]

    try:
        by_name = vmap(jacrev(outputs_of_one), in_dims=(None, *(0 for _ in inputs)))(wanted, *inputs)
    except RuntimeError as reason:
        raise ModelError(
            Complaint(
                f"the module cannot be differentiated record by record: {str(reason).splitlines()[0]}",
                hint="torch.func needs forward code without in-place writes to inputs and without branches on values",
            )
        ) from reason
    parts = [by_name[name].reshape(len(inputs[0]), problem.classes, -1) for name in wanted]
    return torch.cat(parts, dim=2).detach().to(torch.float64)


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
