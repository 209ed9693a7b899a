"""Per-record derivatives of the outputs in the parameters, for any module: the generic path.

J_n = dz_n/dtheta [C, D] by reverse mode under `vmap` (torch.func), or one record at a time where that fails. Cost: C
backward passes and C·D numbers per record; used by `exact`, and by `ekfac` for parameters without Kronecker structure.
Where only probesᵀ J is needed, P backward passes and P·D' numbers.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.func import jacrev, vjp, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

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
        by_name = _batched(lambda *record: jacrev(outputs_of_one)(wanted, *record), inputs, wanted, problem.classes)
    except RuntimeError:
        # Branches on values and a few operations (one_hot) do not batch: the same numbers, one record at a time.
        by_name = _one_by_one(problem, inputs, wanted, fixed)
    parts = [part.reshape(len(inputs[0]), problem.classes, -1) for part in by_name]
    return torch.cat(parts, dim=2).detach().to(torch.float64)


def _batched(
    of_one: Callable[..., dict[str, Tensor]], given: Inputs, wanted: Mapping[str, Tensor], count: int
) -> list[Tensor]:
    """[B, P, ...] of each wanted parameter under `vmap`; refuses gradients of another shape.

    torch's batching rule for PReLU gives [B, B, ...] for [B, P, ...]. So that this shows, B and P never are the same.
    """
    rows = len(given[0])
    cuts = [1, rows - 1] if rows == count > 1 else [rows]
    chunks = zip(*(torch.split(t, cuts) for t in given), strict=True)
    with quiet(), plain_attention():
        found = [vmap(of_one)(*chunk) for chunk in chunks]
    for part, size in zip(found, cuts, strict=True):
        for name, value in wanted.items():
            if part[name].shape != (size, count, *value.shape):
                raise RuntimeError(f"{name}: gradients of shape {tuple(part[name].shape)}")
    return [torch.cat([part[name] for part in found]) for name in wanted]


def _one_by_one(
    problem: Problem,
    inputs: Inputs,
    wanted: Mapping[str, Tensor],
    fixed: Mapping[str, Tensor],
    probes: Tensor | None = None,
) -> list[Tensor]:
    """[B, P, ...] of each wanted parameter (P = C outputs without probes), by P plain backward passes per record."""
    moving = {name: value.clone().requires_grad_() for name, value in wanted.items()}
    rows = []
    with torch.enable_grad():
        for n in range(len(inputs[0])):
            outputs = problem.outputs(tuple(t[n : n + 1] for t in inputs), {**fixed, **moving})[0]
            along = outputs if probes is None else probes[n].T @ outputs
            rows.append([_row(output, list(moving.values())) for output in along])
    return [torch.stack([torch.stack([row[k] for row in record]) for record in rows]) for k in range(len(moving))]


def _row(output: Tensor, moving: list[Tensor]) -> list[Tensor]:
    if not output.requires_grad:
        return [torch.zeros_like(p) for p in moving]
    found = torch.autograd.grad(output, moving, retain_graph=True, allow_unused=True)
    return [filled(g, p) for g, p in zip(found, moving, strict=True)]


def probe_gradients(problem: Problem, inputs: Inputs, probes: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
    """Name -> [B, P, numbers]: gradients of probesᵀ outputs of each record, for probes [B, C, P], by P backward passes.

    In the precision of the passes. Memory: B·P numbers a parameter; callers take few records at a time.
    """
    values = problem.parameters()
    wanted = {name: values[name] for name in names}
    fixed = {name: value for name, value in values.items() if name not in wanted}
    given = probes.to(problem.dtype)

    def of_one(columns: Tensor, *record: Tensor) -> dict[str, Tensor]:
        def outputs(moving: dict[str, Tensor]) -> Tensor:
            return problem.outputs(tuple(t.unsqueeze(0) for t in record), {**fixed, **moving})[0]

        backward = vjp(outputs, wanted)[1]
        found: dict[str, Tensor] = vmap(backward, in_dims=1)(columns)[0]
        return found

    try:
        by_name = _batched(of_one, (given, *inputs), wanted, probes.shape[2])
    except RuntimeError:
        by_name = _one_by_one(problem, inputs, wanted, fixed, given)
    rows, _, count = probes.shape
    return {name: part.detach().reshape(rows, count, -1) for name, part in zip(names, by_name, strict=True)}


@contextmanager
def quiet() -> Iterator[None]:
    """Told to torch's developers, not to ours: slower operations, and what torch itself loads for forward mode."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="There is a performance drop")
        warnings.filterwarnings("ignore", message=r"`torch\.jit\.script` is deprecated", category=DeprecationWarning)
        yield


@contextmanager
def plain_attention() -> Iterator[None]:
    """Attention from its parts: torch's fused kernels have no batching rules."""
    with no_fast_path(), sdpa_kernel(SDPBackend.MATH):
        yield


@contextmanager
def no_fast_path() -> Iterator[None]:
    """Transformer layers from their parts: in eval mode torch takes one fused call, which no hook of a part sees."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def is_affine(problem: Problem) -> bool:
    """Whether the outputs are affine in the parameters (logistic, softmax, linear regression on fixed features).

    Compares the gradient of an arbitrary combination of a few records' outputs at the trained parameters with that at
    far-off ones; for an affine model they are equal to rounding. Then a step in the parameters changes outputs by
    J·step exactly.
    """
    inputs, theta = problem.first(_PROBE_ROWS), problem.flat()
    grid = torch.arange(1, len(inputs[0]) * problem.classes + 1, dtype=torch.float64, device=theta.device)
    probes = torch.sin(grid).view(-1, problem.classes, 1)
    wave = torch.cos(torch.arange(len(theta), dtype=torch.float64, device=theta.device))
    far = (wave * (1 + theta.abs().max()) - 1.7 * theta).to(problem.dtype)
    here = parameter_gradients(problem, inputs, probes)
    there = parameter_gradients(problem, inputs, probes, at=problem.layout.unflatten(far))
    tolerance = 1e-9 if problem.dtype == torch.float64 else 1e-4
    before, after = (torch.cat([part.flatten() for part in found.values()]) for found in (here, there))
    return bool((before - after).abs().max() <= tolerance * before.abs().max())


def parameter_gradients(
    problem: Problem, inputs: Inputs, probes: Tensor, *, at: Mapping[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """Name -> gradient of sum_n probes_nᵀ outputs_n [B, C, 1] in each trainable parameter, float64, by autograd."""
    values = problem.parameters() if at is None else at
    moving = {name: p.clone().requires_grad_() for name, p in values.items()}
    with torch.enable_grad():
        total = (problem.outputs(inputs, moving) * probes[:, :, 0].to(problem.dtype)).sum()
    found = torch.autograd.grad(total, list(moving.values()), allow_unused=True)
    pairs = zip(moving.items(), found, strict=True)
    return {name: filled(g, p).to(torch.float64) for (name, p), g in pairs}
